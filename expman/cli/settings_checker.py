"""The program `experiments_settings_checker`: checks a settings file, and writes the tables of the documentation.

experiments_settings_checker FILE        report all problems of a settings file and of its model file
experiments_settings_checker --table     print the table of settings and prototypes (Markdown)
experiments_settings_checker --update README.md   rewrite the tables between that page's markers
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from expman.errors import ExperimentError
from expman.settings.contract import CLIENT_METHODS, MODEL_PROTOTYPE, PROTOTYPES, SETTINGS
from expman.settings.vocabulary import markdown_table


def settings_table() -> str:
    """Returns the settings as a Markdown table."""
    return markdown_table(SETTINGS)


def prototypes_table() -> str:
    """Returns the prototypes of the settings file and of the model file as a Markdown table."""
    rows = ["| function | parameters offered | returns |", "| --- | --- | --- |"]
    for prototype in (MODEL_PROTOTYPE, *PROTOTYPES):
        offered = ", ".join(f"`{parameter}`" for parameter in prototype.parameters) or "none"
        kind = " (model file)" if prototype is MODEL_PROTOTYPE else "" if prototype.required else " (optional)"
        rows.append(f"| `{prototype.name}`{kind} | {offered} | {prototype.returns} |")
    for method in CLIENT_METHODS:
        offered = ", ".join(f"`{parameter}`" for parameter in method.parameters) or "none"
        rows.append(f"| `Client_IO.{method.name}` | {offered} | {method.returns} |")
    return "\n".join(rows)


def _sweep_table() -> str:
    from expman.sweeps.sweep_file import sweep_table  # needs hyperopt
    return sweep_table()


def update_tables(page: str) -> str:
    """Returns a page with its tables, which stand between `<!-- settings -->`, `<!-- prototypes -->` or `<!-- sweep -->` and
    `<!-- end -->`, written anew.
    """
    for marker, table in (("settings", settings_table), ("prototypes", prototypes_table), ("sweep", _sweep_table)):
        head, separator, rest = page.partition(f"<!-- {marker} -->\n")
        if separator:
            _, end, tail = rest.partition("<!-- end -->")
            page = f"{head}{separator}\n{table()}\n\n{end}{tail}"
    return page


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(description="Checks a settings file and its model file.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("file", nargs="?", metavar="FILE", help="the settings file to check")
    action.add_argument("--table", action="store_true", help="print the tables of settings and prototypes")
    action.add_argument("--update", metavar="PAGE", help="rewrite the tables of a Markdown page")
    options = parser.parse_args(arguments)
    if options.table:
        print(settings_table(), prototypes_table(), sep="\n\n")
    elif options.update:
        page = Path(options.update)
        page.write_text(update_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        from expman.runtimes.tensorflow_notices import start_tensorflow
        from expman.settings.loading import load_settings
        from expman.settings.user_module import UserModule
        try:
            UserModule(Path(options.file), described_as="settings file")  # tells at once, before TensorFlow takes its seconds
            start_tensorflow()
            load_settings(options.file)
        except ExperimentError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        print(f"{options.file}: no problem found")
    return 0


def console() -> NoReturn:
    """Runs the program of this process's arguments and ends the process."""
    sys.exit(main())
