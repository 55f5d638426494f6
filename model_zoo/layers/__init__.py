"""Keras layers that several models share or that Keras lacks, one a file."""
