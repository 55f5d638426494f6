"""Shares out the cores and the GPUs of one machine among trials that run at the same time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from expman.errors import SweepError


@dataclass(frozen=True)
class MachineShare:
    """The part of the machine that one of several simultaneous trials may use; None stands for all, or as the settings have it.

    Attributes:
        cores: CPU cores.
        visible_gpus: value of CUDA_VISIBLE_DEVICES.
        gpu_ids: the GPUs to train on, counted within the visible ones.
    """

    cores: Sequence[int] | None = None
    visible_gpus: str | None = None
    gpu_ids: Sequence[int] | None = None


def machine_shares(num_shares: int, *, used_gpu_ids: Sequence[int]) -> list[MachineShare]:
    """Splits the cores of this process and the GPUs of the settings evenly; the first shares get what is left over.

    Arguments:
        num_shares: trials at the same time.
        used_gpu_ids: `used_gpu_IDs` of the settings, counted within CUDA_VISIBLE_DEVICES if that is set.

    Raises:
        SweepError: there are fewer GPUs than trials.
    """
    if num_shares == 1:
        return [MachineShare()]
    if used_gpu_ids and len(used_gpu_ids) < num_shares:
        raise SweepError(f"max_parallel_trials = {num_shares}, but used_gpu_IDs names {len(used_gpu_ids)} GPU"
                         f"{'s' * (len(used_gpu_ids) > 1)}: a trial needs at least one of its own. Lower max_parallel_trials, "
                         "or name more GPUs.")
    cores = sorted(os.sched_getaffinity(0))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(number) for number in range(max(used_gpu_ids, default=-1) + 1)]
    shares = []
    for share in range(num_shares):
        own_cores = cores[share::num_shares] or [cores[share % len(cores)]]
        if not used_gpu_ids:
            shares.append(MachineShare(cores=own_cores))
            continue
        own_gpus = [names[gpu_id] for gpu_id in used_gpu_ids[share::num_shares]]
        shares.append(MachineShare(cores=own_cores, visible_gpus=",".join(own_gpus), gpu_ids=range(len(own_gpus))))
    return shares
