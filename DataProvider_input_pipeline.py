"""`tf.data` pipelines that settings files call: CSV, tables of mixed columns, images, label maps, volumes, TFRecords.

Each returns a `tf.data.Dataset` whose order and random draws depend on the seed alone.
"""

from data_pipelines.augmentation import Augmentation
from data_pipelines.csv.columns import BucketColumn, NumericColumn, VocabularyColumn, encode_columns
from data_pipelines.csv.lines import FileListProcessor_csv_lines
from data_pipelines.csv.time_series import FileListProcessor_csv_time_series
from data_pipelines.filenames import extractFilenames
from data_pipelines.images.class_labels import class_names_of
from data_pipelines.images.classification import FileListProcessor_image_classification
from data_pipelines.images.fitting import ImageFitting
from data_pipelines.images.reading import read_image
from data_pipelines.images.resizing import resize
from data_pipelines.pass_seeds import with_seeds
from data_pipelines.patches.contour_map import convert_semanticMap_contourMap
from data_pipelines.patches.options import PatchOptions
from data_pipelines.patches.positions import assemble_patches, check_field_of_view, grid_patches, grid_positions
from data_pipelines.patches.semantic_segmentation import FileListProcessor_Semantic_Segmentation
from data_pipelines.patches.volume_reading import read_volume
from data_pipelines.patches.volumes import FileListProcessor_volumes
from data_pipelines.table.table import Table, table
from data_pipelines.tfrecords import read_tfrecords, write_tfrecords

__all__ = [
    "Augmentation",
    "BucketColumn",
    "FileListProcessor_Semantic_Segmentation",
    "FileListProcessor_csv_lines",
    "FileListProcessor_csv_time_series",
    "FileListProcessor_image_classification",
    "FileListProcessor_volumes",
    "ImageFitting",
    "NumericColumn",
    "PatchOptions",
    "Table",
    "VocabularyColumn",
    "assemble_patches",
    "check_field_of_view",
    "class_names_of",
    "convert_semanticMap_contourMap",
    "encode_columns",
    "extractFilenames",
    "grid_patches",
    "grid_positions",
    "read_image",
    "read_tfrecords",
    "read_volume",
    "resize",
    "table",
    "with_seeds",
    "write_tfrecords",
]
