"""Declares what a sweep file may define, loads and checks it; TensorFlow is not needed for that."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.errors import Problem, SettingsError
from expman.settings.misspelt_names import misspelt_names
from expman.settings.user_imports import begin_imports
from expman.settings.user_module import UserModule
from expman.settings.vocabulary import (
    REQUIRED,
    Setting,
    ValueKind,
    choice,
    integer,
    list_of,
    markdown_table,
    name,
    number,
    optional,
)
from expman.sweeps.search.search_space import is_expression, point_error, space_error

_ALGORITHMS = ("tpe", "random", "anneal", "atpe", "grid")
_PACKAGES_OF_ATPE = {"lightgbm": "lightgbm", "sklearn": "scikit-learn"}
_FILE_PREFIX = "mysweep_"

_SPACE = ValueKind("a dict from names to hyperopt expressions (algorithm 'grid': to lists), or an expression for such dicts",
                   lambda value: is_expression(value) or (isinstance(value, dict) and bool(value)))
_POINT = ValueKind("a dict", lambda value: isinstance(value, dict))

SWEEP_SETTINGS: tuple[Setting, ...] = (
    Setting("experiment_settings_file", name(),
            "the settings file that each trial runs; relative to the sweep file, else to the current folder"),
    Setting("space", _SPACE, "what may vary: names of that file's `hparams`, and hyperopt's `hp.*` over their values"),
    Setting("max_trials", integer(minimum=1), "trials of the sweep, the failed ones among them"),
    Setting("algorithm", choice(*_ALGORITHMS),
            "who suggests: hyperopt's tpe, random, anneal or atpe (needs lightgbm), or all combinations of lists", "tpe"),
    Setting("metric", name(), "'loss' or a metric of `get_eval_metric_ops`, whose best value is searched for", "loss"),
    Setting("mode", optional(choice("min", "max")),
            "whether that metric is best when small or large; must be set unless the metric is 'loss'", None),
    Setting("points_to_evaluate", list_of(_POINT, "dicts"),
            "tried first; as hyperopt has them: label → value, or → index for hp.choice", []),
    Setting("random_seed", integer(minimum=0), "the same seed gives the same suggestions, one at a time", 42),
    Setting("max_parallel_trials", integer(minimum=1), "trials trained at the same time on this machine", 1),
    Setting("pruning", optional(choice("median", "asha")), "end trials early that fall behind: median stopping, or "
            "asynchronous successive halving", None),
    Setting("pruning_grace_epochs", integer(minimum=1),
            "no trial is pruned before; with 'asha' also the first rung", 3, "epochs"),
    Setting("pruning_min_trials", integer(minimum=1), "'median': other trials that must have come as far", 5),
    Setting("pruning_reduction_factor", integer(minimum=2),
            "'asha': one in so many goes on at each rung, and the next rung is so many times as far", 3),
    Setting("early_stop_fn", optional(ValueKind("a function of hyperopt's trials", callable)),
            "ends the sweep, e.g. `hyperopt.early_stop.no_progress_loss(20)`", None),
    Setting("max_failures", optional(integer(minimum=0)),
            "the sweep gives up when more trials than this have failed; None: no limit", None),
    Setting("trial_timeout_seconds", optional(number(above=0)), "a trial that takes longer has failed", None, "seconds"),
    Setting("sweepFolder", optional(name()), "where the trials' folders lie; None: experiments/sweeps/ and the file's name "
            f"without {_FILE_PREFIX}", None),
)


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file: each declared name is an attribute.

    Attributes:
        values: all declared values by name, defaults filled in.
        file: the sweep file.
        settings_file: the settings file of its trials.
        folder: where the trials' folders lie.
    """

    values: Mapping[str, Any]
    file: Path
    settings_file: Path
    folder: Path

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"'{name}' is not declared for sweep files") from None


def load_sweep(file: str | os.PathLike[str]) -> Sweep:
    """Executes and checks a sweep file.

    Raises:
        SettingsError: the file is missing or has errors; it lists all of them.
        UserExceptionError: the file raised while it was executed.
    """
    source = UserModule(Path(file), described_as="sweep file")
    begin_imports([source.path.resolve().parent])
    namespace = source.execute(module_name="experiment_sweep")
    problems = _problems(namespace, lines=source.lines_of_names(), file=source.path)
    if problems:
        raise SettingsError(problems)
    values = {setting.name: namespace.get(setting.name, setting.default) for setting in SWEEP_SETTINGS}
    values["mode"] = values["mode"] or "min"
    values["sweepFolder"] = values["sweepFolder"] or f"experiments/sweeps/{source.path.stem.removeprefix(_FILE_PREFIX)}"
    return Sweep(values=values, file=source.path, folder=Path(values["sweepFolder"]),
                 settings_file=_find_settings_file(values["experiment_settings_file"], sweep_file=source.path))


def sweep_table() -> str:
    """Returns what a sweep file may define, as a Markdown table."""
    return markdown_table(SWEEP_SETTINGS)


def _problems(namespace: Mapping[str, Any], *, lines: Mapping[str, int], file: Path) -> list[Problem]:
    """Returns all errors of an executed sweep file, in its order."""
    misspelt = misspelt_names(namespace, lines, known={setting.name for setting in SWEEP_SETTINGS})
    errors = [(wrong, f"is not a known name. Did you mean {right}? "
                      "Rename it, or start the name of a helper of your own with an underscore.")
              for wrong, right in misspelt.items()]
    for setting in SWEEP_SETTINGS:
        if setting.name in namespace:
            error = setting.kind.error(namespace[setting.name])
            errors += [(setting.name, error)] if error else []
        elif setting.default is REQUIRED and setting.name not in misspelt.values():
            errors.append((setting.name, f"is missing: it must be {setting.kind.expectation} ({setting.meaning})."))
    sound = {setting.name: namespace.get(setting.name, setting.default) for setting in SWEEP_SETTINGS
             if setting.name not in dict(errors)}
    errors += _errors_in_depth(sound, file=file)
    errors.sort(key=lambda error: lines.get(error[0], sys.maxsize))
    return [Problem(f"{file}:{lines[subject]}" if subject in lines else str(file), f"{subject} {error}")
            for subject, error in errors]


def _errors_in_depth(sound: Mapping[str, Any], *, file: Path) -> list[tuple[str, str]]:
    """The errors of values whose type is right.

    Arguments:
        sound: these values by name; `REQUIRED` for one that is missing.
        file: the sweep file.
    """
    errors = []
    settings_file = sound.get("experiment_settings_file", REQUIRED)
    if settings_file is not REQUIRED and _find_settings_file(settings_file, sweep_file=file) is None:
        errors.append(("experiment_settings_file", f"'{settings_file}' does not exist, neither relative to the sweep file nor "
                                                   "to the current folder. Correct the path."))
    if sound.get("metric", "loss") != "loss" and sound.get("mode", "") is None:
        errors.append(("mode", f"must be 'min' or 'max', since metric is {sound['metric']!r} and a wrong guess would "
                               "search for the worst trial. Got None."))
    algorithm = sound.get("algorithm")
    lacking = [package for module, package in _PACKAGES_OF_ATPE.items() if importlib.util.find_spec(module) is None]
    if algorithm == "atpe" and lacking:
        errors.append(("algorithm", f"'atpe' needs packages that are not installed. Run `pip install {' '.join(lacking)}`, or "
                                    "set it to 'tpe'."))
    space = sound.get("space", REQUIRED)
    if algorithm is None or space is REQUIRED:
        return errors
    error = space_error(space, algorithm=algorithm)
    if error:
        return [*errors, ("space", error)]
    found = (point_error(space, point) for point in sound.get("points_to_evaluate", []))
    return errors + [("points_to_evaluate", f"[{index}] {error}") for index, error in enumerate(found) if error]


def _find_settings_file(named: str, *, sweep_file: Path) -> Path | None:
    """The settings file relative to the sweep file, else to the current folder; None when there is none."""
    return next((path for path in (sweep_file.parent / named, Path(named)) if path.is_file()), None)
