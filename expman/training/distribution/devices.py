"""Chooses the devices of a training: which GPUs TensorFlow sees, the distribution strategy, the precision."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from expman.errors import TrainingError
from expman.training.distribution.cluster import multi_worker_strategy


def use_gpus(gpu_ids: Sequence[int]) -> None:
    """Shows TensorFlow the given GPUs only, none when the list is empty, and lets their memory grow on demand.

    Raises:
        TrainingError: a GPU does not exist, or TensorFlow has already started on others in this process.
    """
    present = tf.config.list_physical_devices("GPU")
    missing = [gpu_id for gpu_id in gpu_ids if gpu_id >= len(present)]
    if missing:
        raise TrainingError(f"used_gpu_IDs names GPU {missing[0]}, but TensorFlow sees {len(present)} GPUs. "
                            "Correct used_gpu_IDs; for GPUs install `tensorflow[and-cuda]`. "
                            "TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow says of them.")
    wanted = [present[gpu_id] for gpu_id in gpu_ids]
    if tf.config.get_visible_devices("GPU") == wanted:
        return
    try:
        tf.config.set_visible_devices(wanted, "GPU")
        for gpu in wanted:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise TrainingError(f"used_gpu_IDs = {list(gpu_ids)} cannot be set: TensorFlow has already started on other devices "
                            "in this process. Run each such experiment in a process of its own.") from error


def distribution_strategy(name: str, gpu_ids: Sequence[int]) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of a name; 'auto' takes MirroredStrategy for several GPUs, else a single device.

    MirroredStrategy mirrors over the GPUs in use; without any, over TensorFlow's logical CPU devices. For
    MultiWorkerMirroredStrategy see `multi_worker_strategy`.
    """
    if name == "MultiWorkerMirroredStrategy":
        return multi_worker_strategy()
    if name == "MirroredStrategy" or (name == "auto" and len(gpu_ids) > 1):
        used = tf.config.list_logical_devices("GPU" if gpu_ids else "CPU")
        return tf.distribute.MirroredStrategy([device.name for device in used])
    if name == "OneDeviceStrategy":
        return tf.distribute.OneDeviceStrategy(model_device(gpu_ids))
    return tf.distribute.get_strategy()


def model_device(gpu_ids: Sequence[int]) -> str:
    """The device of the model, which `data_preprocess` is offered as `model_placement`."""
    return "/gpu:0" if gpu_ids else "/cpu:0"


def set_precision(*, mixed: bool, gpu_ids: Sequence[int]) -> None:
    """Sets the policy for the layers built from now on: float32, or mixed with bfloat16, or float16 on older GPUs.

    Keras scales the loss by itself where float16 needs it.
    """
    policy = "float32"
    if mixed:
        policy = "mixed_bfloat16" if _has_bfloat16(gpu_ids) else "mixed_float16"
    keras.mixed_precision.set_dtype_policy(policy)


def _has_bfloat16(gpu_ids: Sequence[int]) -> bool:
    """CPUs have it, and GPUs from compute capability 8.0 (Ampere) on."""
    present = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(present[gpu_id]).get("compute_capability", (0, 0))
                    for gpu_id in gpu_ids]
    return all(capability >= (8, 0) for capability in capabilities)
