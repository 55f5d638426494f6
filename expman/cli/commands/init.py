"""`--init NAME`: writes the files of a first experiment into a new folder."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag
from expman.cli.flags import DATA


def run(options: Namespace) -> int:
    """Writes the folder, says what was found and what to do next; without a name lists what there is."""
    from expman.first_steps.first_steps import choices_text, write_first_steps
    from expman.installation import program
    if not options.init:
        print(choices_text())
        return 0
    written = write_first_steps(options.init, like=options.like, data=options.data, target=options.target)
    print("\n".join([*written.sentences, f"written: {', '.join(str(file) for file in sorted(written.folder.iterdir()))}",
                     f"next: {program()} --check --usersettings {written.folder}/mysettings.py",
                     f"      {program()} --usersettings {written.folder}/mysettings.py"]))
    return 0


def _error_in(options: Namespace) -> str | None:
    if not options.init and (options.like or options.data or options.target):
        return "--init needs NAME, that of the new folder, where --like, --data or --target are given"
    return None


COMMAND = Command(
    Flag("init", "write settings, model and README of a first experiment into the new folder NAME; without NAME: list the "
                 "examples",
         parsing={"metavar": "NAME", "nargs": "?", "const": ""}),
    run, position=5, synopsis="--init NAME [--like EXAMPLE]", summary="write a first experiment, for your own data, too",
    optional=[
        Flag("like", "the example, or the kind of your data; without it the example NAME",
             because="it names what the new folder is made from", parsing={"metavar": "EXAMPLE"}),
        DATA.used_to("your data, at which --like KIND looks"),
        Flag("target", "the column to predict, of a table", because="it names a column of "
                                                                    "--data", parsing={"metavar": "COLUMN"})],
    error_in=_error_in)
