"""Tries the experiment on its first batches, before anything is written."""
