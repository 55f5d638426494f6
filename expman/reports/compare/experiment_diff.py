"""Describes what differs between two experiments: hparams, settings, texts, packages, data, git, and the curves."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from expman.errors import UsageError
from expman.reports.compare.curve_comparison import curve_lines
from expman.reports.compare.data_differences import data_lines
from expman.reports.experiment_records import ExperimentRecord, read_record
from expman.reports.experiment_search import find_experiments
from expman.reports.record_fields import field_text, value_text

_RED, _GREEN, _CYAN, _BOLD, _PLAIN = "\033[31m", "\033[32m", "\033[36m", "\033[1m", "\033[0m"
_MOST_DIFF_LINES = 400
_ERRORS = "damaged files"
_IDENTITY_SETTINGS = ("hparams", "session_name")


def diff(folder_a: str | os.PathLike[str], folder_b: str | os.PathLike[str], *, is_coloured: bool = False) -> str:
    """Describes in a text what differs between two experiments.

    Arguments:
        folder_a, folder_b: two experiments' folders; their lines begin with '-' and '+'.
        is_coloured: adds a terminal's colours.

    Raises:
        UsageError: one of the folders is not that of one experiment, or both are the same.
    """
    first, second = (_only_record(folder) for folder in (folder_a, folder_b))
    if first.folder.samefile(second.folder):
        raise UsageError(f"--diff compares two experiments. '{folder_a}' and '{folder_b}' are the same folder.")
    sections = [(title, list(lines)) for title, lines in _sections(first, second)]
    text = [f"--- {first.folder}", f"+++ {second.folder}", ""]
    for title, lines in sections:
        text += [f"{title}:", *(f"  {line}".rstrip() for line in lines), ""] if lines else []
    same = [title for title, lines in sections if not lines and title != _ERRORS]
    text += [f"no difference in: {', '.join(same)}"] if same else []
    return "\n".join(map(_coloured, text) if is_coloured else text).rstrip()


def _only_record(folder: str | os.PathLike[str]) -> ExperimentRecord:
    found = find_experiments([folder])
    if os.path.realpath(found[0]) != os.path.realpath(folder):
        raise UsageError(f"--diff takes the folders of two experiments. '{folder}' holds {len(found)} below it, "
                         f"for instance '{found[0]}'.")
    return read_record(folder)


def _sections(first: ExperimentRecord, second: ExperimentRecord) -> Iterator[tuple[str, Iterator[str]]]:
    """Titles and lines, in the order in which they explain a difference."""
    settings = ({name: value for name, value in record.settings.items() if name not in _IDENTITY_SETTINGS}
                for record in (first, second))
    yield _ERRORS, (f"{sign} {error}" for sign, record in (("-", first), ("+", second)) for error in record.errors)
    yield "result", _mapping_lines(*(_result(record) for record in (first, second)))
    yield "hparams", _mapping_lines(first.hparams, second.hparams)
    yield "settings", _mapping_lines(*settings)
    yield "settings file", _text_lines(first.files.settings_file, second.files.settings_file)
    yield "model file", _text_lines(first.files.model_file, second.files.model_file)
    yield "modules beside them", _module_lines(first, second)
    yield "data", data_lines(first, second)
    yield "git", _mapping_lines(_git(first), _git(second))
    yield "packages", _mapping_lines(_mapping(first, "packages"), _mapping(second, "packages"))
    yield "machine", _mapping_lines(_machine(first), _machine(second))
    yield "curves", curve_lines(first, second)


def _result(record: ExperimentRecord) -> dict[str, Any]:
    """Returns the result of an experiment, as the table of `--compare` has it."""
    values = {name: field_text(record, name) for name in ("status", "reason", "epoch", "best_epoch", "duration", "versions")}
    return {**values, **{f"best {name}": value for name, value in record.metrics.items()}}


def _git(record: ExperimentRecord) -> dict[str, Any]:
    git = _mapping(record, "git")
    return {"commit": git.get("commit"), "uncommitted changes": f"{len(str(git['diff']).splitlines())} lines"
            if git.get("diff") else "none"} if git else {}


def _machine(record: ExperimentRecord) -> dict[str, Any]:
    return {**_mapping(record, "machine"), "python": record.identity.get("python")}


def _mapping(record: ExperimentRecord, name: str) -> Mapping[str, Any]:
    value = record.identity.get(name)
    return value if isinstance(value, Mapping) else {}


def _mapping_lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """'name: old → new' for each name whose values differ."""
    missing = object()
    for name in dict.fromkeys(chain(first, second)):
        one, other = first.get(name, missing), second.get(name, missing)
        if type(one) is type(other) and one == other:
            continue
        old, new = ("(none)" if value is missing else _shown(value) for value in (one, other))
        if old == new:  # equal once rounded, or 1 and 1.0
            old, new = repr(one), repr(other)
        yield f"{name}: {old} → {new}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value_text(value) or "''"


def _text_lines(first: Path, second: Path) -> Iterator[str]:
    """A unified diff of two files."""
    lines = list(difflib.unified_diff(_read_lines(first), _read_lines(second), lineterm="", n=2))[2:]
    yield from lines[:_MOST_DIFF_LINES]
    if len(lines) > _MOST_DIFF_LINES:
        yield f"… and {len(lines) - _MOST_DIFF_LINES} lines more: diff -u '{first}' '{second}'"


def _module_lines(first: ExperimentRecord, second: ExperimentRecord) -> Iterator[str]:
    """Yields the lines that differ in the user's own modules that the settings imported."""
    names = sorted({str(path.relative_to(record.files.user_modules)) for record in (first, second)
                    for path in record.files.user_modules.rglob("*.py")})
    for name in names:
        lines = list(_text_lines(first.files.user_modules / name, second.files.user_modules / name))
        yield from [f"{name}:", *lines] if lines else []


def _read_lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _coloured(line: str) -> str:
    stripped = line.strip()
    if line and not line.startswith((" ", "-", "+")):
        return f"{_BOLD}{line}{_PLAIN}"
    colour = _RED if stripped.startswith("-") else _GREEN if stripped.startswith("+") else (
        _CYAN if stripped.startswith("@@") else "")
    return f"{colour}{line}{_PLAIN}" if colour else line
