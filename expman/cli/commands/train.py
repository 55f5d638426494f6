"""`--usersettings FILE`: trains an experiment, and exports as it goes."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command
from expman.cli.flags import HPARAMS, USERSETTINGS


def run(options: Namespace) -> int:
    """Trains and prints what came out."""
    from expman import experiment_run
    from expman.cli.training_result import print_result
    from expman.settings.hparams import parse_assignments
    print_result(experiment_run.train(options.usersettings, hparams=parse_assignments(options.hparams)))
    return 0


COMMAND = Command(USERSETTINGS, run, position=10, synopsis="--usersettings FILE [--hparams name=value …]",
                  summary="train, and export as it goes", optional=[HPARAMS])
