"""A version whose answers are not those of the model in memory is refused, and why is told."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import ExportError
from expman.export.formats.export_format import ExportFormat
from expman.export.served_model import ServedModel
from expman.export.verification import verify

SAMPLE = {"x": np.array([1.0, np.nan], np.float32)}


class Answering(ExportFormat):
    """Answers what the model in memory does, changed."""

    def __init__(self, served, change):
        self._served, self._change = served, change

    def write(self, served, folder):
        raise NotImplementedError

    def answer(self, folder, inputs):
        answers = self._served.answers(inputs)
        return self._change({name: {output: answers[output].copy() for output in outputs}
                             for name, outputs in self._served.outputs_of_signatures.items()})


@pytest.fixture
def served():
    return ServedModel(answer=lambda inputs: {"y": inputs["x"] * 2, "n": tf.zeros_like(inputs["x"], tf.int64)},
                       inputs_spec={"x": tf.TensorSpec([None], tf.float32)})


def fault(served, tmp_path, change):
    with pytest.raises(ExportError) as error:
        verify(served, tmp_path, sample=SAMPLE, export_format=Answering(served, change))
    assert str(error.value).endswith("Nothing was published.")
    return str(error.value)


def with_y(values):
    """Replaces the output y in all signatures."""
    return lambda answers: {name: {**outputs, **({"y": np.asarray(values, np.float32)} if "y" in outputs else {})}
                            for name, outputs in answers.items()}


def test_equal_answers_pass_not_a_number_among_them(served, tmp_path):
    verify(served, tmp_path, sample=SAMPLE, export_format=Answering(served, lambda answers: answers))


def test_answers_that_are_not_numbers_at_all_are_told_and_the_cell_is_one_that_differs(served, tmp_path):
    assert "output 'y' is nan instead of 2.0 at index (0,)" in fault(served, tmp_path, with_y([np.nan, np.nan]))
    assert "output 'y' is 3.0 instead of nan at index (1,)" in fault(served, tmp_path, with_y([2.0, 3.0]))
    assert "output 'y' is 3.0 instead of 2.0 at index (0,)" in fault(served, tmp_path, with_y([3.0, np.nan]))


def test_a_missing_signature_or_output_and_another_form_are_told(served, tmp_path):
    assert "lacks the signature 'n'" in fault(served, tmp_path, lambda answers: {
        name: outputs for name, outputs in answers.items() if name != "n"})
    assert "lacks the output 'y' of the signature 'serving_default'" in fault(served, tmp_path, lambda answers: {
        name: {"n": outputs["n"]} if "n" in outputs else {} for name, outputs in answers.items()})
    assert "output 'y' has shape (1, 2) and dtype float32 instead of (2,)" in fault(served, tmp_path, with_y([[2.0, np.nan]]))


def test_of_answers_that_are_drawn_anew_only_the_form_is_compared(tmp_path):
    drawing = ServedModel(answer=lambda inputs: {"y": inputs["x"] + tf.random.normal(tf.shape(inputs["x"]))},
                          inputs_spec={"x": tf.TensorSpec([None], tf.float32)})
    verify(drawing, tmp_path, sample=SAMPLE, export_format=Answering(drawing, lambda answers: answers))
    assert "has shape (1,)" in fault(drawing, tmp_path, with_y([0.0]))
