"""Serves exported models: engines that start a model server, and the embedded server, which needs nothing but pip."""
