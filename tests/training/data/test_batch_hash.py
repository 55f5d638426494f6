"""The hash of a batch tells apart what differs, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from expman.training.data.batch_hash import batch_hash

BATCH = ({"image": tf.zeros([2, 3]), "name": tf.constant(["ab", "c"])}, tf.constant([0, 1]))


def test_the_same_values_have_the_same_hash_in_whatever_order_a_dict_is():
    features = {"name": tf.constant(["ab", "c"]), "image": tf.zeros([2, 3])}
    assert batch_hash((features, tf.constant([0, 1]))) == batch_hash(BATCH)


@pytest.mark.parametrize("other", [
    ({"image": tf.zeros([3, 2]), "name": tf.constant(["ab", "c"])}, tf.constant([0, 1])),
    ({"image": tf.zeros([2, 3], tf.int32), "name": tf.constant(["ab", "c"])}, tf.constant([0, 1])),
    ({"image": tf.zeros([2, 3]), "name": tf.constant(["a", "bc"])}, tf.constant([0, 1])),
    ({"picture": tf.zeros([2, 3]), "name": tf.constant(["ab", "c"])}, tf.constant([0, 1])),
    ({"image": tf.zeros([2, 3]), "name": tf.constant(["ab", "c"])}, tf.constant([1, 0])),
    ({"image": tf.zeros([2, 3]), "name": tf.constant(["ab", "c"])}, (tf.constant([0, 1]),))],
    ids=["shape", "dtype", "text", "name", "labels", "structure"])
def test_another_batch_has_another_hash(other):
    assert batch_hash(other) != batch_hash(BATCH)


def test_ragged_and_sparse_and_half_precision_tensors_have_hashes():
    ragged = [tf.ragged.constant(rows) for rows in ([[1], [2, 3]], [[1, 2], [3]], [[1], [2, 3]])]
    assert batch_hash(ragged[0]) == batch_hash(ragged[2]) != batch_hash(ragged[1])
    sparse = [tf.sparse.from_dense(np.eye(2) * value) for value in (1, 2)]
    assert batch_hash(sparse[0]) != batch_hash(sparse[1])
    assert batch_hash(tf.ones([2], tf.bfloat16)) != batch_hash(tf.zeros([2], tf.bfloat16))
