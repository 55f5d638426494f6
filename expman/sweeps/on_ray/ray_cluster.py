"""Connects to a Ray cluster, and tells what keeps its nodes from running a sweep's trials."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from expman import PROJECT_FOLDER
from expman.errors import SweepError, UsageError
from expman.installation import import_path, install_command, program
from expman.sweeps.on_ray.cluster_slots import ClusterShare

_SECONDS_TO_CONNECT = 10.0
_SECONDS_FOR_ANSWERS = 120.0  # a node starts a worker for it
_OF_TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the experiments' folders hold what it would log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the sweep has its own
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # trials that fail are told by the sweep
    "RAY_AIR_NEW_OUTPUT": "0",  # which is not silent even when asked to be
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Node:
    """One machine of the cluster that is alive.

    Attributes:
        name: for the user.
        identity: Ray's.
        resources: 'CPU', 'GPU' … → how much it has.
    """

    name: str
    identity: str
    resources: dict[str, float]

    def has_room_for(self, share: ClusterShare) -> bool:
        """Tells whether the node could ever run a trial."""
        return self.resources.get("CPU", 0) >= share.num_cpus and self.resources.get("GPU", 0) >= share.num_gpus


def require_ray() -> None:
    """Checks that Ray is there.

    Raises:
        UsageError: it is not.
    """
    try:
        for name in ("ray", "ray.tune"):
            importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"--engine ray needs Ray, which cannot be imported ({error}). Run "
                         f"`{install_command('ray')}`, on all nodes of the cluster, or leave --engine out to run "
                         "the sweep on this machine.") from error


def chosen_address(given: str | None) -> str:
    """The address to connect to: the given one, else RAY_ADDRESS, else 'local', which starts Ray on this machine.

    Raises:
        UsageError: it is none that a sweep can use, or nobody listens there.
    """
    address = given or os.environ.get("RAY_ADDRESS") or "local"
    if address in ("local", "auto"):
        return address
    host, separator, port = address.rpartition(":")
    if "://" in address or not (separator and host and port.isdecimal()):
        raise UsageError("--ray_address must be HOST:PORT of the cluster's head, as `ray start --head` prints it, or 'auto' "
                         f"on a machine of the cluster. Got '{address}'. To start the sweep from outside the cluster, submit it "
                         f"as a job: `ray job submit -- {program()} --sweep FILE --engine ray`.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"No Ray cluster answers at {address} ({error}). Start one there by `ray start --head --port={port}`"
                         ", correct --ray_address, or leave it out to start Ray on this machine.") from error
    return address


@contextlib.contextmanager
def connected(address: str) -> Iterator[list[Node]]:
    """Connects to a cluster, or starts Ray on this machine, until the end of the context; gives the nodes.

    Raises:
        SweepError: that does not work.
    """
    import ray
    with _environment(_OF_TUNE):
        path = import_path()
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR,
                     runtime_env={"env_vars": {"PYTHONPATH": path}} if path else {})
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise SweepError(f"Ray cannot be used at '{address}': {error}") from error
        try:
            yield [Node(name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", identity=node["NodeID"],
                        resources=dict(node["Resources"])) for node in ray.nodes() if node["Alive"]]
        finally:
            ray.shutdown()


def check_places(nodes: Sequence[Node], terms: Any, *, record: str) -> None:
    """Lets each node look for what trials need there.

    Arguments:
        nodes: those that may run trials.
        terms: see `ray_trial.RayTerms`.
        record: text of `sweep.json`.

    Raises:
        SweepError: nodes lack something; with all of them.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from expman.sweeps.on_ray.ray_trial import place_error
    look = ray.remote(num_cpus=0, max_retries=0)(place_error)
    answers = [look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.identity, soft=False)).remote(
        terms, record=record) for node in nodes]
    reasons = []
    for node, answer in zip(nodes, answers, strict=True):
        try:
            reason = ray.get(answer, timeout=_SECONDS_FOR_ANSWERS)
        except (ray.exceptions.RayError, ImportError, RuntimeError) as error:
            lines = str(error).strip().splitlines()
            reason = (f"cannot run this project ({lines[-1] if lines else type(error).__name__}). It and its requirements must "
                     f"be installed there as here, in {PROJECT_FOLDER}.")
        if reason:
            reasons.append(f"node {node.name} {reason}")
    if reasons:
        raise SweepError("\n".join(reasons))


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
