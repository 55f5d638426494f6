"""`--report FOLDER …`: writes one HTML page of experiments or a sweep."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag


def run(options: Namespace) -> int:
    """Writes the page and prints where it is."""
    from expman.reports.page.html_report import write_report
    print(f"report: {write_report(options.report, file=options.output)}")
    return 0


COMMAND = Command(
    Flag("report", "write an HTML page of experiments or a sweep", parsing={"metavar": "FOLDER", "nargs": "+"}),
    run, position=100, synopsis="--report FOLDER …", summary="one HTML page of experiments or a sweep",
    optional=[Flag("output", "the page; otherwise report.html in the folder", because="it is the page",
                   parsing={"metavar": "FILE"})])
