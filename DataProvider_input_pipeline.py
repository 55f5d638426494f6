"""`tf.data` pipelines that settings files call: CSV, images, label maps, volumes, TFRecords.

Each returns a `tf.data.Dataset` whose order and random draws depend on the seed alone.
"""

from data_pipelines.filenames import extractFilenames
from data_pipelines.image_reading import read_image

__all__ = ["extractFilenames", "read_image"]
