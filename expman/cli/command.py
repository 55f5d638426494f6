"""A command of the program and its flags, as the files in `commands/` declare them."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        help: says what the flag does.
        because: says why the flag goes only with the commands that declare it; completes '--x goes with --y only: …'.
        default: the value when the flag is not given.
        parsing: passed to `ArgumentParser.add_argument`, such as `metavar`, `type`, `choices`, `nargs` or `action`.
    """

    name: str
    help: str
    because: str = ""
    default: Any = None
    parsing: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"--{self.name}"

    @property
    def usage(self) -> str:
        """The flag with its value, as one types it."""
        metavar = self.parsing.get("metavar", "")
        return " ".join([str(self), *([metavar] if isinstance(metavar, str) else metavar)]).rstrip()

    def used_to(self, do: str) -> Flag:
        """Returns the flag with the help of a command that does something else with the value."""
        return dataclasses.replace(self, help=do)


def _no_error(options: Namespace) -> str | None:
    return None


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        flag: chooses the command.
        run: does it; takes all flags of the command as attributes and returns the exit code.
        synopsis: a typical use, for the head of the help.
        summary: says in a few words what the command does, beside the synopsis.
        position: orders the commands in the help, from low to high.
        required, optional: the further flags that go with the command.
        error_in: returns what is wrong with flags that are each right, None when nothing is.
    """

    flag: Flag
    run: Callable[[Namespace], int]
    synopsis: str
    summary: str
    position: int
    required: Sequence[Flag] = ()
    optional: Sequence[Flag] = ()
    error_in: Callable[[Namespace], str | None] = _no_error

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags that go with the command, its own first."""
        return (self.flag, *self.required, *self.optional)

    def takes(self, name: str) -> bool:
        """Returns True when a flag of this name goes with the command."""
        return any(flag.name == name for flag in self.flags)
