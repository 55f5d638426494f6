"""Reads the command line: finds the command and refuses flags that do not go with it."""

from __future__ import annotations

import argparse
import difflib
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NoReturn

from expman.cli.command import Command
from expman.cli.flags import DEBUG


def parse(arguments: Sequence[str], *, commands: Sequence[Command], program: str) -> tuple[Command, Namespace]:
    """Reads the flags; ends the process with a usage message when they do not fit together.

    Arguments:
        arguments: without the program's name.
        commands: all that there are, in the order of the help.
        program: the program's name.

    Returns:
        The command, and a value for each flag that goes with it.
    """
    wants_help = "-h" in arguments or "--help" in arguments
    parser = _Parser(prog=program, description=_description(commands, program=program), allow_abbrev=False,
                     epilog=_settings_help() if wants_help else None, usage=f"{program} COMMAND [options]",
                     formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS)
    _add_flags(parser, commands)
    given = parser.parse_args(arguments)  # holds what was given, not a default more
    command = _chosen(parser, commands, given=vars(given))
    _check_no_flag_twice(parser, arguments)
    _check(parser, command, commands, given=vars(given))
    options = Namespace(**{flag.name: getattr(given, flag.name, flag.default) for flag in (*command.flags, DEBUG)})
    error = command.error_in(options)
    if error is not None:
        parser.error(error)
    return command, options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Adds the closest known flag to the message about an unknown one."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        for argument in unknown:
            close = difflib.get_close_matches(argument.partition("=")[0], self._option_string_actions, n=1)
            if close and f"Did you mean {close[0]}?" not in message:
                message += f". Did you mean {close[0]}?"
        super().error(message)


def _check_no_flag_twice(parser: _Parser, arguments: Sequence[str]) -> None:
    """Ends the process when a flag is given twice: the first value would have no effect."""
    counts = Counter(argument.partition("=")[0] for argument in arguments if argument.startswith("--"))
    for flag in [flag for flag, count in counts.items() if count > 1]:
        parser.error(f"{flag} is given {counts[flag]} times. Give it once.")


def _add_flags(parser: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    """Adds each flag once, those that choose a command first.

    Raises:
        ValueError: two commands read a flag of the same name otherwise.
    """
    group = parser.add_argument_group("commands (one of)")
    choosing = [command.flag for command in commands]
    for flag in choosing:
        group.add_argument(str(flag), help=flag.help, **flag.parsing)
    names = dict.fromkeys(flag.name for command in commands for flag in command.flags)
    for name in [name for name in names if name not in {flag.name for flag in choosing}]:
        declared = [(command, flag) for command in commands for flag in command.flags if flag.name == name]
        parsing = declared[0][1].parsing
        if any(flag.parsing != parsing for _, flag in declared):
            raise ValueError(f"{' and '.join(str(command.flag) for command, _ in declared)} declare --{name} differently.")
        helps = dict.fromkeys(flag.help for _, flag in declared)
        parser.add_argument(f"--{name}", **parsing, help="; ".join(
            f"with {_either(command for command, flag in declared if flag.help == text)}: {text}" for text in helps))
    parser.add_argument(str(DEBUG), help=DEBUG.help, **DEBUG.parsing)


def _chosen(parser: _Parser, commands: Sequence[Command], *, given: Iterable[str]) -> Command:  # noqa: RET503  (error ends)
    """Returns the command with which all command flags that are given go."""
    wanted = [command for command in commands if command.flag.name in given]
    if not wanted:
        parser.error(f"one of the arguments {' '.join(str(command.flag) for command in commands)} is required")
    for command in wanted:
        if all(command.takes(other.flag.name) for other in wanted):
            return command
    parser.error(f"argument {wanted[1].flag}: not allowed with argument {wanted[0].flag}")


def _check(parser: _Parser, command: Command, commands: Sequence[Command], *, given: Iterable[str]) -> None:
    for flag in command.required:
        if flag.name not in given:
            parser.error(f"{command.flag} needs {flag.usage}")
    for name in given:
        if name != DEBUG.name and not command.takes(name):
            fitting = [other for other in commands if other.takes(name)]
            flag = next(flag for flag in fitting[0].flags if flag.name == name)
            parser.error(f"{flag} goes with {_either(fitting)} only: {flag.because}")


def _either(commands: Iterable[Command]) -> str:
    return " or ".join(str(command.flag) for command in commands)


def _description(commands: Sequence[Command], *, program: str) -> str:
    """Returns what `--help` begins with."""
    width = max(len(command.synopsis) for command in commands)
    lines = [f"    {program} {command.synopsis:<{width}}  {command.summary}" for command in commands]
    return "\n".join(["Trains, restarts, serves and queries TensorFlow experiments that are described by settings files.", "",
                      *lines, "", "From Python: `experiments_manager.run(settings_file, hparams)`."])


def _settings_help() -> str:
    """Returns the settings as `--help` lists them."""
    from expman.settings.contract import PROTOTYPES, SETTINGS
    width = max(len(setting.name) for setting in SETTINGS)
    lines = [f"  {setting.name:<{width}}  {setting.meaning} [{setting.default!r}]" for setting in SETTINGS]
    functions = [f"  {prototype.name}({', '.join(prototype.parameters)})" for prototype in PROTOTYPES]
    return "\n".join(["settings of a settings file [default]:", *lines, "", "functions of a settings file:", *functions])
