"""`--diff A B`: shows what differs between two experiments."""

from __future__ import annotations

import sys
from argparse import Namespace

from expman.cli.command import Command, Flag


def run(options: Namespace) -> int:
    """Prints the differences."""
    from expman.reports.compare.experiment_diff import diff
    print(diff(*options.diff, is_coloured=sys.stdout.isatty()))
    return 0


COMMAND = Command(
    Flag("diff", "show what differs between two experiments", parsing={"metavar": ("A", "B"), "nargs": 2}),
    run, position=90, synopsis="--diff A B", summary="what differs between two experiments")
