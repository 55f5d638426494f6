"""Whole images with a class each."""
