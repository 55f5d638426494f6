"""The messages of TensorFlow Serving's protocol and the values in them, without TensorFlow."""
