"""Batch size, epochs and averaging that suit a number of samples: a sensible start, not more."""

from __future__ import annotations

from dataclasses import dataclass

_BATCHES_AN_EPOCH = 10  # about, of small data
_STEPS = 1500  # about, in all
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 40
_DECAYS = (0.998, 0.99, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4)


@dataclass(frozen=True, kw_only=True)
class TrainingLength:
    """The length of a training.

    Attributes:
        batch_size: samples of a batch, a power of two.
        num_epochs: passes over the training data.
        averages_decay: of the weights' moving average; the largest of a few that is reached before the end.
    """

    batch_size: int
    num_epochs: int
    averages_decay: float


def training_length(num_samples: int, *, largest_batch: int, least_batch: int = 4) -> TrainingLength:
    """Returns what suits a number of training samples."""
    batch_size = least_batch
    while batch_size * 2 <= min(largest_batch, num_samples / _BATCHES_AN_EPOCH):
        batch_size *= 2
    steps_an_epoch = max(1, -(-num_samples // batch_size))
    num_epochs = min(max(round(_STEPS / steps_an_epoch), _LEAST_EPOCHS), _MOST_EPOCHS)
    num_steps = steps_an_epoch * num_epochs
    reached = (1 + num_steps) / (60 + num_steps)  # the decay at the last step, see docs/averages.md
    return TrainingLength(batch_size=batch_size, num_epochs=num_epochs,
                          averages_decay=next((decay for decay in _DECAYS if decay <= reached), _DECAYS[-1]))
