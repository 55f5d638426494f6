"""Starts the model server that the user asked for: its own program, a container, or the embedded server."""
