"""`--compare FOLDER …`: shows experiments as a table."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag


def run(options: Namespace) -> int:
    """Prints the table."""
    from expman.reports.compare.comparison_table import compare
    compare(options.compare, sort=options.sort, filter_expression=options.filter, columns=options.columns, csv_file=options.csv)
    return 0


COMMAND = Command(
    Flag("compare", "show experiments as a table", parsing={"metavar": "FOLDER", "nargs": "+"}),
    run, position=80, synopsis="--compare FOLDER …", summary="which of these experiments is best, and why",
    optional=[
        Flag("sort", "a metric or a column", because="it orders the table of experiments", parsing={"metavar": "COLUMN"}),
        Flag("filter", "e.g. 'hparams.hiddenNeurons > 5 and epoch > 3'", because="it chooses among experiments",
             parsing={"metavar": "TEXT"}),
        Flag("columns", "columns, separated by commas", because="it chooses the columns of the table",
             parsing={"metavar": "NAMES"}),
        Flag("csv", "write the table to a CSV file, too", because="it writes the table to a file",
             parsing={"metavar": "FILE"})])
