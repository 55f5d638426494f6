"""The flags of the script: what they are called, which go together, and their help."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

_ENGINES = ("auto", "tensorflow_model_server", "docker", "apptainer", "embedded")
_SWEEP_ENGINES = ("local", "ray")
_OF_ONE_EXPERIMENT = ("restart_interrupted", "evaluate", "start_server", "predict")

# option → the commands that it goes with, and what else to do
_GOES_WITH = {
    "model_dir": (_OF_ONE_EXPERIMENT, "a training makes its own folder"),
    "check": (("usersettings",), "it tries the experiment of a settings file"),
    "hparams": (("usersettings",), "an existing experiment keeps its own, a sweep has its space"),
    "nbEpoch": (("restart_interrupted",), "otherwise set nbEpoch in the settings file"),
    "data": (("evaluate",), "it names other data to measure on"),
    "accept_changes": (("sweep",), "it lets a sweep go on with changed files"),
    "engine": (("sweep",), "it says where trials run"),
    "ray_address": (("sweep",), "it names the Ray cluster of --engine ray"),
    "sort": (("compare",), "it orders the table of experiments"),
    "filter": (("compare",), "it chooses among experiments"),
    "columns": (("compare",), "it chooses the columns of the table"),
    "csv": (("compare",), "it writes the table to a file"),
    "serving_engine": (("start_server",), "it names the server"),
    "port": (("start_server", "predict"), "it is the port of the server"),
    "predict_stream": (("predict",), "it is the number of samples to send"),
    "rest_port": (("start_server",), "it is where the server offers REST"),
    "batching": (("start_server",), "it joins the requests to the server"),
    "embedded_workers": (("start_server",), "it says how many server processes to start"),
    "gpu_memory_fraction": (("start_server",), "it limits the server"),
    "output": (("report",), "it names the page"),
}


def parse(arguments: Sequence[str], *, description: str) -> argparse.Namespace:
    """Reads the flags; ends the process with a usage message when they do not fit together.

    Arguments:
        arguments: without the script's name.
        description: begins the help.
    """
    wants_help = "-h" in arguments or "--help" in arguments
    parser = _Parser(prog="experiments_manager.py", description=description, epilog=_settings_help() if wants_help else None,
                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
                     usage="experiments_manager.py COMMAND [options]")
    commands = _add_commands(parser)
    _add_options(parser)
    options = parser.parse_args(arguments)
    given = next(name for name in commands if getattr(options, name))
    if given in _OF_ONE_EXPERIMENT and options.model_dir is None:
        parser.error("this command needs --model_dir FOLDER, the folder of an experiment")
    for name, (fitting, remedy) in _GOES_WITH.items():
        if getattr(options, name) != parser.get_default(name) and given not in fitting:
            parser.error(f"--{name} goes with {' or '.join(f'--{command}' for command in fitting)} only: {remedy}")
    if options.ray_address and options.engine != "ray":
        parser.error("--ray_address goes with --engine ray only: it names the Ray cluster")
    return options


def _add_commands(parser: argparse.ArgumentParser) -> list[str]:
    group = parser.add_argument_group("commands (one of)").add_mutually_exclusive_group(required=True)
    actions = [
        group.add_argument("--usersettings", metavar="FILE", help="train the experiment of a settings file"),
        group.add_argument("--restart_interrupted", action="store_true", help="go on with the training of --model_dir"),
        group.add_argument("--evaluate", action="store_true",
                           help="measure the best weights of --model_dir on its validation data, or on --data"),
        group.add_argument("--start_server", action="store_true", help="serve the model of --model_dir until Ctrl-C"),
        group.add_argument("--predict", action="store_true", help="send samples to the server of --model_dir"),
        group.add_argument("--sweep", metavar="FILE", help="run the sweep of a sweep file, or go on with it"),
        group.add_argument("--compare", metavar="FOLDER", nargs="+", help="show experiments as a table"),
        group.add_argument("--diff", metavar=("A", "B"), nargs=2, help="show what differs between two experiments"),
        group.add_argument("--report", metavar="FOLDER", nargs="+", help="write an HTML page of experiments or a sweep")]
    return [action.dest for action in actions]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", metavar="FOLDER", help="an experiment's folder")
    parser.add_argument("--check", action="store_true",
                        help="with --usersettings: do not train, but try data, loss, training, checkpoint, export and serving, "
                        "and estimate time and memory")
    parser.add_argument("--hparams", metavar="NAME=VALUE", nargs="+", default=[],
                        help="replace values of the settings' hparams")
    parser.add_argument("--nbEpoch", metavar="N", type=_positive, help="with --restart_interrupted: train to epoch N")
    parser.add_argument("--data", metavar="FOLDER",
                        help="with --evaluate: passed to the input pipeline instead of raw_data_dir_val")
    parser.add_argument("--serving_engine", choices=_ENGINES, default="auto",
                        help="with --start_server; auto: tensorflow_model_server if installed, else the embedded server")
    parser.add_argument("--port", metavar="N", type=_port, help="gRPC port, instead of tensorflow_server_port")
    parser.add_argument("--rest_port", metavar="N", type=_port,
                        help="with --start_server: REST port, instead of tensorflow_server_rest_port; 0: none")
    parser.add_argument("--batching", metavar="FILE", nargs="?", const="",
                        help="with --start_server: join requests that arrive together into one run of the model; FILE: "
                        "BatchingParameters of TensorFlow Serving, as text")
    parser.add_argument("--embedded_workers", metavar="N", type=_positive,
                        help="with --start_server: processes of the embedded server that share the ports")
    parser.add_argument("--gpu_memory_fraction", metavar="F", type=_fraction,
                        help="with --start_server: of each GPU's memory, from 0 to 1; otherwise the engine's own choice")
    parser.add_argument("--predict_stream", metavar="N", type=int, default=1,
                        help="with --predict: number of samples; negative: until Client_IO raises StopIteration")
    parser.add_argument("--accept_changes", action="store_true",
                        help="with --sweep: go on although its file, the settings or the model changed since it was started")
    parser.add_argument("--engine", choices=_SWEEP_ENGINES,
                        help="with --sweep: trials on this machine (local, the default) or on a Ray cluster")
    parser.add_argument("--ray_address", metavar="A", help="with --engine ray: HOST:PORT of the cluster, or "
                        "auto; otherwise RAY_ADDRESS, else Ray starts on this machine")
    parser.add_argument("--sort", metavar="COLUMN", help="with --compare: a metric or a column")
    parser.add_argument("--filter", metavar="TEXT", help="with --compare: e.g. 'hparams.hiddenNeurons > 5 and epoch > 3'")
    parser.add_argument("--columns", metavar="NAMES", help="with --compare: columns, separated by commas")
    parser.add_argument("--csv", metavar="FILE", help="with --compare: write the table to a CSV file, too")
    parser.add_argument("--output", metavar="FILE", help="with --report: the page; otherwise report.html in the folder")
    parser.add_argument("--debug", action="store_true",
                        help="show tracebacks of errors; with --predict: pass debugMode=True to Client_IO")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Adds the closest known flag to the message about an unknown one."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        for argument in unknown:
            close = difflib.get_close_matches(argument.partition("=")[0], self._option_string_actions, n=1)
            if close:
                message += f". Did you mean {close[0]}?"
        super().error(message)


def _settings_help() -> str:
    """The settings as `--help` lists them."""
    from expman.settings.contract import PROTOTYPES, SETTINGS
    width = max(len(setting.name) for setting in SETTINGS)
    lines = [f"  {setting.name:<{width}}  {setting.meaning} [{setting.default!r}]" for setting in SETTINGS]
    functions = [f"  {prototype.name}({', '.join(prototype.parameters)})" for prototype in PROTOTYPES]
    return "\n".join(["settings of a settings file [default]:", *lines, "", "functions of a settings file:", *functions])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an int above 0. Got '{text}'.")
    return int(text)


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1. Got '{text}'.")
    return number


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a port number from 0 to 65535. Got '{text}'.")
    return int(text)
