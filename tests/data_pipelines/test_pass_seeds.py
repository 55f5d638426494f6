"""Seeds differ between elements and passes, are the same in each run, and are drawn by creating an iterator alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tensorflow as tf

from data_pipelines.pass_seeds import seeded_passes, with_seeds


def numbers_with_seeds(seed: int | None) -> tf.data.Dataset:
    return with_seeds(tf.data.Dataset.range(5), seed=seed)


def shuffled_twice(seed: int | None) -> tf.data.Dataset:
    def make(pass_seed: tf.Tensor) -> tf.data.Dataset:
        return with_seeds(tf.data.Dataset.range(9).shuffle(9, seed=pass_seed), seed=pass_seed).shuffle(3, seed=pass_seed)

    return seeded_passes(make, seed=seed)


def one_pass(dataset: tf.data.Dataset) -> list[tuple[int, int]]:
    return [(int(number), int(seed)) for number, seed in dataset]


@pytest.mark.parametrize("make", [numbers_with_seeds, shuffled_twice])
@pytest.mark.parametrize("seed", [3, None])
@pytest.mark.parametrize("global_seed", [8, 0])
def test_passes_differ_runs_do_not_and_skipped_passes_count(make: Callable, seed: int | None, global_seed: int):
    def built() -> tf.data.Dataset:
        tf.random.set_seed(global_seed)
        return make(seed)

    dataset, again, restarted = built(), built(), built()
    passes = [one_pass(dataset) for _ in range(4)]
    assert len({tuple(one) for one in passes}) == 4
    assert [one_pass(again) for _ in range(4)] == passes
    for _ in range(3):
        iter(restarted)
    assert one_pass(restarted) == passes[3]


@pytest.mark.parametrize("make", [numbers_with_seeds, shuffled_twice])
def test_seeds_are_distinct_and_fit_numpy(make):
    dataset = make(3)
    seeds = [seed for _ in range(20) for _, seed in one_pass(dataset)]
    assert len(set(seeds)) == len(seeds) and 0 <= min(seeds) < 2**30 and 3 * 2**30 < max(seeds) < 2**32


def test_a_shuffled_pass_holds_each_element_once():
    assert sorted(number for number, _ in one_pass(shuffled_twice(1))) == list(range(9))


def test_a_cache_outside_of_the_passes_is_filled_once():
    reads = []

    def read(number):
        reads.append(int(number))
        return number

    kept = tf.data.Dataset.range(5).map(lambda number: tf.numpy_function(read, [number], tf.int64, stateful=False)).cache()
    dataset = seeded_passes(lambda pass_seed: kept.shuffle(5, seed=pass_seed), seed=1)
    orders = [[int(number) for number in dataset] for _ in range(3)]
    assert sorted(reads) == list(range(5)) and len(set(map(tuple, orders))) > 1
