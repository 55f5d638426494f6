"""A kind of data of one's own, as the files in `kinds/` declare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Found:
    """The findings about the data, and what follows for the settings.

    Attributes:
        sentences: tell the user what lies there.
        decisions: tell the user what only he can decide; `DECIDE` marks the lines in the settings.
        values: for the templates of the kind, by name.
        zoo_model: the model of the zoo whose file becomes `model.py`; None: the kind has a template of its own.
        seconds: a guess of the training's time.
    """

    sentences: Sequence[str]
    decisions: Sequence[str]
    values: Mapping[str, Any]
    zoo_model: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of data.

    Attributes:
        name: what the user writes behind `--like`; its templates are in `templates/<name>/`.
        other_names: what he may write as well.
        summary: one line for the list.
        data_is: completes '--data PATH: …'.
        takes_target: whether `--target COLUMN` says something.
        look: finds out what lies there, from the path and the target.
    """

    name: str
    other_names: Sequence[str] = ()
    summary: str
    data_is: str
    takes_target: bool
    look: Callable[[Path, str | None], Found]
