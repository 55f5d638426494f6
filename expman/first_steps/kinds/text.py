"""Texts with a class each, in a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from expman.errors import UsageError
from expman.first_steps.csv_files import existing_column, format_arguments, format_sentence, read_csv_files
from expman.first_steps.kind import Found, Kind
from expman.first_steps.rendering import python_path
from expman.first_steps.table_target import split_of, target_column
from expman.first_steps.training_length import training_length

if TYPE_CHECKING:
    import pandas as pd

_LEAST_WORDS = 3  # of a text on average
_START_SECONDS, _SECONDS_A_STEP = 12, 0.006


def look(data: Path, target: str | None) -> Found:
    """Looks at a CSV file, or a folder of such, with a column of texts and one of classes."""
    cells, form = read_csv_files(data, keeps_missing_words=True)
    columns = list(cells.frame)
    if target is None:
        raise UsageError(f"--like text needs --target COLUMN, the column with the class of each text. {data} has: "
                         f"{', '.join(map(repr, columns))}.")
    target = existing_column("--target", target, columns)
    place = f"--data {data}"
    text_column, num_words = _text_column(place, cells.frame.drop(columns=target))
    chosen = target_column(place, cells.frame[target], form)
    if chosen.task != "classification":
        raise UsageError(f"{place}: the target {target!r} holds {chosen.described}. --like text tells classes apart: name a "
                         "column of classes.")
    known = cells.frame[~cells.frame[target].isin(["", *chosen.missing_words]) & (cells.frame[text_column] != "")]
    spelled_alike = known[text_column].str.lower().str.split().str.join(" ")
    is_repeated = spelled_alike.duplicated()
    split, seed, training_texts = split_of(place, known[target][~is_repeated], task="classification")
    num_training = int(spelled_alike.isin(spelled_alike[~is_repeated].iloc[training_texts]).sum())
    length = training_length(num_training, largest_batch=64)
    num_steps = length.num_epochs * -(-num_training // length.batch_size)
    arguments = format_arguments(form, names=("sep", "decimal", "encoding"))
    values = {
        "data_path": python_path(data), "is_folder": data.is_dir(), "target": chosen, "text_column": text_column,
        "classes": sorted(known[target].unique()), "split": split, "seed": seed, "length": length, "num_rows": len(cells.frame),
        "num_left_out": len(cells.frame) - len(known), "num_repeated": int(is_repeated.sum()),
        "num_contradictory": int((known.groupby(spelled_alike)[target].nunique() > 1).sum()),
        "no_classes": ["", *chosen.missing_words],
        "arguments": {name: value for name, value in arguments.items() if name != "decimal"}}
    sentences = [f"There are {len(cells.frame)} rows. Column {text_column!r} holds texts of {num_words:.0f} words on average.",
                 *filter(None, [format_sentence(form)]), f"The target {target!r} holds {chosen.described}."]
    return Found(sentences=sentences, decisions=_decisions(values), values=values, zoo_model=None,
                 seconds=_START_SECONDS + _SECONDS_A_STEP * num_steps)


def _text_column(place: str, frame: pd.DataFrame) -> tuple[str, float]:
    """Returns the column with the most words, and their mean number."""
    num_words = {name: float(frame[name].str.split().str.len().mean()) for name in frame}
    name = max(num_words, key=lambda column: num_words[column])
    if num_words[name] < _LEAST_WORDS:
        raise UsageError(f"{place}: no column holds texts: {name!r} has {num_words[name]:.1f} words a cell on average. For "
                         "words, numbers and dates: --like tabular.")
    return name, num_words[name]


def _decisions(values: dict) -> list[str]:
    decisions = [f"`TEXT`: the column {values['text_column']!r} has the longest texts; the others are not used.",
                 "`VALIDATION_FRACTION`: texts are drawn one by one; those of one author or thread belong into one part."]
    if values["num_repeated"]:
        decisions.append(f"{_rows(values['num_repeated'])} a text that is there already: a text and its repetitions are in the "
                         "same part, so that validation has none that was trained. Remove them if they came in by mistake.")
    if values["num_contradictory"]:
        decisions.append(f"{_texts(values['num_contradictory'])} more than one class. Correct them, or keep what is "
                         "undecidable.")
    if values["num_left_out"]:
        decisions.append(f"rows without text or class are left out: {values['num_left_out']}.")
    return decisions


def _rows(number: int) -> str:
    return "1 row repeats" if number == 1 else f"{number} rows repeat"


def _texts(number: int) -> str:
    return "1 text has" if number == 1 else f"{number} texts have"


KIND = Kind(name="text", other_names=("text_classification_csv", "sentences"), takes_target=True, look=look,
            summary="a CSV file with a column of texts and one of their classes (--target COLUMN)",
            data_is="a CSV file, or a folder of CSV files with the same columns")
