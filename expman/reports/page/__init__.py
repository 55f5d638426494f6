"""Writes an HTML page of experiments or of a sweep."""
