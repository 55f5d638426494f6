"""Numbers for the eyes keep four digits and never show an exponent that nobody needs."""

from __future__ import annotations

import math

import pytest

from expman.dry_run.quantities import duration, size
from expman.reports.number_text import bytes_text, duration_text, number_text


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (0.0105612, "0.01056"), (-1.5, "-1.5"), (9999.4, "9999"), (9999.7, "10000"), (-9999.7, "-10000"),
    (12345.6, "12346"), (999_999_999.0, "999999999"), (1.23456e9, "1.235e+09"), (1.2e-7, "1.2e-07"), (math.nan, "nan"),
    (math.inf, "inf")])
def test_four_digits_and_an_exponent_only_where_the_number_would_be_long(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (None, ""), (0.0, "0s"), (0.734, "0.73s"), (9.96, "10s"), (12.4, "12s"), (59.6, "1m 00s"), (185, "3m 05s"),
    (3599.6, "1h 00m"), (7_620, "2h 07m"), (86_399.6, "1d 00h"), (4 * 86_400 + 3 * 3_600, "4d 03h")])
def test_a_duration_is_in_the_unit_that_fits(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("num_bytes", "text"), [
    (0, "0 B"), (999, "999 B"), (999.7, "1 kB"), (1000, "1 kB"), (3_400, "3.4 kB"), (999_600, "1 MB"), (12e6, "12 MB"),
    (2.5e9, "2.5 GB"), (4e15, "4000 TB")])
def test_bytes_are_in_the_unit_that_fits(num_bytes, text):
    assert bytes_text(num_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0.0123, "0.012 s"), (12.3, "12 s"), (99.4, "99 s"), (99.6, "2 min"), (100, "2 min"), (5999, "100 min"), (9000, "2.5 h")])
def test_a_dry_run_tells_durations_without_an_exponent(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("num_bytes", "text"), [
    (512, "0.5 KiB"), (2**20 - 1, "1024.0 KiB"), (2**20, "1.0 MiB"), (3 * 2**29, "1.5 GiB")])
def test_a_dry_run_tells_sizes_in_binary_units(num_bytes, text):
    assert size(num_bytes) == text
