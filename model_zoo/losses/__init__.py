"""Losses that the models of the zoo need and Keras lacks, for `get_total_loss` of a settings file."""
