"""Finds all that is wrong with the names and values of a settings file, by its contract."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from expman.errors import Problem
from expman.settings.contract import CLIENT_METHODS, PROTOTYPES, SETTINGS
from expman.settings.misspelt_names import misspelt_names
from expman.settings.vocabulary import REQUIRED, Prototype, Setting

_DECLARED: tuple[Setting | Prototype, ...] = (*SETTINGS, *PROTOTYPES)


def check_settings(namespace: Mapping[str, Any], *, lines: Mapping[str, int], file: str) -> list[Problem]:
    """Finds all problems of an executed settings file.

    Arguments:
        namespace: the names that the file defines.
        lines: for each of these names the line of its last assignment.
        file: for the messages.
    """
    def problem(subject: str, error: str) -> Problem:
        return Problem(f"{file}:{lines[subject]}" if subject in lines else file, f"{subject} {error}")

    unknown_names = misspelt_names(namespace, lines, known={declared.name for declared in _DECLARED})
    problems = [problem(wrong, f"is not a known name. Did you mean {right}? "
                               "Rename it, or start the name of a helper of your own with an underscore.")
                for wrong, right in unknown_names.items()]
    for declared in _DECLARED:
        needed = declared.default is REQUIRED if isinstance(declared, Setting) else declared.required
        if declared.name not in namespace:
            if needed and declared.name not in unknown_names.values():
                problems.append(problem(declared.name, _missing(declared)))
            continue
        value = namespace[declared.name]
        error = declared.kind.error(value) if isinstance(declared, Setting) else declared.error(value)
        if error:
            problems.append(problem(declared.name, error))
    problems += [problem("Client_IO", error) for error in client_errors(namespace.get("Client_IO"))]
    problems += [problem(subject, error) for subject, error in _errors_between_settings(namespace)]
    return sorted(problems, key=lambda found: lines.get(found.text.split()[0], sys.maxsize))


def client_errors(client_class: Any) -> list[str]:
    """Returns what is wrong with the methods of `Client_IO`; [] for what is no class, which the prototype's check reports."""
    if not inspect.isclass(client_class):
        return []
    errors = []
    for method in CLIENT_METHODS:
        error = method.error(_bound_method(client_class, method.name))
        if error:
            errors.append(f"method {method.name}({', '.join(['self', *method.parameters[:1]])}) {error}")
    return errors


def _bound_method(client_class: type, name: str) -> Any:
    """The method as an object of the class has it; None when there is none."""
    attribute = inspect.getattr_static(client_class, name, None)
    bind = getattr(attribute, "__get__", None)
    return bind(object(), client_class) if bind else attribute


def _missing(declared: Setting | Prototype) -> str:
    if isinstance(declared, Setting):
        return f"is missing: it must be {declared.kind.expectation} ({declared.meaning})."
    keyword = "class" if declared.name == "Client_IO" else "def"
    return f"is missing: write `{keyword} {declared.name}({', '.join(declared.parameters)})`, returning {declared.returns}."


def _errors_between_settings(namespace: Mapping[str, Any]) -> list[tuple[str, str]]:
    errors = []
    pair = ("num_epochs_per_decay", "learning_rate_decay_factor")
    if sum(namespace.get(member) is not None for member in pair) == 1:
        lone, other = sorted(pair, key=lambda member: namespace.get(member) is None)
        errors.append((lone, f"has no effect alone. Set {other} too, or remove it."))
    if namespace.get("plateau_patience") is not None and namespace.get("num_epochs_per_decay") is not None:
        errors.append(("plateau_patience", "does not go with num_epochs_per_decay: stairs set the learning rate at each step. "
                                           "Remove one of them."))
    if namespace.get("random_seed", 42) is None and namespace.get("deterministic_ops") is True:
        errors.append(("deterministic_ops", "needs random_seed, without which the random operations cannot be deterministic. "
                                            "Set random_seed, or remove deterministic_ops."))
    metric = namespace.get("earlystopping_metric", "loss")
    losses = ["loss", *(f"{set_name}/loss" for set_name in _validation_sets(namespace))]
    if metric not in losses and namespace.get("earlystopping_mode") is None:
        errors.append(("earlystopping_mode", f"must be 'min' or 'max', since earlystopping_metric is {metric!r} and a wrong "
                                             "guess would keep the worst model. Got None."))
    return errors


def _validation_sets(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The named validation data; {} for what is no dict, which its kind reports."""
    sets = namespace.get("validation_sets")
    return sets if isinstance(sets, dict) else {}
