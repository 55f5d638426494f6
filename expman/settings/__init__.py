"""Declares the settings, checks and loads the user's files."""
