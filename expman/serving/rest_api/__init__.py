"""TensorFlow Serving's REST API on top of `Inference`: paths, JSON in and out, HTTP's own matters."""
