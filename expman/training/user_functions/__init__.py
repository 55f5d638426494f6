"""What the user's functions return: made, checked, and kept with a checkpoint."""
