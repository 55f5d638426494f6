"""Reads dates and times of day, in TensorFlow ops, so that a served model reads them as training does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from data_pipelines.table.date_patterns import DATE_PATTERNS

DATE_FORMATS = tuple(DATE_PATTERNS)
DATE_PARTS = ("year", "month", "day", "weekday", "hour")
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_MONDAY_OFFSET = 3  # 1970-01-01 was a Thursday


def formats_that_fit(cells: pd.Series) -> list[str]:
    """The formats in which all cells, none of them missing, are dates of the calendar."""
    return [name for name, (pattern, _) in DATE_PATTERNS.items()
            if cells.str.fullmatch(pattern).all() and bool(tf.reduce_all(date_parts(tf.constant(list(cells)), name)[1]))]


def odd_one_among_dates(cells: pd.Series, least_share: float) -> int | None:
    """The index of the first cell that is no date of the calendar, where most cells, but not all, are dates of one format.

    Arguments:
        cells: none of them missing.
        least_share: the share of dates from which the others are taken for mistakes.
    """
    for name in DATE_PATTERNS:
        is_date = date_parts(tf.constant(list(cells)), name)[1].numpy()
        if least_share <= is_date.mean() < 1:
            return int(cells.index[np.argmin(is_date)])
    return None


def earliest_and_latest(cells: pd.Series, date_format: str) -> tuple[str, str]:
    """The first and the last of dates in time, as they are written; none of them is missing."""
    parts, _ = date_parts(tf.constant(list(cells)), date_format)
    order = np.lexsort([parts[part].numpy() for part in ("hour", "day", "month", "year")])  # the last key counts most
    return cells.iloc[order[0]], cells.iloc[order[-1]]


def date_parts(cells: tf.Tensor, date_format: str) -> tuple[Mapping[str, tf.Tensor], tf.Tensor]:
    """Takes dates apart; the time of day is taken as it is written, whatever its zone.

    Arguments:
        cells: str `[batch]`.
        date_format: one of `DATE_FORMATS`; each may be followed by a time such as `17:45` or `T17:45:00Z`.

    Returns:
        For each of `DATE_PARTS` float64 `[batch]`: year, month from 1, day of the month from 1, day of the week with Monday as
        0, hour with its fraction; and whether a cell is a date of the calendar, bool `[batch]`.
    """
    pattern, order = DATE_PATTERNS[date_format]
    is_match = tf.strings.regex_full_match(cells, pattern)

    def number(group: int) -> tf.Tensor:
        text = tf.strings.regex_replace(cells, f"^{pattern}$", rf"\{group}")
        return tf.cast(tf.strings.to_number(tf.where(is_match & (text != ""), text, "0"), tf.int32), tf.int64)

    year, month, day = map(number, order)
    hour, minute, second = map(number, (4, 5, 6))
    is_date = (is_match & (month >= 1) & (month <= 12) & (day >= 1) & (day <= _days_in_month(year, month))
               & (hour < 24) & (minute < 60) & (second < 60))
    parts = {"year": year, "month": month, "day": day, "weekday": (_days_since_1970(year, month, day) + _MONDAY_OFFSET) % 7,
             "hour": tf.cast(hour, tf.float64) + tf.cast(minute, tf.float64) / 60 + tf.cast(second, tf.float64) / 3600}
    return {name: tf.cast(part, tf.float64) for name, part in parts.items()}, is_date


def _is_leap(year: tf.Tensor) -> tf.Tensor:
    return ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)


def _days_before_month(month: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.constant(_DAYS_BEFORE_MONTH, tf.int64), tf.clip_by_value(month - 1, 0, 12))


def _days_in_month(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    is_leap_day = tf.cast(_is_leap(year) & (month == 2), tf.int64)
    return _days_before_month(month + 1) - _days_before_month(month) + is_leap_day


def _days_since_1970(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days of the Gregorian calendar, before which leap days are counted as if it had always been in use."""
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400 - (1969 // 4 - 1969 // 100 + 1969 // 400)
    past_leap_day = tf.cast(_is_leap(year) & (month > 2), tf.int64)
    return (year - 1970) * 365 + leap_days + _days_before_month(month) + past_leap_day + day - 1
