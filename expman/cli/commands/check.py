"""`--check --usersettings FILE`: tries all parts of an experiment in seconds."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expman.cli.command import Command, Flag
from expman.cli.flags import HPARAMS, USERSETTINGS


def check(settings_file: str | os.PathLike[str], *, hparams: Mapping[str, Any] | None = None) -> bool:
    """Tries all that an experiment needs, in a few seconds, and leaves nothing behind; prints a line for each check.

    Returns:
        True when all checks passed.

    Raises:
        SettingsError: the settings file is missing or not valid Python.
    """
    from expman.runtimes.tensorflow_notices import start_tensorflow
    from expman.settings.user_module import UserModule
    UserModule(Path(settings_file), described_as="settings file")  # tells at once, before TensorFlow takes its seconds
    start_tensorflow()
    from expman.dry_run.checklist import CHECKS
    from expman.dry_run.runner import run_dry
    return run_dry(CHECKS, settings_file=settings_file, hparams=hparams)


def run(options: Namespace) -> int:
    """Returns 1 when a check failed."""
    from expman.settings.hparams import parse_assignments
    return 0 if check(options.usersettings, hparams=parse_assignments(options.hparams)) else 1


COMMAND = Command(
    Flag("check", "with --usersettings: do not train, but try data, loss, training, checkpoint, export and serving, and "
         "estimate time and memory", parsing={"action": "store_true"}),
    run, position=20, synopsis="--check --usersettings FILE", summary="try all parts in seconds; leaves nothing behind",
    required=[USERSETTINGS], optional=[HPARAMS])
