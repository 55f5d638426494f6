"""Rows of mixed columns: numbers, words, dates and missing cells, from which one column is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from expman.errors import UsageError
from expman.first_steps.csv_files import existing_column, format_arguments, format_sentence, read_csv_files
from expman.first_steps.kind import Found, Kind
from expman.first_steps.rendering import python_path
from expman.first_steps.table_columns import foresee, reasons_left_out
from expman.first_steps.table_target import TargetColumn, split_of, target_column
from expman.first_steps.training_length import training_length

_START_SECONDS, _SECONDS_A_STEP = 8, 0.003


def look(data: Path, target: str | None) -> Found:
    """Looks at a CSV file, or a folder of such."""
    cells, form = read_csv_files(data)
    columns = list(cells.frame)
    if target is None:
        raise UsageError(f"--like tabular needs --target COLUMN, the column to predict. {data} has: "
                         f"{', '.join(map(repr, columns))}.")
    target = existing_column("--target", target, columns)
    place = f"--data {data}"
    chosen = target_column(place, cells.frame[target], form)
    frame = cells.frame.mask(cells.frame.isin(chosen.missing_words), "")
    frame = frame[frame[target] != ""].reset_index(drop=True)
    split, seed, training_rows = split_of(place, frame[target], task=chosen.task)
    arguments = foresee(frame, training_rows, target=target, form=form)
    arguments.missing = [*chosen.missing_words, *arguments.missing]
    left_out = reasons_left_out(frame, training_rows, arguments, target=target, form=form)
    if len(left_out) == len(columns) - 1:
        raise UsageError(f"{place}: no column is left to learn from: "
                         + "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items()) + ".")
    length = training_length(len(training_rows), largest_batch=256)
    num_steps = length.num_epochs * -(-len(training_rows) // length.batch_size)
    values = {
        "data_path": python_path(data), "target": chosen, "split": split, "seed": seed, "length": length,
        "arguments": {**format_arguments(form, names=("delimiter", "decimal", "encoding")), **arguments.as_keywords()},
        "reasons": arguments.reasons, "num_rows": len(cells.frame), "num_columns": len(columns), "num_files": len(cells.paths)}
    useless = {name: reason for name, reason in left_out.items() if name not in arguments.ignore}
    return Found(sentences=_sentences(values, format_sentence(form), useless), decisions=_decisions(chosen, arguments.reasons),
                 values=values, zoo_model="table_network", seconds=_START_SECONDS + _SECONDS_A_STEP * num_steps)


def _sentences(values: dict, written: str, useless: Mapping[str, str]) -> list[str]:
    target = values["target"]
    files = f"{values['num_files']} files" if values["num_files"] > 1 else "The file"
    verb = "have" if values["num_files"] > 1 else "has"
    return [f"{files} {verb} {values['num_rows']} rows and {values['num_columns']} columns.", *([written] if written else []),
            f"The target {target.name!r} holds {target.described}: {target.task}.",
            *(f"Column {name!r} is left out: {reason}." for name, reason in useless.items())]


def _decisions(target: TargetColumn, reasons: dict[str, str]) -> list[str]:
    decisions = [f"`split`: {_SPLIT_QUESTION}"]
    if not target.is_sure:
        decisions.append('`task`: the target holds few different whole numbers, taken for classes. Are they amounts? Then '
                         '"regression".')
    if target.num_missing:
        decisions.append(f"`rows_without_target`: {target.num_missing} rows without target are left out.")
    return decisions + [f"column {name!r}: {reason}." for name, reason in reasons.items()]


_SPLIT_QUESTION = ("rows of one person, machine or day belong together: write `group=COLUMN`; a column that says 'train' and "
                   "'validation' goes there by its name.")
KIND = Kind(name="tabular", other_names=("csv",), takes_target=True, look=look,
            summary="a CSV file of numbers, words and dates, one column of which is predicted (--target COLUMN)",
            data_is="a CSV file, or a folder of CSV files with the same columns")
