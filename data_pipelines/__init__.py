"""Input pipelines for settings files, by kind of data; their public names stand in `DataProvider_input_pipeline`.

Three rules hold for all of them, so that a training can be repeated and restarted exactly:

- Randomness comes from `tf.data` alone: shuffles, and the seeds of `pass_seeds` for what NumPy draws.
- What Python computes depends on its arguments only (`tf.numpy_function(…, stateful=False)`), so that TensorFlow keeps it
  parallel when ops are deterministic.
- A file that cannot be read is named (`unreadable_files`).
"""
