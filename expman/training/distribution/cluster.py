"""Makes this process one of the workers that TF_CONFIG names."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from expman.errors import TrainingError

_JOBS = {"chief", "worker"}
_EXPECTED = ('TF_CONFIG must be set in each process, e.g. {"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
             '"task": {"type": "worker", "index": 0}}; see docs/distributed.md.')


def multi_worker_strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Connects to the other workers and waits until all are there.

    Raises:
        TrainingError: TF_CONFIG does not describe workers, or TensorFlow has already started in this process.
    """
    _check_tf_config(os.environ.get("TF_CONFIG"))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:  # "Collective ops must be configured at program startup"
        raise TrainingError("MultiWorkerMirroredStrategy must be set up before TensorFlow computes anything in this "
                            "process: start each experiment in a process of its own, and move TensorFlow ops at the top "
                            f"level of the settings and model files into functions. TensorFlow says: {error}") from error


def _check_tf_config(text: str | None) -> None:
    if not text:
        raise TrainingError(f"distribution_strategy = 'MultiWorkerMirroredStrategy' finds no TF_CONFIG. {_EXPECTED}")
    try:
        described = json.loads(text)
        cluster, task = described["cluster"], described["task"]
        is_known = task["type"] in _JOBS and set(cluster) <= _JOBS and 0 <= task["index"] < len(cluster[task["type"]])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"TF_CONFIG = {text!r} cannot be read ({error!r}). {_EXPECTED}") from error
    if not is_known:
        raise TrainingError(f"TF_CONFIG = {text!r} must name this process among tasks 'worker' or 'chief' only. {_EXPECTED}")
