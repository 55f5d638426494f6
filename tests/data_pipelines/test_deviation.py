"""Numbers that do not differ in truth have no deviation, so that their noise is not blown up."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.table.deviation import deviation_of
from DataProvider_input_pipeline import table

WORDS = ["u", "v", "w"]


@pytest.mark.parametrize("numbers", [[0.1] * 300, [0.7059] * 17, [0.1, 0.3 - 0.2] * 40, [1e-320, 5e-320] * 9, [0.0] * 5])
def test_noise_and_numbers_that_are_zero_to_tensorflow_count_as_none(numbers):
    assert deviation_of(np.array(numbers)) == 0.0


@pytest.mark.parametrize("numbers", [[1e-30, 2e-30], [1e9, 1e9 + 1], [0.1, 0.2, np.nan], [-1e30, 1e30], [0, 1e-300, 1]])
def test_other_numbers_have_the_deviation_of_the_population(numbers):
    known = np.array(numbers)[~np.isnan(numbers)]
    assert deviation_of(np.array(numbers)) == pytest.approx(np.sqrt(((known - known.mean()) ** 2).mean()))


@pytest.mark.parametrize("cells", [["0.1", "", "0.1"], ["1e-320", "3e-320", "5e-320"], ["0.1", "0.10", "1e-1"]])
def test_features_of_such_a_column_are_finite_and_alike(tmp_path, cells):
    lines = [f"{cells[row % 3]},{WORDS[row % 3]},{row % 11}.5" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x,w,y", *lines]))
    made = table(tmp_path / "t.csv", target="y", task="regression")
    features = made.data_preprocess({name: tf.constant(value) for name, value in made.rows(for_training=True).items()})
    assert np.abs(features.numpy()[:, 0]).max() < 1e-6


def test_a_target_that_float32_cannot_tell_apart_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{row % 7}.5,{1 + row}e-320" for row in range(60))]))
    with pytest.raises(ValueError, match="the numbers of the target 'y', e.g. '.*e-320', differ by less than float32 can tell"):
        table(tmp_path / "t.csv", target="y")
