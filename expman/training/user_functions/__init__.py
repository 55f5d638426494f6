"""Results of the user's functions: made, checked, and kept with a checkpoint."""
