"""`--sweep FILE`: searches the best hyperparameters, or goes on with it."""

from __future__ import annotations

import shlex
from argparse import Namespace
from typing import TYPE_CHECKING

from expman.cli.command import Command, Flag

if TYPE_CHECKING:
    from expman.sweeps.sweep_results import SweepResult

_ENGINES = ("local", "ray")


def run(options: Namespace) -> int:
    """Runs the sweep and prints what came out."""
    if options.engine == "ray":
        from expman.sweeps.on_ray.ray_sweep import run_ray_sweep
        result = run_ray_sweep(options.sweep, address=options.ray_address, accepts_changes=options.accept_changes)
    else:
        from expman.sweeps.local_sweep import run_sweep
        result = run_sweep(options.sweep, accepts_changes=options.accept_changes)
    _print(result)
    return 0


def _print(result: SweepResult) -> None:
    from expman.installation import program
    from expman.records.running_servers import start_command
    best = result.best
    hparams = ", ".join(f"{name} {value}" for name, value in best.hparams.items())
    failed = f", {result.num_failed} of them failed" if result.num_failed else ""
    print(f"{result.num_trials} trials{failed}\nbest trial: {best.number}, {best.value:.5g}, {hparams}\n"
          f"best experiment: {best.folder.path}\npictures: {result.folder / 'pictures'}\n"
          f"next: {start_command(result.best_link)}\n"
          f"      {program()} --report {shlex.quote(str(result.folder))}")


def _error_in(options: Namespace) -> str | None:
    if options.ray_address is not None and options.engine != "ray":
        return "--ray_address goes with --engine ray only: it names the Ray cluster"
    return None


COMMAND = Command(
    Flag("sweep", "run the sweep of a sweep file, or go on with it", parsing={"metavar": "FILE"}),
    run, position=70, synopsis="--sweep FILE", summary="search the best hyperparameters, or go on with it",
    optional=[
        Flag("accept_changes", "go on although its file, the settings or the model changed since it was started",
             because="it lets a sweep go on with changed files", default=False, parsing={"action": "store_true"}),
        Flag("engine", "trials on this machine (local, the default) or on a Ray cluster", because="it says where trials run",
             default="local", parsing={"choices": _ENGINES}),
        Flag("ray_address", "for --engine ray: HOST:PORT of the cluster, or auto; otherwise RAY_ADDRESS, else Ray starts on this "
             "machine", because="it names the Ray cluster of --engine ray", parsing={"metavar": "A"})],
    error_in=_error_in)
