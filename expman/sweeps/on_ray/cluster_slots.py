"""Decides how many cores and GPUs of a cluster a trial gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expman.errors import SweepError


@dataclass(frozen=True)
class ClusterShare:
    """The part of a cluster that each trial of a sweep gets.

    Attributes:
        num_cpus: cores, which are those of one node.
        num_gpus: GPUs of the same node.
        num_at_a_time: how many such trials the cluster has room for, at most as many as were asked for.
    """

    num_cpus: int
    num_gpus: int
    num_at_a_time: int


def cluster_share(nodes: Sequence[Mapping[str, float]], *, num_trials: int, most_gpus: int) -> ClusterShare:
    """The largest share of which the cluster has one for each of several simultaneous trials; GPUs come before cores.

    When there is not even a core (and a GPU) for each, a trial gets one, and fewer trials run at a time.

    Arguments:
        nodes: the resources of each node, as Ray names them: 'CPU', 'GPU'.
        num_trials: how many trials are to run at the same time.
        most_gpus: how many GPUs the settings name; 0: a trial gets none, otherwise at least one.

    Raises:
        SweepError: no node has room for a trial.
    """
    def room(num_cpus: int, num_gpus: int) -> int:
        return sum(int(min(node.get("CPU", 0) // num_cpus, node.get("GPU", 0) // num_gpus if num_gpus else num_trials))
                   for node in nodes)

    least_gpus = min(1, most_gpus)
    if room(1, least_gpus) == 0:
        needed = "a CPU core and a GPU, since used_gpu_IDs of the settings is not empty" if most_gpus else "a CPU core"
        found = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in ("CPU", "GPU")) for node in nodes)
        raise SweepError(f"The Ray cluster has no room for a trial: that needs one node with {needed}. Its nodes have: "
                         f"{found or 'nothing, as there are none'}. Add a node that has them, or correct the numbers that "
                         "`ray start --num-cpus --num-gpus` was given.")
    num_gpus = next((number for number in range(most_gpus, 0, -1) if room(1, number) >= num_trials), least_gpus)
    most_cpus = max(int(node.get("CPU", 0)) for node in nodes)
    num_cpus = next((number for number in range(most_cpus, 0, -1) if room(number, num_gpus) >= num_trials), 1)
    return ClusterShare(num_cpus=num_cpus, num_gpus=num_gpus, num_at_a_time=min(num_trials, room(num_cpus, num_gpus)))
