"""Computations of a training step and an evaluation step, in the graph."""
