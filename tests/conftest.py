"""What many tests share: one small trained experiment, and the script as a process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import SCRIPT, run_script
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("MLFLOW_TRACKING_URI", None)  # the tests' experiments are nobody else's


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Chooses which worker takes which tests."""
    from tests.support.parallel_runs import FilesTogether
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the tests for several workers."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.support.parallel_runs import sort_longest_first
        sort_longest_first(items)


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from what all tests share: each training makes it look at all else there is."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Makes tests that must be alone wait for the others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    from tests.support.parallel_runs import taking_turns
    with taking_turns(item):
        return (yield)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What `experiments_manager.run` returned for the small experiment; its folder must not be changed."""
    import experiments_manager
    file = write_experiment(tmp_path_factory.mktemp("trained"))
    return experiments_manager.run(file)


@pytest.fixture(autouse=True)
def initial_weights_and_noise_are_the_same_in_each_run() -> None:
    """A test that fails shall fail again."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def op_determinism_ends_with_the_test() -> Iterator[None]:
    """A training turns it on for its whole process; here many share one, and it forbids ops such as tf.timestamp."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework.config import disable_op_determinism
        disable_op_determinism()


@pytest.fixture(autouse=True)
def imports_of_an_experiment_end_with_the_test() -> Iterator[None]:
    """What a test loads without training it would keep its import path into the next test."""
    yield
    if "expman.settings.user_imports" in sys.modules:
        sys.modules["expman.settings.user_imports"].end_imports()


@pytest.fixture
def script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `experiments_manager.py` as a process of its own, which has TensorFlow already, and waits for its end."""
    return run_script


@pytest.fixture
def cold_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `experiments_manager.py` as a user does, with a new interpreter, and waits for its end."""
    def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                              timeout=300, check=False)

    return run
