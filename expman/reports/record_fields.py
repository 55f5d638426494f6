"""The names by which `--sort`, `--filter` and `--columns` speak of what an experiment's record holds."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expman.errors import UsageError
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.number_text import duration_text, number_text

GROUPS = ("metrics", "hparams", "settings")
_MOST_NAMED = 30
_MOST_VERSIONS_SHOWN = 3


@dataclass(frozen=True)
class Field:
    """One quantity of an experiment.

    Attributes:
        value: reads it from a record; None when the experiment has none.
        shown: how a table shows a record's value, when not simply the value.
    """

    value: Callable[[ExperimentRecord], Any]
    shown: Callable[[ExperimentRecord], str] | None = None


FIELDS: Mapping[str, Field] = {
    "name": Field(lambda record: record.name),
    "status": Field(lambda record: record.status),
    "reason": Field(lambda record: record.reason or None),
    "epoch": Field(lambda record: _count(record, "epoch"), lambda record: _epoch_text(record)),
    "best_epoch": Field(lambda record: _count(record, "best_epoch")),
    "step": Field(lambda record: _count(record, "step")),
    "duration": Field(lambda record: record.duration_seconds, lambda record: duration_text(record.duration_seconds)),
    "versions": Field(lambda record: len(record.versions), lambda record: _versions_text(record.versions)),
    "data": Field(lambda record: record.data_fingerprint or None),
    "git": Field(lambda record: record.git_commit or None),
    "created": Field(lambda record: record.identity.get("created")),
    "folder": Field(lambda record: str(record.folder)),
    "trial": Field(lambda record: record.trial.get("number")),
}


def split_name(name: str) -> tuple[str, str]:
    """('hparams', 'x') of 'hparams.x'; ('', name) of a name without a group."""
    group, dot, rest = name.partition(".")
    return (group, rest) if dot and group in GROUPS else ("", name)


def field_value(record: ExperimentRecord, name: str) -> Any:
    """Returns the value that an experiment has under a known name; None when it has no such thing."""
    group, rest = split_name(name)
    return getattr(record, group).get(rest) if group else FIELDS[name].value(record)


def field_text(record: ExperimentRecord, name: str) -> str:
    """The same for the eyes: numbers rounded, '' when the experiment has no such thing."""
    group, rest = split_name(name)
    if group:
        values = getattr(record, group)
        return value_text(values[rest]) if rest in values else ""
    shown = FIELDS[name].shown
    if shown:
        return shown(record)
    value = FIELDS[name].value(record)
    return "" if value is None else value_text(value)


def value_text(value: Any) -> str:
    """Returns a value as tables show it."""
    return number_text(value) if isinstance(value, float) else str(value)


def known_names(records: Iterable[ExperimentRecord]) -> list[str]:
    """The names that at least one experiment knows, the most used kinds first."""
    names = dict.fromkeys(FIELDS)
    for group in GROUPS:
        for record in records:
            names.update(dict.fromkeys(f"{group}.{name}" for name in getattr(record, group)))
    return list(names)


def resolve_name(text: str, known: Sequence[str], *, what: str, groups: Sequence[str] = GROUPS) -> str:
    """The known name that a user's text means: itself, or with the group before it.

    Arguments:
        text: as the user wrote it.
        known: all names; see `known_names`.
        what: begins the message, e.g. '--sort'.
        groups: those whose name may be left out, in their order.

    Raises:
        UsageError: there is none.
    """
    for candidate in (text, *(f"{group}.{text}" for group in groups)):
        if candidate in known:
            return candidate
    raise unknown_name(text, known, what=what)


def unknown_name(text: str, known: Sequence[str], *, what: str) -> UsageError:
    """The error about a name that no experiment knows, with the closest ones."""
    endings = {name.lower(): name for name in reversed(known)} | {
        split_name(name)[1].lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(text.lower(), endings, n=1) or difflib.get_close_matches(
        split_name(text)[1].lower(), endings, n=1)
    hint = f" Did you mean '{endings[close[0]]}'?" if close else ""
    listed = [name for name in known if split_name(name)[0] != "settings"]
    rest = " …" if len(listed) > _MOST_NAMED else ""
    return UsageError(f"{what}: no experiment has '{text}'.{hint} Known: {', '.join(listed[:_MOST_NAMED])}{rest}, and the "
                      "settings as settings.NAME.")


def differing_names(records: Sequence[ExperimentRecord], group: str) -> list[str]:
    """The names of a group whose values are not the same in all experiments that recorded the group."""
    values: dict[str, list[Any]] = {}
    holders = [getattr(record, group) for record in records if getattr(record, group)]
    for holder in holders:
        for name, value in holder.items():
            values.setdefault(name, []).append(value)
    return [f"{group}.{name}" for name, found in values.items()
            if len(found) < len(holders) or any(not _same(value, found[0]) for value in found)]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)))


def _count(record: ExperimentRecord, name: str) -> int | None:
    value = record.state.get(name)
    return value if isinstance(value, int) else None


def _epoch_text(record: ExperimentRecord) -> str:
    """The completed epochs of all: '17/40'."""
    epoch, planned = _count(record, "epoch"), record.settings.get("nbEpoch")
    return "" if epoch is None else f"{epoch}/{planned}" if isinstance(planned, int) else str(epoch)


def _versions_text(versions: Sequence[int]) -> str:
    """The versions, or of many the first, the last and their number: '2 3 5', '9…17 (5)'."""
    if len(versions) <= _MOST_VERSIONS_SHOWN:
        return " ".join(map(str, versions))
    return f"{versions[0]}…{versions[-1]} ({len(versions)})"
