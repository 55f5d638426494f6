#!/usr/bin/env python3
"""Trains, restarts, serves and queries TensorFlow experiments; `--help` lists the commands, one file each in expman/cli/.

From Python: `experiments_manager.run(settings_file, hparams)`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from expman.cli.script import console, main

__all__ = ["main", "run"]


def run(settings_file: str | os.PathLike[str], hparams: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Trains an experiment and returns what came out, as hyperopt's `fmin` takes it.

    Arguments:
        settings_file: the user's settings file.
        hparams: values that replace those of the file's `hparams`.

    Returns:
        A dict with `loss` and the other validation metrics of the best evaluation, `global_step`, `sessionFolder`,
        `last_exported_model` (None when there is none) and `status` ('ok').

    Raises:
        expman.errors.ExperimentError: the user's files, the data or the machine are at fault.
    """
    from expman.experiment_run import train
    return train(settings_file, hparams=hparams, hparams_origin="python")


if __name__ == "__main__":
    console()
