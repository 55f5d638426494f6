"""Trials at the same time share a machine: no core and no GPU is in two shares as long as there are enough."""

from __future__ import annotations

import os

import pytest

from expman.errors import SweepError
from expman.sweeps.processes.machine_slots import MachineShare, machine_shares


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of five cores, of which this process may use four."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 1, 2, 3})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_one_trial_has_all_as_the_settings_have_it():
    assert machine_shares(1, used_gpu_ids=[0, 1]) == [MachineShare()]


def test_cores_are_split_and_the_first_shares_get_what_is_left_over():
    assert [sorted(share.cores) for share in machine_shares(3, used_gpu_ids=[])] == [[1, 4], [2], [3]]
    assert all(share.visible_gpus is None for share in machine_shares(3, used_gpu_ids=[]))


def test_more_trials_than_cores_take_turns_on_them():
    assert [list(share.cores) for share in machine_shares(6, used_gpu_ids=[])] == [[1], [2], [3], [4], [1], [2]]


def test_gpus_are_counted_anew_within_each_share():
    first, second = machine_shares(2, used_gpu_ids=[0, 2, 3])
    assert (first.visible_gpus, list(first.gpu_ids)) == ("0,3", [0, 1])
    assert (second.visible_gpus, list(second.gpu_ids)) == ("2", [0])


def test_gpus_are_those_that_the_process_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8f2,7")
    assert [share.visible_gpus for share in machine_shares(2, used_gpu_ids=[1, 2])] == ["GPU-8f2", "7"]


def test_fewer_gpus_than_trials_are_refused():
    with pytest.raises(SweepError, match="max_parallel_trials = 3, but used_gpu_IDs names 2 GPUs: a trial needs at least one"):
        machine_shares(3, used_gpu_ids=[0, 1])
