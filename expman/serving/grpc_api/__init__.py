"""TensorFlow Serving's services over gRPC."""
