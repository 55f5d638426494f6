"""Trains, evaluates, exports and asks a user's experiment, on Keras."""
