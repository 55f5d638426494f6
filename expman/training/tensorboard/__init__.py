"""Writes what TensorBoard shows beside the scalars."""
