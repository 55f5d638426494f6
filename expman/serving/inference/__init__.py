"""Answers requests to models, whatever protocol brings them; errors have the codes and words of TensorFlow Serving."""
