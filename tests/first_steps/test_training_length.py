"""Batch size, epochs and averaging suit the number of samples."""

from __future__ import annotations

import pytest

from expman.first_steps.training_length import training_length


@pytest.mark.parametrize(("num_samples", "batch_size"), [(3, 4), (80, 8), (305, 16), (100_000, 256)])
def test_small_data_get_small_batches(num_samples, batch_size):
    assert training_length(num_samples, largest_batch=256).batch_size == batch_size


def test_large_data_are_passed_over_fewer_times():
    epochs = [training_length(number, largest_batch=64).num_epochs for number in (50, 1_000, 20_000, 1_000_000)]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] == 40 and epochs[-1] == 5


@pytest.mark.parametrize("num_samples", [5, 50, 500, 5_000, 500_000])
def test_the_averages_reach_their_decay_before_the_end(num_samples):
    length = training_length(num_samples, largest_batch=64)
    num_steps = length.num_epochs * -(-num_samples // length.batch_size)
    assert length.averages_decay <= max(0.4, (1 + num_steps) / (60 + num_steps)) and length.averages_decay < 1
