"""Names of inputs and outputs: those that can be served are, and the others are told before anything is written."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import UserCodeError
from expman.export.publisher import publish
from expman.export.served_model import ServedModel
from expman.export.signature_names import check_input_names, check_output_names
from tests.support.rest_client import predict
from tests.support.serving_models import OfficialClient, running_endpoints

SERVED_OUTPUTS = [
    ("serving_default",), ("serving_default", "b"), ("a", "serving_default"), ("train_op", "init_op"), ("x", "b"), ("a/b", "a_b"),
    ("a/b", "a"), (".a", "9"), ("a>b", "c"), ("a-b", "a_b"), ("A", "a"), ("signatures", "variables"),
    ("StatefulPartitionedCall", "b")]
REFUSED_OUTPUTS = ["a:0", "a b", "_a", "__saved_model_init_op", "__saved_model_train_op", "-a", "a\\b", "ü", "", 1]
SERVED_INPUTS = ["name", "inputs", "args", "kwargs", "function", "signature", "serving_default", "cls", "A", "a1"]
REFUSED_INPUTS = ["a/b", "a:0", "a b", "9", "self", "-a", ".a", "_a", "a-b", "a.b", "ü", "for", "None", "", 1]


def published(folder, *, input_name="x", outputs=("y",)):
    """A model whose outputs are 1, 2 … times its input."""
    check_input_names([input_name], place="here")
    check_output_names(outputs, place="here")
    served = ServedModel(inputs_spec={input_name: tf.TensorSpec([None], tf.float32)}, answer=lambda inputs: {
        name: inputs[input_name] * (number + 1) for number, name in enumerate(outputs)})
    return publish(served, base_path=folder, sample={input_name: np.array([1.0, 2.0], np.float32)}, keep_versions=1)


@pytest.mark.parametrize("outputs", SERVED_OUTPUTS)
def test_outputs_of_these_names_are_served_each_and_all_together(tmp_path, outputs):
    published(tmp_path / "m", outputs=outputs)
    expected = {name: [3.0 * (number + 1)] for number, name in enumerate(outputs)}
    with running_endpoints(tmp_path / "m", rest_port=0) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        for asked in ("", "serving_default", *outputs):
            answer = client.predict({"x": [np.float32(3)]}, signature_name=asked)
            wanted = {asked: expected[asked]} if asked in outputs and asked != "serving_default" else expected
            assert {name: tf.make_ndarray(value).tolist() for name, value in answer.outputs.items()} == wanted
        row = {name: values[0] for name, values in expected.items()}
        answer = predict(endpoints.rest_port, {"instances": [3.0]}).json()
        assert answer == {"predictions": [row if len(row) > 1 else next(iter(row.values()))]}


@pytest.mark.parametrize("name", SERVED_INPUTS)
def test_an_input_of_these_names_is_served(tmp_path, name):
    version = published(tmp_path, input_name=name)
    answer = tf.saved_model.load(str(version)).signatures["y"](**{name: tf.constant([3.0])})
    assert answer["y"].numpy().tolist() == [3.0]


@pytest.mark.parametrize("name", REFUSED_OUTPUTS)
def test_an_output_of_another_name_is_told(name):
    with pytest.raises(UserCodeError, match=r"^here must name its outputs by letters, .*Got "):
        check_output_names(["y", name], place="here")


@pytest.mark.parametrize("name", REFUSED_INPUTS)
def test_an_input_of_another_name_is_told_with_one_that_can_be_served(tmp_path, name):
    with pytest.raises(UserCodeError, match=r"^here: the name of a served input must .*Got .* e.g. '\w+'.$") as error:
        check_input_names(["x", name], place="here")
    proposed = str(error.value).rpartition("'")[0].rpartition("'")[2]
    check_input_names([proposed], place="here")


def test_inputs_that_differ_only_by_case_are_told_since_tensorflow_cannot_save_them(tmp_path):
    with pytest.raises(UserCodeError, match="must differ in more than their case. Got 'A' and 'a'. .* e.g. 'a_2'"):
        check_input_names(["A", "x", "a"], place="here")
    inputs = {name: tf.TensorSpec([None], tf.float32, name=name) for name in ("A", "a")}
    answer = tf.function(lambda **given: {"y": given["A"] + given["a"]}).get_concrete_function(**inputs)
    with pytest.raises(ValueError, match="more than one argument"):
        tf.saved_model.save(tf.Module(), str(tmp_path / "m"), signatures=answer)
    check_input_names(["A", "a_2"], place="here")
