"""Reads what the user's input pipelines give, and watches over it."""
