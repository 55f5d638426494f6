"""`tf.data` pipelines that settings files call: CSV, images, label maps, volumes, TFRecords.

Each returns a `tf.data.Dataset` whose order and random draws depend on the seed alone.
"""

from data_pipelines.augmentation import Augmentation
from data_pipelines.class_labels import class_names_of
from data_pipelines.contour_map import convert_semanticMap_contourMap
from data_pipelines.csv_columns import BucketColumn, NumericColumn, VocabularyColumn, encode_columns
from data_pipelines.csv_lines import FileListProcessor_csv_lines
from data_pipelines.csv_time_series import FileListProcessor_csv_time_series
from data_pipelines.filenames import extractFilenames
from data_pipelines.image_classification import FileListProcessor_image_classification
from data_pipelines.image_reading import read_image
from data_pipelines.patch_options import PatchOptions
from data_pipelines.patches import assemble_patches, grid_patches, grid_positions
from data_pipelines.semantic_segmentation import FileListProcessor_Semantic_Segmentation
from data_pipelines.tfrecords import read_tfrecords, write_tfrecords
from data_pipelines.volume_reading import read_volume
from data_pipelines.volumes import FileListProcessor_volumes

__all__ = [
    "Augmentation",
    "BucketColumn",
    "FileListProcessor_Semantic_Segmentation",
    "FileListProcessor_csv_lines",
    "FileListProcessor_csv_time_series",
    "FileListProcessor_image_classification",
    "FileListProcessor_volumes",
    "NumericColumn",
    "PatchOptions",
    "VocabularyColumn",
    "assemble_patches",
    "class_names_of",
    "convert_semanticMap_contourMap",
    "encode_columns",
    "extractFilenames",
    "grid_patches",
    "grid_positions",
    "read_image",
    "read_tfrecords",
    "read_volume",
    "write_tfrecords",
]
