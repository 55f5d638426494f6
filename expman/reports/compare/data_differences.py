"""Names the data that two experiments do not share: folders by fingerprints, files by the lists of `data_files.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expman.reports.experiment_records import ExperimentRecord

_MOST_NAMED = 5


def data_lines(first: ExperimentRecord, second: ExperimentRecord) -> Iterator[str]:
    """A line for each data folder that differs, with the files; and for each first batch that does."""
    one, other = (_mapping(record.identity.get("data")) for record in (first, second))
    if not one or not other:
        if one or other:
            yield f"{'-' if other else '+'} the fingerprint of the data was not recorded"
        return
    for setting in dict.fromkeys([*first.settings_of_data, *second.settings_of_data]):
        mine, theirs = _mapping(one.get(setting)), _mapping(other.get(setting))
        if mine.get("hash") == theirs.get("hash"):
            continue
        yield (f"{setting}: '{mine.get('folder')}' with {mine.get('num_files')} files → '{theirs.get('folder')}' with "
               f"{theirs.get('num_files')} files{_which_files(first, second, setting)}")
    mine, theirs = _mapping(one.get("first_batches")), _mapping(other.get("first_batches"))
    for described_as in mine:
        if mine[described_as] and theirs.get(described_as) and mine[described_as] != theirs[described_as]:
            yield f"the first batch of the {described_as} differs"


def _which_files(first: ExperimentRecord, second: ExperimentRecord, setting: str) -> str:
    try:
        old, new = (_file_list(record, setting) for record in (first, second))
    except (OSError, UnicodeError, csv.Error, KeyError) as error:
        return f"; which files cannot be told ({error})"
    kinds = {"changed": [name for name in new if name in old and new[name] != old[name]],
             "added": [name for name in new if name not in old],
             "removed": [name for name in old if name not in new]}
    return "".join(f"; {len(names)} {kind} ({_first_of(names)})" for kind, names in kinds.items() if names)


def _file_list(record: ExperimentRecord, setting: str) -> dict[str, tuple[str, str]]:
    """Name → (size, hash) of the files of one data folder."""
    if not _mapping(_mapping(record.identity.get("data")).get(setting)).get("num_files"):
        return {}
    with record.files.data_files.open(newline="", encoding="utf-8", errors="backslashreplace") as stream:
        return {row["name"]: (row["num_bytes"], row["hash"]) for row in csv.DictReader(stream) if row["setting"] == setting}


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
