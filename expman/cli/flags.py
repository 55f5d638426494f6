"""Flags that several commands share, and the kinds of values that flags take."""

from __future__ import annotations

import argparse

from expman.cli.command import Flag


def positive(text: str) -> int:
    """Reads an int above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an int above 0. Got '{text}'.")
    return int(text)


def fraction(text: str) -> float:
    """Reads a number above 0, at most 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1. Got '{text}'.")
    return number


def port(text: str) -> int:
    """Reads a port number; 0 stands for a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port number from 0 to 65535. Got '{text}'.")
    return int(text)


USERSETTINGS = Flag("usersettings", "train the experiment of a settings file", parsing={"metavar": "FILE"})
HPARAMS = Flag("hparams", "replace values of the settings' hparams", default=(),
               because="an existing experiment keeps its own, a sweep has its space",
               parsing={"metavar": "NAME=VALUE", "nargs": "+"})
MODEL_DIR = Flag("model_dir", "an experiment's folder", because="a training makes its own folder",
                 parsing={"metavar": "FOLDER"})
PORT = Flag("port", "gRPC port, instead of tensorflow_server_port", because="it is the port of the server",
            parsing={"metavar": "N", "type": port})
DATA = Flag("data", "passed to the input pipeline instead of raw_data_dir_val", because="it names data to measure on or to look at",
            parsing={"metavar": "PATH"})
DEBUG = Flag("debug", "show tracebacks of errors; with --predict: pass debugMode=True to Client_IO", default=False,
             parsing={"action": "store_true"})
"""Goes with every command."""
