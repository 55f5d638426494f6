"""Writes the folder of a first experiment, from an example or from a look at the user's data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.errors import UsageError
from expman.first_steps.examples import Example, example_files, shipped_examples
from expman.first_steps.file_names import check_decodable
from expman.first_steps.kind import Found, Kind
from expman.first_steps.kinds import all_kinds
from expman.first_steps.new_folder import check_name, write_new_folder
from expman.first_steps.rendering import rendered
from expman.installation import program
from expman.settings.zoo_models import zoo_file

_SECONDS_STEP = 5


@dataclass(frozen=True, kw_only=True)
class FirstSteps:
    """The files that were written.

    Attributes:
        folder: the new folder.
        sentences: tell what was found and what is to be decided.
    """

    folder: Path
    sentences: list[str]


def write_first_steps(name: str, *, like: str | None = None, data: str | None = None, target: str | None = None) -> FirstSteps:
    """Writes a folder with `mysettings.py`, `model.py` and `README.md`, whose experiment runs as it stands.

    Arguments:
        name: of the new folder, in the current one.
        like: an example, or a kind of data; None: the example of that name.
        data: the path of the user's data, for a kind.
        target: the column to predict, for a kind that has columns.

    Raises:
        UsageError: an argument or the data do not fit; nothing has been written.
    """
    name = name.rstrip("/")
    check_name(name)
    chosen = _chosen(name, like, data=data)
    if isinstance(chosen, Example):
        if data is not None or target is not None:
            option = "--data" if data is not None else "--target"
            raise UsageError(f"--like {chosen.name} is an example that brings its own data: {option} does not go with it. For "
                             f"data of your own: --like {'|'.join(kind.name for kind in all_kinds())}.")
        return _written(name, example_files(chosen, name=name), title=chosen.summary, seconds=chosen.seconds)
    return _written_for_data(name, chosen, data=data, target=target)


def choices_text() -> str:
    """Returns the kinds and examples that `--like` takes, one a line."""
    kinds, examples = all_kinds(), shipped_examples()
    width = max(len(name) for name in (*(kind.name for kind in kinds), *(example.name for example in examples)))

    def line(choice: Kind | Example) -> str:
        return f"  {choice.name:<{width}}  {choice.summary}"

    return "\n".join([f"For data of your own: {program()} --init NAME --like KIND --data PATH", *map(line, kinds), "",
                      f"Examples that run as they are: {program()} --init NAME --like EXAMPLE", *map(line, examples)])


def _chosen(name: str, like: str | None, *, data: str | None) -> Kind | Example:
    choices: dict[str, Kind | Example] = {example.name: example for example in shipped_examples()}
    for kind in all_kinds():
        choices |= dict.fromkeys((kind.name, *kind.other_names), kind)
    if like is None and data is None and isinstance(choices.get(name), Example):
        return choices[name]
    if like is None:
        wanted = "the kind of your data" if data is not None else "one of these"
        raise UsageError(f"--init {name} needs --like, {wanted}.\n{choices_text()}")
    if like in choices:
        return choices[like]
    close = difflib.get_close_matches(like.lower(), {choice.lower(): choice for choice in choices}, n=1, cutoff=0.5)
    spelled = {choice.lower(): choice for choice in choices}
    hint = f" Did you mean {spelled[close[0]]}?" if close else ""
    raise UsageError(f"--like {like}: there is no such example or kind of data.{hint}\n{choices_text()}")


def _written_for_data(name: str, kind: Kind, *, data: str | None, target: str | None) -> FirstSteps:
    if data is None:
        raise UsageError(f"--like {kind.name} needs --data PATH: {kind.data_is}.")
    if target is not None and not kind.takes_target:
        raise UsageError(f"--target {target} does not go with --like {kind.name}: it names a column, and there are none.")
    path = Path(data).expanduser()
    if not path.exists():
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, n=1)
        hint = f" Did you mean {path.parent / close[0]}?" if close else ""
        raise UsageError(f"--data {data}: there is no such file or folder in {path.parent.absolute()}.{hint}")
    check_decodable("--data", [path.absolute()])
    try:
        found = kind.look(path, target)
    except PermissionError as error:
        raise UsageError(f"--data {data}: {error.filename or data} may not be read: {error.strerror}.") from error
    values = {**found.values, "name": name, "data": str(path.absolute()), "seconds": _rounded(found.seconds),
              "program": program()}
    files = rendered_files(kind, found, values=values)
    first_line = files["mysettings.py"].removeprefix('"""').partition("\n")[0]
    return _written(name, files, title=first_line.removeprefix(f"{name}: "), found=found, seconds=found.seconds)


def rendered_files(kind: Kind, found: Found, *, values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the files of a kind, the zoo's model among them."""
    averages_decay = values["length"].averages_decay
    files = rendered(kind.name, {**values, "average_steps": round(1 / (1 - averages_decay))})
    if found.zoo_model is not None:
        files["model.py"] = zoo_file(found.zoo_model).read_text(encoding="utf-8")
    return files


def _written(name: str, files: dict[str, str], *, title: str, seconds: float, found: Found | None = None) -> FirstSteps:
    sentences, decisions = (found.sentences, found.decisions) if found is not None else ((), ())
    others = [file for file in files if file not in ("mysettings.py", "model.py")]
    readme = rendered("readme", {
        "name": name, "title": title, "program": program(), "seconds": _rounded(seconds), "sentences": sentences,
        "decisions": decisions, "other_files": others, "has_model": "model.py" in files})
    folder = write_new_folder(name, {**files, **readme})
    return FirstSteps(folder=folder, sentences=[*sentences, *(f"DECIDE {decision}" for decision in decisions)])


def _rounded(seconds: float) -> int:
    return max(_SECONDS_STEP, round(seconds / _SECONDS_STEP) * _SECONDS_STEP)
