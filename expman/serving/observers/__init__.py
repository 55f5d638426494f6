"""Observers: told of each request to run a model once its answer, or its failure, is known."""
