"""Draws what the trials of a sweep have found."""
