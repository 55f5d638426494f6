"""Runs SavedModels without TensorFlow's Python package, for the server and for the verification of exports."""
