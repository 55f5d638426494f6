"""A stranger's first experiment: looks at his data and writes a folder with settings, model and README that works at once."""
