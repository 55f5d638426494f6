"""Selects experiments by an expression such as `hparams.hiddenNeurons > 5 and status == 'finished'`; nothing is executed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expman.errors import UsageError
from expman.reports.experiment_records import ExperimentRecord
from expman.reports.record_fields import GROUPS, field_value, known_names, unknown_name

_MOST_CHARACTERS = 2_000
_COMPARISONS: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda one, other: one in other, ast.NotIn: lambda one, other: one not in other,
    ast.Is: lambda one, other: one is other, ast.IsNot: lambda one, other: one is not other}
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: math.pow}  # math.pow cannot make endless integers
_ALLOWED = "comparisons, and, or, not, in, + - * / // % **, numbers, texts, lists and names such as hparams.x or status"


class _UnknownValueError(Exception):
    """A part of the expression has no value for this experiment."""


class FilterExpression:
    """A condition on experiments.

    What an experiment lacks makes the comparison with it neither true nor false, and so its negation; an experiment is
    selected when the whole expression is true all the same, as by `hparams.x > 5 or status == 'failed'`.

    Arguments:
        text: the expression, in Python's syntax; names are those of `record_fields`.

    Raises:
        UsageError: it does not parse, or has a part that is not allowed; the message shows the place.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.names: list[str] = []
        self._mismatch = ""
        if len(text) > _MOST_CHARACTERS:
            raise UsageError(f"--filter may have {_MOST_CHARACTERS} characters. Got {len(text)}.")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise self._error(error.msg, column=(error.offset or 1) - 1) from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise self._error(f"cannot be read ({error or 'nested too deeply'})", column=0) from error
        try:
            self._check(self._tree)
        except RecursionError as error:
            raise self._error("is nested too deeply", column=0) from error

    def select(self, records: Sequence[ExperimentRecord]) -> list[ExperimentRecord]:
        """The experiments for which the expression is true.

        Raises:
            UsageError: it has a name that no experiment knows, or compares for all of them what cannot be compared.
        """
        known = known_names(records)
        for name in self.names:
            if name not in known:
                raise unknown_name(name, known, what="--filter")
        self._mismatch = ""
        verdicts = [self._truth(self._tree, record) for record in records]
        if self._mismatch and all(verdict is None for verdict in verdicts):
            raise UsageError(f"--filter '{self._text}': {self._mismatch}. Compare numbers with numbers and texts, in quotes, "
                             "with texts.")
        return [record for record, verdict in zip(records, verdicts) if verdict]

    def _check(self, node: ast.expr) -> None:
        """Collects the names, which only the experiments can tell to be wrong; raises for a part that is not allowed."""
        name = _name_of(node)
        if name is not None:
            self.names.append(name)
            return
        for child in self._parts(node):
            self._check(child)

    def _parts(self, node: ast.expr) -> list[ast.expr]:
        """The operands of a node that is allowed."""
        if isinstance(node, ast.BoolOp):
            return node.values
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.UAdd)):
            return [node.operand]
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return [node.left, node.right]
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARISONS for op in node.ops):
            return [node.left, *node.comparators]
        if isinstance(node, (ast.List, ast.Tuple)):
            return node.elts
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
            return []
        raise self._error(f"allows no {_described(node)}; it takes {_ALLOWED}", column=node.col_offset)

    def _error(self, text: str, *, column: int) -> UsageError:
        shown = self._text.strip().splitlines()
        lines = f"\n    {shown[0]}\n    {' ' * min(column, len(shown[0]))}^" if len(shown) == 1 else ""
        return UsageError(f"--filter: {text}.{lines}")

    def _truth(self, node: ast.expr, record: ExperimentRecord) -> bool | None:
        """True, False or None: whether a node holds for an experiment, as far as that can be told."""
        if isinstance(node, ast.BoolOp):
            verdicts = [self._truth(part, record) for part in node.values]
            decisive = isinstance(node.op, ast.Or)
            return decisive if decisive in verdicts else None if None in verdicts else not decisive
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            verdict = self._truth(node.operand, record)
            return None if verdict is None else not verdict
        try:
            return bool(self._value(node, record))
        except _UnknownValueError:
            return None

    def _value(self, node: ast.expr, record: ExperimentRecord) -> Any:
        name = _name_of(node)
        if name is not None:
            value = field_value(record, name)
            if value is None and not _is_chosen(record, name):
                raise _UnknownValueError
            return value
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self._value(element, record) for element in node.elts]
        if isinstance(node, ast.Compare):
            return self._comparison(node, record)
        if isinstance(node, ast.BinOp):
            return self._apply(_ARITHMETIC[type(node.op)], node.left, node.right, record=record, of_numbers=True)
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            sign = operator.neg if isinstance(node.op, ast.USub) else operator.pos
            return self._apply(lambda value, _: sign(value), node.operand, node.operand, record=record, of_numbers=True)
        verdict = self._truth(node, record)
        if verdict is None:
            raise _UnknownValueError
        return verdict

    def _comparison(self, node: ast.Compare, record: ExperimentRecord) -> bool:
        operands = [node.left, *node.comparators]
        return all(self._apply(_COMPARISONS[type(op)], left, right, record=record)
                   for op, left, right in zip(node.ops, operands, operands[1:]))

    def _apply(self, function: Callable[[Any, Any], Any], left: ast.expr, right: ast.expr, *, record: ExperimentRecord,
               of_numbers: bool = False) -> Any:
        values = self._value(left, record), self._value(right, record)
        try:
            if of_numbers and not all(isinstance(value, (int, float)) for value in values):
                raise TypeError(f"calculates with {' and '.join(repr(value) for value in values)}")
            return function(*values)
        except TypeError as error:
            self._mismatch = str(error)
            raise _UnknownValueError from error
        except (ArithmeticError, ValueError) as error:
            raise _UnknownValueError from error


def _name_of(node: ast.expr) -> str | None:
    """'status', or 'hparams.x' for `hparams.x` and `hparams['x']`; None for what is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in GROUPS:
        return f"{node.value.id}.{node.attr}"
    if (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in GROUPS
            and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)):
        return f"{node.value.id}.{node.slice.value}"
    return None


def _is_chosen(record: ExperimentRecord, name: str) -> bool:
    """Tells a value of None that the experiment has from the lack of one."""
    group, _, rest = name.partition(".")
    return bool(rest) and rest in getattr(record, group)


def _described(node: ast.expr) -> str:
    kinds = {ast.Call: "call of a function", ast.Attribute: "attribute of anything but hparams, metrics and settings",
             ast.Subscript: "index of anything but hparams, metrics and settings", ast.Lambda: "lambda"}
    return kinds.get(type(node), type(node).__name__)
