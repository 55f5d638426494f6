"""Joins requests that arrive together into one run of the model."""
