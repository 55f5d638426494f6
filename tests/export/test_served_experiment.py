"""What a user's files serve: odd names and outputs are told at the place where they are written."""

from __future__ import annotations

import pytest

import experiments_manager
from expman.errors import UserCodeError
from tests.support.settings_files import MODEL, write_experiment

NAMED = 'return {"NAME": tf.TensorSpec([None, 3], tf.float32)}'


@pytest.mark.parametrize(("replacements", "place"), [
    ([('input_data_name = "x"', 'input_data_name = "my x"')], r"mysettings.py: input_data_name: .* Got 'my x'.* e.g. 'my_x'"),
    ([("return tf.TensorSpec([None, 3], tf.float32)", NAMED.replace("NAME", "a-b"))],
     r"mysettings.py:\d+: get_input_pipeline_serving: .* Got 'a-b'.* e.g. 'a_b'")])
def test_a_name_of_an_input_that_cannot_be_served_is_told_before_training(tmp_path, replacements, place):
    with pytest.raises(UserCodeError, match=place):
        experiments_manager.run(write_experiment(tmp_path, *replacements))
    assert not (tmp_path / "experiments").exists()


def test_a_name_of_an_output_that_cannot_be_served_is_told_before_training(tmp_path):
    with pytest.raises(UserCodeError, match=r"model.py:\d+: model must name its outputs by .* Got 'my code'."):
        experiments_manager.run(write_experiment(tmp_path, model=MODEL.replace('"code"', '"my code"')))
    assert not (tmp_path / "experiments").exists()
