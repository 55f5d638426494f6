"""Keras callbacks of the training: one class a file; they import neither the estimator nor each other."""
