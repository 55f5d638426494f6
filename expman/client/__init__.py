"""Asks model servers: through the user's Client_IO, or from code of one's own."""

from expman.client.model_client import ModelClient, to_numpy

__all__ = ["ModelClient", "to_numpy"]
