#!/usr/bin/env python3
"""Trains, restarts, serves and queries TensorFlow experiments that are described by settings files.

    experiments_manager.py --usersettings FILE [--hparams name=value …]    train, and export as it goes
    experiments_manager.py --check --usersettings FILE                     try all parts in seconds; leaves nothing behind
    experiments_manager.py --restart_interrupted --model_dir FOLDER        go on after a failure
    experiments_manager.py --start_server --model_dir FOLDER               serve the newest exported version
    experiments_manager.py --predict --model_dir FOLDER                    query the server through Client_IO

From Python: `experiments_manager.run(settings_file, hparams)`.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

_ENGINES = ("auto", "tensorflow_model_server", "docker", "apptainer", "embedded")


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
    from expman import commands
    return commands.train(settings_file, hparams=hparams, hparams_origin="python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parse(list(sys.argv[1:] if arguments is None else arguments))
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("expman").setLevel(logging.DEBUG if options.debug else logging.INFO)
    from expman.errors import ExperimentError
    try:
        return _execute(options)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        logging.getLogger("expman").debug("This is where it was found.", exc_info=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _execute(options: argparse.Namespace) -> int:
    from expman import commands
    if options.start_server:
        return commands.start_server(options.model_dir, engine=options.serving_engine, port=options.port)
    if options.predict:
        commands.predict(options.model_dir, num_requests=options.predict_stream, port=options.port, debug=options.debug)
        return 0
    if options.restart_interrupted:
        result = commands.restart(options.model_dir, num_epochs=options.nbEpoch)
    else:
        from expman.hparams import parse_assignments
        hparams = parse_assignments(options.hparams)
        if options.check:
            return 0 if commands.check(options.usersettings, hparams=hparams) else 1
        result = commands.train(options.usersettings, hparams=hparams)
    _print_result(result)
    return 0


def _print_result(result: Mapping[str, Any]) -> None:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in result.items() if isinstance(value, float))
    folder = result["sessionFolder"]
    print(f"best evaluation: {metrics}\nexperiment folder: {folder}\nnewest export: {result['last_exported_model']}\n"
          f"next: python experiments_manager.py --start_server --model_dir {folder}\n"
          f"      tensorboard --logdir {folder}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Adds the closest known flag to the message about an unknown one."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        for argument in unknown:
            close = difflib.get_close_matches(argument.partition("=")[0], self._option_string_actions, n=1)
            if close:
                message += f". Did you mean {close[0]}?"
        super().error(message)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="experiments_manager.py", description=__doc__, epilog=_settings_help() if _wants_help(arguments)
                     else None, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
                     usage="experiments_manager.py COMMAND [options]")
    commands = parser.add_argument_group("commands (one of)").add_mutually_exclusive_group(required=True)
    commands.add_argument("--usersettings", metavar="FILE", help="train the experiment of a settings file")
    commands.add_argument("--restart_interrupted", action="store_true", help="go on with the training of --model_dir")
    commands.add_argument("--start_server", action="store_true", help="serve the model of --model_dir until Ctrl-C")
    commands.add_argument("--predict", action="store_true", help="send samples to the server of --model_dir")
    parser.add_argument("--model_dir", metavar="FOLDER", help="an experiment's folder")
    parser.add_argument("--check", action="store_true",
                        help="with --usersettings: do not train, but try data, loss, training, checkpoint, export and serving, "
                        "and estimate time and memory")
    parser.add_argument("--hparams", metavar="NAME=VALUE", nargs="+", default=[],
                        help="replace values of the settings' hparams")
    parser.add_argument("--nbEpoch", metavar="N", type=_positive, help="with --restart_interrupted: train to epoch N")
    parser.add_argument("--serving_engine", choices=_ENGINES, default="auto",
                        help="with --start_server; auto: tensorflow_model_server if installed, else the embedded server")
    parser.add_argument("--port", metavar="N", type=_port, help="gRPC port, instead of tensorflow_server_port")
    parser.add_argument("--predict_stream", metavar="N", type=int, default=1,
                        help="with --predict: number of samples; negative: until Client_IO raises StopIteration")
    parser.add_argument("--debug", action="store_true",
                        help="show tracebacks of errors; with --predict: pass debugMode=True to Client_IO")
    options = parser.parse_args(arguments)
    needs_folder = options.usersettings is None
    if needs_folder and options.model_dir is None:
        parser.error("this command needs --model_dir FOLDER, the folder of an experiment")
    if not needs_folder and options.model_dir is not None:
        parser.error("--model_dir does not go with --usersettings: a training makes its own folder")
    if options.check and needs_folder:
        parser.error("--check goes with --usersettings only: it tries the experiment of a settings file")
    if options.hparams and needs_folder:
        parser.error("--hparams goes with --usersettings only: an existing experiment keeps its own")
    if options.nbEpoch and not options.restart_interrupted:
        parser.error("--nbEpoch goes with --restart_interrupted only; otherwise set nbEpoch in the settings file")
    return options


def _wants_help(arguments: Sequence[str]) -> bool:
    return "-h" in arguments or "--help" in arguments


def _settings_help() -> str:
    """The settings as `--help` lists them."""
    from experiments_settings_checker import PROTOTYPES, SETTINGS
    width = max(len(setting.name) for setting in SETTINGS)
    lines = [f"  {setting.name:<{width}}  {setting.meaning} [{setting.default!r}]" for setting in SETTINGS]
    functions = [f"  {prototype.name}({', '.join(prototype.parameters)})" for prototype in PROTOTYPES]
    return "\n".join(["settings of a settings file [default]:", *lines, "", "functions of a settings file:", *functions])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an int above 0. Got '{text}'.")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port number from 0 to 65535. Got '{text}'.")
    return int(text)


if __name__ == "__main__":
    exit_code = main()
    gc.collect()  # iterators over data that Python code gives can only end while that code can still run
    sys.exit(exit_code)
