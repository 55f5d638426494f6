"""Chooses the hyperparameters of the next trial, and ends those that promise nothing."""
