"""`tf.data` pipelines that settings files call: CSV, images, label maps, volumes, TFRecords.

Each returns a `tf.data.Dataset` whose order and random draws depend on the seed alone.
"""

from data_pipelines.augmentation import Augmentation
from data_pipelines.class_labels import class_names_of
from data_pipelines.csv_columns import BucketColumn, NumericColumn, VocabularyColumn, encode_columns
from data_pipelines.csv_lines import FileListProcessor_csv_lines
from data_pipelines.csv_time_series import FileListProcessor_csv_time_series
from data_pipelines.filenames import extractFilenames
from data_pipelines.image_classification import FileListProcessor_image_classification
from data_pipelines.image_reading import read_image
from data_pipelines.tfrecords import read_tfrecords, write_tfrecords

__all__ = [
    "Augmentation",
    "BucketColumn",
    "FileListProcessor_csv_lines",
    "FileListProcessor_csv_time_series",
    "FileListProcessor_image_classification",
    "NumericColumn",
    "VocabularyColumn",
    "class_names_of",
    "encode_columns",
    "extractFilenames",
    "read_image",
    "read_tfrecords",
    "write_tfrecords",
]
