"""Runs trials in processes of their own on this machine."""
