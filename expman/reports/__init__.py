"""Compares experiments by their plain files: a table, the difference of two, an HTML page."""
