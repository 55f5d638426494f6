"""Series in CSV files, one row a time: the next values of one column from the past of all."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expman.errors import UsageError
from expman.first_steps.csv_files import existing_column, format_arguments, format_sentence, read_csv_files
from expman.first_steps.image_files import training_and_validation
from expman.first_steps.kind import Found, Kind
from expman.first_steps.rendering import literal, python_path
from expman.first_steps.table_columns import finite_numbers, is_marker
from expman.first_steps.training_length import training_length

if TYPE_CHECKING:
    import pandas as pd

    from data_pipelines.table.reading import TableCells, TableFormat

_VALIDATION_FRACTION = 0.2
_PAST_STEPS, _LEAST_PAST_STEPS = 48, 4
_AHEAD_FRACTION = 4  # of the past
_LEAST_WINDOWS = 10  # of each part
_LEAST_SHARE_OF_NUMBERS = 0.5
_START_SECONDS, _SECONDS_A_STEP = 8, 0.003


def look(data: Path, target: str | None) -> Found:
    """Looks at a CSV file, at a folder of such, or at one with a folder for training and one for validation."""
    training, validation = training_and_validation(data) if data.is_dir() else (data, None)
    from data_pipelines.table.deviation import deviation_of
    cells, form = read_csv_files(training, keeps_missing_words=True)
    place = f"--data {data}"
    _check_form(place, list(cells.frame), form)
    numbers, missing_words = _number_columns(cells.frame, form)
    series = _series(place, target, numbers, cells.frame, missing_words=missing_words)
    channels = [series, *(name for name in numbers if name != series)]
    lengths = _lengths(cells)
    past, ahead = _window(place, lengths, is_split=validation is None)
    num_windows = sum(max(0, length - past - ahead + 1) for length in lengths)
    num_training = round(num_windows * (1 - _VALIDATION_FRACTION)) if validation is None else num_windows
    length = training_length(num_training, largest_batch=64)
    num_steps = length.num_epochs * -(-num_training // length.batch_size)
    fills = _fills(numbers, channels)
    values = {
        "training_path": python_path(training), "validation_path": python_path(validation or training),
        "has_validation": validation is not None, "is_folder": data.is_dir(), "series": series, "channels": channels,
        "past": past, "ahead": ahead, "validation_fraction": _VALIDATION_FRACTION, "num_rows": sum(lengths),
        "num_files": len(lengths), "length": length, "fills": fills,
        "options": _options(form, missing_words, has_missing=fills is not None),
        "means": [_rounded_mean(numbers[name]) for name in channels],
        "deviations": [_rounded(deviation_of(numbers[name])) or 1.0 for name in channels]}
    return Found(sentences=_sentences(values, format_sentence(form)), decisions=_decisions(values, numbers), values=values,
                 zoo_model=None, seconds=_START_SECONDS + _SECONDS_A_STEP * num_steps)


def _check_form(place: str, names: list[str], form: TableFormat) -> None:
    """Refuses what `FileListProcessor_csv_time_series` cannot read."""
    if form.encoding == "utf-16":
        raise UsageError(f"{place}: it is written in UTF-16, in which series cannot be read. Save it as CSV in UTF-8.")
    broken = next((name for name in names if "\n" in name or "\r" in name), None)
    if broken is not None:
        raise UsageError(f"{place}: the name of the column {broken!r} has several lines. Write it in one line.")


def _number_columns(frame: pd.DataFrame, form: TableFormat) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the columns of numbers, NaN where a cell is missing, and the words that stand for a missing cell in them."""
    columns: dict[str, np.ndarray] = {}
    missing_words: list[str] = []
    for name in frame:
        known = frame[name][frame[name] != ""]
        is_number = ~np.isnan(finite_numbers(known, form))
        odd = list(dict.fromkeys(known[~is_number]))
        if len(known) and is_number.mean() >= _LEAST_SHARE_OF_NUMBERS and all(map(is_marker, odd)):
            columns[name] = finite_numbers(frame[name], form)
            missing_words += [word for word in odd if word not in missing_words and word.lower() != "nan"]
    return columns, missing_words


def _series(place: str, target: str | None, numbers: dict[str, np.ndarray], frame: pd.DataFrame, *,
            missing_words: list[str]) -> str:
    """Returns the column to forecast."""
    if not numbers:
        raise UsageError(f"{place}: no column holds numbers only. There are: {', '.join(map(repr, frame))}. Correct the cells "
                         "that are none.")
    if len(missing_words) > 1:
        raise UsageError(f"{place}: missing cells are written in several ways: {', '.join(map(repr, missing_words))}. Empty "
                         "these cells.")
    if target is None:
        if len(numbers) > 1:
            raise UsageError(f"--like timeseries needs --target COLUMN, the series to forecast. {place} has the columns of "
                             f"numbers {', '.join(map(repr, numbers))}.")
        return next(iter(numbers))
    existing_column("--target", target, list(frame))
    if target not in numbers:
        odd = next((word for word in frame[target] if word), "nothing")
        raise UsageError(f"{place}: the target {target!r} does not hold numbers only, e.g. {odd!r}. Columns of numbers: "
                         f"{', '.join(map(repr, numbers))}.")
    return target


def _lengths(cells: TableCells) -> list[int]:
    """Returns the number of rows of each file."""
    return list(Counter(cells.place(row).rpartition(", row ")[0] for row in range(len(cells.frame))).values())


def _window(place: str, lengths: list[int], *, is_split: bool) -> tuple[int, int]:
    """Returns how many rows of the past forecast how many ahead: as many as the shortest file has room for."""
    past, ahead, needed = _PAST_STEPS, 1, 0.0
    while past >= _LEAST_PAST_STEPS:
        ahead = max(1, past // _AHEAD_FRACTION)
        overlap = past + ahead - 1
        # Windows of both parts, none of which has a row of the other's future.
        needed = 2 * overlap + _LEAST_WINDOWS / _VALIDATION_FRACTION if is_split else overlap + _LEAST_WINDOWS
        if min(lengths) >= needed:
            return past, ahead
        past //= 2
    raise UsageError(f"{place}: the shortest of {len(lengths)} series has {min(lengths)} rows, too few to learn from and to measure "
                     f"on. At least {needed:.0f} are needed; join files that belong together, or leave short ones out.")


def _fills(numbers: dict[str, np.ndarray], channels: list[str]) -> list[float] | None:
    """Returns what stands for a missing cell, the mean of the column, or None where none is missing."""
    if not any(np.isnan(numbers[name]).any() for name in channels):
        return None
    return [_rounded_mean(numbers[name]) for name in channels]


def _options(form: TableFormat, missing_words: list[str], *, has_missing: bool) -> str:
    """Returns further arguments of the pipeline, as source."""
    options = [f"{name}={literal(value)}" for name, value in
               format_arguments(form, names=("csv_field_delim", "decimal", "encoding")).items()]
    if has_missing:
        options.append("record_defaults_values=FILLS")
        options += [f"na_value_string={literal(word)}" for word in missing_words]
    return ", ".join(options)


def _rounded_mean(numbers: np.ndarray) -> float:
    """Returns the mean, wrong by less than a thousandth of the deviation, however small that is beside it."""
    from data_pipelines.table.deviation import deviation_of
    mean, deviation = float(np.nanmean(numbers)), deviation_of(numbers)
    num_digits = 4 + max(0, math.ceil(math.log10(abs(mean) / deviation))) if mean and deviation else 9
    return float(f"{mean:.{num_digits}g}")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _sentences(values: dict, written: str) -> list[str]:
    files = f"{values['num_files']} series have" if values["num_files"] > 1 else "The series has"
    return [f"{files} {values['num_rows']} rows; columns of numbers: {', '.join(map(repr, values['channels']))}.",
            *([written] if written else []),
            f"{values['ahead']} rows of {values['series']!r} are forecast from {values['past']} before."]


def _decisions(values: dict, numbers: dict[str, np.ndarray]) -> list[str]:
    decisions = ["`PAST`, `AHEAD`: how many rows back to look, and how many ahead; a season should fit into the past.",
                 f"`CHANNELS`: whatever is known up to the time of the forecast; the first, {values['series']!r}, is forecast."]
    if not values["has_validation"]:
        decisions.append(f"`VALIDATION_FRACTION`: the last {_VALIDATION_FRACTION:.0%} of the rows validate.")
    if values["fills"]:
        num_missing = sum(int(np.isnan(numbers[name]).sum()) for name in values["channels"])
        decisions.append(f"`FILLS`: {num_missing} missing cells become the mean of their column; better fill them in the file.")
    return decisions


KIND = Kind(name="timeseries", other_names=("forecasting", "time_series"), takes_target=True, look=look,
            summary="a CSV file with a row a time, or a folder of such: the next values of one column (--target COLUMN)",
            data_is="a CSV file whose rows follow one another in time, a folder of such, or one with train/ and val/")
