"""What a training step and an evaluation step compute, in the graph."""
