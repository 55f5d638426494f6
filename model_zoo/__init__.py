"""Ready-made models, one a file, with the prototype of a user's model file."""
