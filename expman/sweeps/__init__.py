"""Sweeps over settings files: which trials to train, each in a process of its own, and what they left."""
