"""Traces some steps of a training, and tells where their time goes."""
