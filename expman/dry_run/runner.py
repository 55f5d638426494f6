"""Runs the checks of a dry run in a temporary folder and prints a line for each."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expman.dry_run.check import Check, Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.resize_watch import watched_resizing
from expman.errors import ExperimentError

_INDENT = "    "


def run_dry(checks: Sequence[Check], *, settings_file: str | os.PathLike[str], hparams: Mapping[str, Any] | None) -> bool:
    """Performs checks on a settings file, and removes all that they wrote, whatever ends them.

    Arguments:
        checks: in their order.
        settings_file: the user's settings file.
        hparams: values that replace those of its `hparams`.

    Returns:
        Whether all of them passed.
    """
    with _ended_by_termination(), _no_bytecode_written(), \
            tempfile.TemporaryDirectory(prefix="experiment_check_") as temporary_folder:
        run = DryRun(settings_file=Path(settings_file), hparams=hparams or {}, temporary_folder=Path(temporary_folder))
        with watched_resizing(run.resizes):  # before the user's modules import what resizes
            return _perform_all(checks, run)


def _perform_all(checks: Sequence[Check], run: DryRun) -> bool:
    start = time.perf_counter()
    width = max(len(check.name) for check in checks)
    passed: set[str] = set()
    num_failed = 0
    for check in checks:
        print(f"{check.name:<{width}}  ", end="", flush=True)  # ahead of the work: shows what takes so long
        missing = [name for name in check.requires if name not in passed]
        if missing:
            print(f"skipped           needs '{missing[0]}'", flush=True)
        elif _perform(check, run):
            passed.add(check.name)
        else:
            num_failed += 1
    num_skipped = len(checks) - len(passed) - num_failed
    outcome = f"{num_failed} failed, {num_skipped} skipped" if num_failed else f"all {len(checks)} checks passed"
    print(f"{outcome} in {time.perf_counter() - start:.1f} s; nothing was kept", flush=True)
    return not num_failed


def _perform(check: Check, run: DryRun) -> bool:
    """Performs one check and prints the rest of its line, then what belongs below it; returns whether it passed."""
    start = time.perf_counter()
    reason, finding = None, Finding("")
    with contextlib.redirect_stdout(io.StringIO()) as printed:  # by the user's code: it must not break the line
        try:
            finding = check.perform(run)
        except ExperimentError as error:
            reason = str(error)
        except Exception:  # a boundary: whatever a check meets, those that do not need it go on
            reason = traceback.format_exc().rstrip()
    verdict = "ok" if reason is None else "FAILED"
    print(f"{verdict:<7} {time.perf_counter() - start:6.1f} s  {finding.summary}".rstrip())
    for text in (reason, *finding.details):
        _print_below(text)
    _print_below(printed.getvalue(), mark="| ")
    sys.stdout.flush()
    return reason is None


def _print_below(text: str | None, *, mark: str = "") -> None:
    for line in (text or "").splitlines():
        print(f"{_INDENT}{mark}{line}")


@contextlib.contextmanager
def _no_bytecode_written() -> Iterator[None]:
    """Keeps Python from leaving `__pycache__` beside the modules that the user's files import."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@contextlib.contextmanager
def _ended_by_termination() -> Iterator[None]:
    """Makes SIGTERM unwind the stack as Ctrl-C does, so that the temporary folder goes; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
