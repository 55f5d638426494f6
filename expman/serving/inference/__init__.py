"""What requests to a model mean, whatever protocol brings them; faults in the codes and words of TensorFlow Serving."""
