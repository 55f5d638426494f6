"""Tells where the experiments of a report come from, as names and texts: code, packages, machine, seeds, data, command."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expman.reports.experiment_records import ExperimentRecord
from expman.reports.number_text import bytes_text
from expman.reports.record_fields import value_text
from expman.settings import contract

_MOST_VARIANTS = 4
_LONGEST_TEXT = 20_000
_NOT_LISTED = ("hparams",)


@dataclass(frozen=True)
class Fact:
    """One line of a list.

    Attributes:
        name: what it is about.
        text: what it says.
        note: anything to add; '' for nothing.
        is_notable: whether it is not what one would expect, e.g. not the default.
    """

    name: str
    text: str
    note: str = ""
    is_notable: bool = False


def provenance_facts(records: Sequence[ExperimentRecord]) -> list[Fact]:
    """Facts that are the same for all experiments, or how often each variant occurs."""
    parts = [_provenance(record) for record in records if record.identity]
    names = dict.fromkeys(name for part in parts for name in part)
    facts = []
    for name in names:
        texts = Counter(part[name] for part in parts if part.get(name))
        if len(texts) == 1:
            facts.append(Fact(name, next(iter(texts))))
        elif texts:
            shown = [f"{text} ({count} experiment{'' if count == 1 else 's'})"
                     for text, count in texts.most_common(_MOST_VARIANTS)]
            more = [f"… and {len(texts) - _MOST_VARIANTS} more"] if len(texts) > _MOST_VARIANTS else []
            facts.append(Fact(name, "\n".join(shown + more)))
    return facts


def package_facts(records: Sequence[ExperimentRecord]) -> list[Fact]:
    """Installed packages and their versions; those that differ between the experiments first, and marked."""
    versions: dict[str, dict[str, None]] = {}
    holders = [record.identity["packages"] for record in records if isinstance(record.identity.get("packages"), Mapping)]
    for packages in holders:
        for name, version in packages.items():
            versions.setdefault(str(name), {})[str(version)] = None
    facts = [Fact(name, ", ".join(found), is_notable=len(found) > 1 or any(name not in packages for packages in holders))
             for name, found in versions.items()]
    return sorted(facts, key=lambda fact: (not fact.is_notable, fact.name.lower()))


def settings_facts(records: Sequence[ExperimentRecord]) -> list[Fact]:
    """The settings that all experiments share; those that are not the default are marked."""
    holders = [record.settings for record in records if record.settings]
    defaults = contract.default_settings()
    facts = []
    for name, value in (holders[0] if holders else {}).items():
        if name in _NOT_LISTED or any(holder.get(name) != value for holder in holders):
            continue
        is_own = name in defaults and value != defaults[name]
        facts.append(Fact(name, _setting_text(value), is_notable=is_own,
                          note=f"default {_setting_text(defaults[name])}" if is_own else ""))
    return facts


def hparam_facts(record: ExperimentRecord) -> list[Fact]:
    """The hyperparameters of one experiment; those that were set from outside of the settings file are marked."""
    recorded = record.identity.get("hparams")
    facts = []
    for name, value in record.hparams.items():
        entry = recorded.get(name) if isinstance(recorded, Mapping) else None
        origin = str(entry.get("origin", "")) if isinstance(entry, Mapping) else ""
        facts.append(Fact(name, value_text(value), note="" if origin == "settings file" else origin,
                          is_notable=origin not in ("", "settings file")))
    return facts


def source_texts(record: ExperimentRecord) -> list[Fact]:
    """The settings file and the model file as they were run, and what git had not committed."""
    sources = [Fact(path.name, _file_text(path)) for path in (record.files.settings_file, record.files.model_file)]
    git = _mapping(record.identity.get("git"))
    sources.append(Fact("uncommitted changes", _cut(str(git.get("diff") or ""))))
    return [fact for fact in sources if fact.text]


def _provenance(record: ExperimentRecord) -> dict[str, str]:
    identity = record.identity
    machine = _mapping(identity.get("machine"))
    accelerators = machine.get("accelerators") or ["none"]
    command = identity.get("command")
    return {
        "command": shlex.join(map(str, command)) if isinstance(command, list) else "",
        "current folder": str(identity.get("current_folder") or ""),
        "settings file": str(identity.get("settings_file") or ""),
        "model file": _model_file_text(record),
        "git commit": _git_text(record),
        "random seed": value_text(record.settings.get("random_seed", "")),
        "data": record.data_fingerprint,
        **{setting: _data_text(record, setting) for setting in record.settings_of_data},
        "experiments manager": str(identity.get("experiments_manager") or ""),
        "python": str(identity.get("python") or ""),
        "system": str(machine.get("system") or ""),
        "processor": f"{machine.get('processor', '')}, {machine.get('cores', '?')} cores" if machine else "",
        "accelerators": ", ".join(map(str, accelerators)) if machine and isinstance(accelerators, list) else ""}


def _model_file_text(record: ExperimentRecord) -> str:
    """The model file's path, behind the name that the settings ask the zoo for."""
    named, path = str(record.settings.get("model_file", "")), str(record.identity.get("model_file") or "")
    return f"{named}, {path}" if named.startswith("zoo:") and path else path


def _git_text(record: ExperimentRecord) -> str:
    git = _mapping(record.identity.get("git"))
    if not git:
        return "not in a repository"
    num_lines = len(str(git.get("diff") or "").splitlines())
    return f"{git.get('commit')}" + (f", with {num_lines} lines of uncommitted changes" if num_lines else "")


def _data_text(record: ExperimentRecord, setting: str) -> str:
    data = _mapping(_mapping(record.identity.get("data")).get(setting))
    if not data:
        return ""
    if not data.get("num_files"):
        return f"'{data.get('folder', '')}': no files"
    num_bytes = data.get("num_bytes")
    size = bytes_text(num_bytes) if isinstance(num_bytes, (int, float)) else "?"
    return f"'{data.get('folder', '')}': {data['num_files']} files, {size}, fingerprint {data.get('hash', '')}"


def _setting_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else value_text(value) or "''"


def _file_text(path: Any) -> str:
    try:
        return _cut(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _cut(text: str) -> str:
    left_out = len(text) - _LONGEST_TEXT
    return text if left_out <= 0 else f"{text[:_LONGEST_TEXT]}\n… and {left_out} characters more"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
