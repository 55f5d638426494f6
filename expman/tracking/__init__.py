"""Mirrors experiments into an MLflow server: optional, beside the training, from the plain files of their folders."""
