"""Shares a training among devices and machines."""
