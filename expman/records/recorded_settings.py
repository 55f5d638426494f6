"""Compares the settings that a copied file gives now with those that its experiment started with."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from expman.records.experiment_folder import json_text

_LOGGER = logging.getLogger(__name__)


def warn_of_other_settings(values: Mapping[str, Any], *, recorded: Mapping[str, Any], except_for: Collection[str],
                           file: Path) -> None:
    """Warns of the settings that came out otherwise, all in one warning.

    Arguments:
        values: of the settings now.
        recorded: of the settings when the experiment started, as read from JSON.
        except_for: the settings that may differ.
        file: the settings file that was executed.
    """
    now = json.loads(json_text(dict(values)))
    others = [f"{name} is {now[name]!r} now and was {recorded[name]!r}" for name in now
              if name in recorded and name not in except_for and _comparable(now[name]) != _comparable(recorded[name])]
    if others:
        _LOGGER.warning("%s gives other settings than when the experiment started: %s. These are used. Restore what they are "
                        "computed from, e.g. an environment variable, if the experiment is to go on as it began.",
                        file, "; ".join(others))


def _comparable(value: Any) -> str:
    """Equal for dicts in any order, and for NaN."""
    return json.dumps(value, sort_keys=True)
