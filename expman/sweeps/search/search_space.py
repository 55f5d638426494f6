"""Translates between the user's search space, hyperopt's points in it, and flat hparams.

A point holds what hyperopt draws: for each label the number drawn, which for `hp.choice` is the index of an option. A sample
is what the space makes of it, and hparams are that in the form in which a settings file has them. The space of a grid is a
dict from names to lists; there the names are the labels and a point is its own sample.
"""

from __future__ import annotations

import difflib
import math
import numbers
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # hyperopt takes a second to import, and a grid does without

    from expman.sweeps.search.hyperopt_internals import Expression

_SCALARS = (bool, int, float, str, type(None))
_CHOICES = ("randint", "categorical")  # what hyperopt draws for hp.choice and hp.randint, and for hp.pchoice


def is_expression(value: Any) -> bool:
    """Returns whether a value is an expression of hyperopt."""
    if "hyperopt" not in sys.modules:  # no expression can be there before this module is
        return False
    from expman.sweeps.search.hyperopt_internals import EXPRESSION
    return isinstance(value, EXPRESSION)


def is_grid(space: Any) -> bool:
    """Returns whether a space gives a list of values for each name."""
    return isinstance(space, dict) and all(isinstance(values, (list, tuple)) for values in space.values())


def labels_of(space: Any) -> list[str]:
    """The labels of all that is drawn in a space, in alphabetical order; those of a grid are its names."""
    if is_grid(space):
        return sorted(space)
    from expman.sweeps.search.hyperopt_internals import parameters_of
    return sorted(parameters_of(space))


def hparams_of(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A sample of a space as flat hparams of plain Python scalars.

    The dicts that options of a choice hold are merged in, and the name of the choice is dropped.

    Raises:
        ValueError: the sample is no dict, has a name twice, or a value that is no scalar.
    """
    if not isinstance(sample, Mapping):
        raise ValueError(f"must give a dict from names to values. A sample of it is {sample!r} ({type(sample).__name__}). "
                         "Write {'name': hp…}.")
    hparams: dict[str, Any] = {}
    for name, value in _flat(sample):
        if name in hparams:
            raise ValueError(f"gives '{name}' twice in one sample: {sample!r}. Keep one of them.")
        hparams[name] = _plain(name, value)
    return hparams


def sample_hparams(space: Any, *, num_samples: int, seed: int) -> list[dict[str, Any]]:
    """Samples of a space, so that names and types can be checked: each option of each choice, or value of a grid, is there.

    Arguments:
        space: of the sweep.
        num_samples: how many to draw; there are more when the space has more options than that.
        seed: of the draws.

    Raises:
        ValueError: see `hparams_of`.
    """
    return [hparams_of(sample) for sample in _samples(space, num_samples=num_samples, seed=seed)]


def hparams_at(space: Any, point: Mapping[str, Any]) -> dict[str, Any]:
    """The hparams that a point of a space stands for."""
    if is_grid(space):
        return hparams_of(point)
    from expman.sweeps.search.hyperopt_internals import sample_at
    return hparams_of(sample_at(space, point))


def drawn_point(space: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The point that the values of labels make, in plain Python numbers, without the labels of options not taken."""
    if is_grid(space):
        return {name: _plain(name, value) for name, value in values.items()}
    from expman.sweeps.search.hyperopt_internals import expression_of, parameters_of
    parameters = parameters_of(space)
    convert = {label: int if parameters[label].name in _CHOICES else float for label in parameters}
    return {label: convert[label](values[label]) for label in sorted(_active_labels(expression_of(space), values))}


def grid_points(space: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Returns all combinations of a grid; the last name changes fastest."""
    return (drawn_point(space, dict(zip(space, values))) for values in product(*space.values()))


def space_error(space: Any, *, algorithm: str) -> str | None:
    """None for a space that the algorithm can search, else what is wrong with it and the remedy."""
    if algorithm == "grid":
        return _grid_error(space)
    if is_grid(space):
        return ("holds lists only, which algorithm 'grid' tries in all combinations. Set algorithm = 'grid', or write "
                "hp.choice(name, list) for each.")
    if isinstance(space, dict) and not all(isinstance(name, str) for name in space):
        return f"must have names that are a str. Got {list(space)!r}."
    import hyperopt
    from hyperopt.exceptions import DuplicateLabel

    from expman.sweeps.search.hyperopt_internals import check_for_atpe, expression_of
    try:
        samples = _samples(space, num_samples=1, seed=0)
        domain = hyperopt.Domain(None, expression_of(space))
        if algorithm == "atpe":
            check_for_atpe(expression_of(space))
    except DuplicateLabel as error:
        return f"uses the label '{error}' twice. Give each hp expression a label of its own."
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError) as error:
        hint = "Set algorithm = 'tpe', which takes more expressions." if algorithm == "atpe" else "Correct its hp expressions."
        text = " ".join(str(error).split())  # expressions are printed over several lines
        return f"cannot be searched by hyperopt's {algorithm}: {type(error).__name__}: {text}. {hint}"
    try:
        for sample in samples:
            hparams_of(sample)
    except ValueError as error:
        return str(error)
    if not domain.params:
        return "holds no hp expression, so that all trials would be the same. Write e.g. hp.uniform('name', 0, 1)."
    return None


def point_error(space: Any, point: Mapping[str, Any]) -> str | None:
    """None for a point of a space without errors, else what is wrong with the point."""
    labels = labels_of(space)
    for label in point:
        if label not in labels:
            close = difflib.get_close_matches(str(label), labels, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            return f"names '{label}', which is no label of the space.{hint} It has: {', '.join(labels)}."
    if is_grid(space):
        active = labels
    else:
        from expman.sweeps.search.hyperopt_internals import expression_of, parameters_of
        active = sorted(_active_labels(expression_of(space), point))
    for label in active:
        if label not in point:
            return f"lacks a value for '{label}'. Add it."
        error = _grid_value_error(space[label], point[label]) if is_grid(space) else (
            _drawn_value_error(parameters_of(space)[label], point[label]))
        if error:
            return f"gives '{label}' a value that {error}"
    return None


def _flat(sample: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in sample.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif isinstance(name, str):
            yield name, value
        else:
            raise ValueError(f"has the name {name!r} ({type(name).__name__}). Names of hparams must be a str.")


def _plain(name: str, value: Any) -> Any:
    """A value as Python's own bool, int, float, str or None."""
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:
        value = value.item()  # of NumPy
    if not isinstance(value, _SCALARS):
        raise ValueError(f"gives '{name}' the value {value!r} ({type(value).__name__}), which must be a bool, int, float, str "
                         f"or None. To choose one of several values, write hp.choice('{name}', […]).")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _samples(space: Any, *, num_samples: int, seed: int) -> list[Any]:
    """See `sample_hparams`."""
    if is_grid(space):
        lengths = [len(values) for values in space.values()]
        num_samples = min(max(num_samples, *lengths), math.lcm(*lengths))
        return [{name: values[index % len(values)] for name, values in space.items()} for index in range(num_samples)]
    import numpy as np

    from expman.sweeps.search.hyperopt_internals import drawn_sample, expression_of
    generator = np.random.default_rng(seed)
    options = _options(expression_of(space), {})
    options += [{}] * (num_samples - len(options))
    return [drawn_sample(space, given=given, generator=generator) for given in options]


def _options(node: Expression, chosen: Mapping[str, int]) -> list[dict[str, int]]:
    """For each option of each choice the choices that lead to it."""
    from expman.sweeps.search.hyperopt_internals import is_choice, label_of
    if not is_choice(node):
        return [found for part in node.inputs() for found in _options(part, chosen)]
    label = label_of(node.pos_args[0])
    if label in chosen:  # the same choice is used once more, further inside
        return _options(node.pos_args[1 + chosen[label]], chosen)
    ways = [{**chosen, label: index} for index in range(len(node.pos_args) - 1)]
    return [found for index, way in enumerate(ways) for found in [way, *_options(node.pos_args[1 + index], way)]]


def _active_labels(node: Expression, values: Mapping[str, Any]) -> set[str]:
    """The labels that matter for given values: not those of options that are not taken."""
    from expman.sweeps.search.hyperopt_internals import is_choice, is_parameter, label_of
    if is_parameter(node):
        return {label_of(node)}
    if not is_choice(node):
        return {label for part in node.inputs() for label in _active_labels(part, values)}
    choice = label_of(node.pos_args[0])
    index, options = values.get(choice), node.pos_args[1:]
    is_index = _is_number(index) and float(index).is_integer() and 0 <= index < len(options)
    return {choice} | (_active_labels(options[int(index)], values) if is_index else set())


def _grid_error(space: Any) -> str | None:
    if not isinstance(space, dict):
        return "must be a dict from names to lists, since algorithm is 'grid'. Write the lists, or set algorithm = 'tpe'."
    if not all(isinstance(name, str) for name in space):
        return f"must have names that are a str. Got {list(space)!r}."
    for name, values in space.items():
        if not isinstance(values, (list, tuple)):
            found = "a hyperopt expression" if is_expression(values) else f"{values!r} ({type(values).__name__})"
            return (f"must give '{name}' a list of values, since algorithm is 'grid'. Got {found}. Write e.g. [1, 2, 3], or "
                    "set algorithm = 'tpe'.")
        if not values:
            return f"gives '{name}' an empty list. Add a value, or remove the name."
        try:
            plain = [_plain(name, value) for value in values]
        except ValueError:
            return f"must give '{name}' a list of bool, int, float, str or None. Got {list(values)!r}."
        if len(set(plain)) < len(plain):
            return f"gives '{name}' a value twice: {plain!r}. Keep one of them."
    return None


def _grid_value_error(values: Any, value: Any) -> str | None:
    return None if value in values else f"is none of {list(values)!r}. Got {value!r}."


def _drawn_value_error(distribution: Expression, value: Any) -> str | None:
    """None for a value that can be drawn; the bounds are known when they are plain numbers."""
    if not _is_number(value) or not math.isfinite(value):
        return f"must be a number (for hp.choice the index of an option). Got {value!r} ({type(value).__name__})."
    low, high = _bounds(distribution)
    if distribution.name in _CHOICES and not float(value).is_integer():
        return f"must be an int from {low} to {high}. Got {value!r}."
    if not low <= value <= high:
        return f"must lie in {low:g} … {high:g}. Got {value!r}."
    return None


def _bounds(distribution: Expression) -> tuple[float, float]:
    """The least and the largest value that a distribution draws; infinite where there is no bound, or a computed one."""
    from expman.sweeps.search.hyperopt_internals import plain_arguments
    arguments = plain_arguments(distribution)
    if arguments is None:
        return -math.inf, math.inf
    if distribution.name == "categorical":
        return 0, len(distribution.arg["p"].inputs()) - 1
    low, high = arguments.get("low"), arguments.get("high")
    if distribution.name == "randint":
        low, high = (0, low) if "high" not in arguments else (low, high)
        return (-math.inf, math.inf) if low is None or high is None else (low, high - 1)
    if low is None or high is None:
        return -math.inf, math.inf
    if "log" in distribution.name:
        low, high = math.exp(low), math.exp(high)
    slack = (arguments.get("q") or 0) / 2 + 1e-6 * max(abs(low), abs(high))  # rounding to multiples of q may step out so far
    return low - slack, high + slack
