"""Reads hyperopt's expressions, by names that hyperopt does not promise to keep.

Each is looked for when this file is imported; where one is gone, the public and slower way is taken. hyperopt takes a second to
import, and a grid does without: only who has an expression imports this file.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import hyperopt
import numpy as np

from expman.internals.private_names import missing_names

_PYLL = "pyll.dfs, pyll.as_apply"
_DRAW = "pyll.clone, pyll.rec_eval, pyll.stochastic.recursive_set_rng_kwarg"
_LITERALS = "pyll.base.Literal, pyll.base.MissingArgument"
_ATPE = "atpe.Hyperparameter.createHyperparameterConfigForHyperoptDomain"
_MOST_DRAWS = 10_000
EXPRESSION = type(hyperopt.hp.randint("label", 2))
Expression = Any  # an EXPRESSION


def _has(module: str, *names: str) -> Callable[[], bool]:
    return lambda: all(hasattr(import_module(f"hyperopt.{module}"), name) for name in names)


MISSING = missing_names({
    _PYLL: (_has("pyll", "dfs", "as_apply"), "a space is read through hyperopt.Domain."),
    _DRAW: (lambda: _has("pyll", "clone", "rec_eval")() and _has("pyll.stochastic", "recursive_set_rng_kwarg")(),
            "samples of a space are drawn until they hold each option."),
    _LITERALS: (_has("pyll.base", "Literal", "MissingArgument"), "points_to_evaluate are not compared with the bounds of the space."),
}, library=f"hyperopt {hyperopt.__version__}")


def expression_of(space: Any) -> Expression:
    """Returns a space as one expression of hyperopt."""
    return hyperopt.Domain(None, space).expr if _PYLL in MISSING else import_module("hyperopt.pyll").as_apply(space)


def parameters_of(space: Any) -> dict[str, Expression]:
    """Returns for each label the distribution that it is drawn from."""
    if _PYLL in MISSING:
        return dict(hyperopt.Domain(None, space).params)
    return {label_of(node): node.arg["obj"] for node in _parameters_within(expression_of(space))}


def label_of(parameter: Expression) -> str:
    """Returns the label of `hp.…`."""
    return parameter.arg["label"].obj


def is_parameter(node: Expression) -> bool:
    """Returns whether a node is drawn, by an `hp.…`."""
    return node.name == "hyperopt_param"


def is_choice(node: Expression) -> bool:
    """Returns whether a node is one of several options, by `hp.choice` or `hp.pchoice`."""
    return node.name == "switch" and is_parameter(node.pos_args[0])


def sample_at(space: Any, point: Mapping[str, Any]) -> Any:
    """Returns what a space makes of the numbers drawn for its labels."""
    return hyperopt.space_eval(space, dict(point))


def drawn_sample(space: Any, *, given: Mapping[str, int], generator: np.random.Generator) -> Any:
    """Returns a sample of a space with some labels given and the others drawn.

    Arguments:
        space: of the sweep.
        given: label of a choice → index of its option.
        generator: draws, and seeds what draws.
    """
    if not MISSING & {_DRAW, _PYLL}:
        pyll = import_module("hyperopt.pyll")
        expression = import_module("hyperopt.pyll.stochastic").recursive_set_rng_kwarg(
            pyll.clone(pyll.as_apply(space)), pyll.as_apply(generator))
        values = {node: given[label_of(node)] for node in _parameters_within(expression) if label_of(node) in given}
        return pyll.rec_eval(expression, memo=values, print_node_on_error=False)
    domain = hyperopt.Domain(None, space)
    for _ in range(_MOST_DRAWS):
        (document,) = hyperopt.rand.suggest([0], domain, hyperopt.Trials(), int(generator.integers(2**31 - 1)))
        point = {label: values[0] for label, values in document["misc"]["vals"].items() if len(values)}
        if all(label in point and point[label] == index for label, index in given.items()):
            return sample_at(space, point)
    raise ValueError(f"no sample in {_MOST_DRAWS:,} has {dict(given)}: give that option a larger probability")


def plain_arguments(distribution: Expression) -> dict[str, Any] | None:
    """Returns the arguments of a distribution, None for one that is computed; None when they cannot be read."""
    if _LITERALS in MISSING:
        return None
    base = import_module("hyperopt.pyll.base")
    return {name: argument.obj if isinstance(argument, base.Literal) else None
            for name, argument in distribution.arg.items() if argument is not base.MissingArgument}


def check_for_atpe(space: Any) -> None:
    """Raises hyperopt's error for a space that its atpe cannot search, if this version can be asked before a trial."""
    with contextlib.suppress(ImportError):
        hyperparameter = getattr(import_module("hyperopt.atpe"), "Hyperparameter", None)
        check = getattr(hyperparameter, _ATPE.rpartition(".")[2], None)
        if check is not None:
            check(hyperopt.Domain(None, copy.copy(space)))


def _parameters_within(expression: Expression) -> Iterator[Expression]:
    return (node for node in import_module("hyperopt.pyll").dfs(expression) if is_parameter(node))
