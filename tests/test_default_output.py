"""An output may be named `serving_default`, as in the framework that this one continues: it is the one that clients ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiments_manager
from tests.support.rest_client import predict
from tests.support.serving_models import OfficialClient, running_endpoints
from tests.support.settings_files import MODEL, write_experiment

X = np.ones([1, 3], np.float32)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """What `run` returned for an experiment with the outputs `code` and `serving_default`."""
    folder = tmp_path_factory.mktemp("default_output")
    return experiments_manager.run(write_experiment(
        folder, ("import keras", "import ast\nimport os\n\nimport keras"),
        ('served_head = "prediction"', 'served_head = "serving_default"'),
        ("class Client_IO:", "class Client_IO:\n    served_heads = ast.literal_eval(os.environ.get('HEADS', 'None'))\n"),
        ('self.answers.append(result.outputs["prediction"].float_val[0])',
         "print('outputs', sorted(result.outputs), 'first', round(result.outputs['serving_default'].float_val[0], 4))"),
        model=MODEL.replace('"prediction"', '"serving_default"')))


@pytest.fixture(scope="module")
def endpoints(experiment):
    """A server of its versions."""
    base_path = Path(experiment["last_exported_model"]).parent
    with running_endpoints(base_path, model_name="line", rest_port=0) as found:
        yield found


@pytest.fixture(scope="module")
def expected(experiment):
    """Output → array for `X`, by TensorFlow."""
    answer = tf.saved_model.load(experiment["last_exported_model"]).signatures["serving_default"](x=tf.constant(X))
    return {name: value.numpy() for name, value in answer.items()}


@pytest.mark.parametrize(("heads", "outputs"), [
    (None, ["serving_default"]), (["serving_default"], ["serving_default"]), ("serving_default", ["code", "serving_default"]),
    (["code", "serving_default"], ["code", "serving_default"])])
def test_clients_get_it_alone_unless_they_want_all(experiment, endpoints, expected, capsys, monkeypatch, heads, outputs):
    monkeypatch.setenv("HEADS", repr(heads))
    assert experiments_manager.main(["--predict", "--model_dir", experiment["sessionFolder"], "--predict_stream", "1", "--port",
                                     str(endpoints.grpc_port)]) == 0
    first = float(expected["serving_default"][0, 0])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("outputs"))
    assert line.startswith(f"outputs {outputs} first ")
    assert float(line.rpartition(" ")[2]) == pytest.approx(first, abs=1e-3)


def test_it_answers_requests_that_name_no_signature_beside_the_other_outputs(endpoints, expected):
    with OfficialClient(endpoints.grpc_port) as client:
        by_grpc = client.predict({"x": X}, name="line").outputs
        code = client.predict({"x": X}, name="line", signature_name="code").outputs
    by_rest = predict(endpoints.rest_port, {"instances": X.tolist()}, path="/v1/models/line:predict").json()["predictions"][0]
    assert list(code) == ["code"]
    assert by_grpc.keys() == by_rest.keys() == expected.keys() == {"code", "serving_default"}
    for name, values in expected.items():
        np.testing.assert_allclose(tf.make_ndarray(by_grpc[name]), values, rtol=1e-5)
        np.testing.assert_allclose(by_rest[name], values[0], rtol=1e-5)


def test_the_experiment_measured_its_metrics_with_it(experiment):
    assert experiment["mae"] > 0
