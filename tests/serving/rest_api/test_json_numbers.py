"""Numbers are written with the digits that TensorFlow Serving writes, and read back as the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from expman.serving.rest_api.json_numbers import number_texts

_GENERATOR = np.random.default_rng(7)


def _by_the_rule(value: np.floating) -> str:
    """TensorFlow Serving's rule, one number at a time: six digits if they suffice, else all."""
    text = f"{float(value):.6g}"
    if type(value)(text) != value:
        text = f"{float(value):.{9 if isinstance(value, np.float32) else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _samples(dtype: type) -> np.ndarray:
    bits = np.dtype(dtype).itemsize * 8
    anything = _GENERATOR.integers(0, 2**(bits - 1), 20_000, dtype=f"uint{bits}").view(dtype)
    short = [float(f"{value:.{digits}e}") for digits in range(7) for value in np.exp(_GENERATOR.uniform(-85, 85, 300))]
    return np.concatenate([
        anything[np.isfinite(anything)], _GENERATOR.standard_normal(2000).astype(dtype), np.array(short, dtype),
        np.arange(-1000, 1000).astype(dtype), (10.0**np.arange(-37, 38)).astype(dtype),
        np.array([0, 999999, 999999.5, 1e6, 9999995, 16777216, 123456789, 1234567936, 1e16, 1e17, 4503599627370497.5,
                  np.finfo(dtype).max, np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal], dtype)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_follow_the_rule_for_every_kind_of_number(dtype: type) -> None:
    values = _samples(dtype)
    values = np.concatenate([values, -values])
    assert number_texts(values) == [_by_the_rule(value) for value in values]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_read_back_as_the_same_numbers(dtype: type) -> None:
    values = _samples(dtype)
    np.testing.assert_array_equal(np.array([dtype(text) for text in number_texts(values)]), values)


@pytest.mark.parametrize(("value", "text"), [  # Those of TensorFlow Serving's own tests, and a few more.
    (9000000, "9e+06"), (999999, "999999.0"), (0.5, "0.5"), (0.0003, "0.0003"), (0.00003, "3e-05"), (555557.5, "555557.5"),
    (0.2, "0.2"), (1 / 3, "0.333333343"), (-0.0, "-0.0"), (1234567, "1234567.0"), (np.nan, "NaN"), (np.inf, "Infinity"),
    (-np.inf, "-Infinity")])
def test_known_numbers_of_float32(value: float, text: str) -> None:
    assert number_texts(np.array([value], np.float32)) == [text]


def test_any_shape_and_any_number_of_values() -> None:
    values = np.arange(3 * 5000, dtype=np.float32).reshape(3, 5000) / 8
    assert number_texts(values) == [_by_the_rule(value) for value in values.ravel()]
    assert number_texts(np.zeros((0, 4), np.float32)) == []
