"""Classify, Regress and MultiInference on tf.Examples, asked with the official stubs."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from expman.serving.models.model_config import ModelConfig
from tests.support.serving_models import OfficialClient, running_server, save_affine_model, save_example_model

_CLASSIFY, _REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficialClient]:
    """Of a server of version 1 of the model `e`, which takes tf.Examples, and of `m`, which does not."""
    folder = tmp_path_factory.mktemp("examples")
    save_example_model(folder / "e" / "1")
    save_affine_model(folder / "m" / "1")
    models = [ModelConfig(name=name, base_path=folder / name) for name in ("e", "m")]
    with running_server(folder, models=models) as port, OfficialClient(port) as official_client:
        yield official_client


def filled(request: object, numbers: list[float], *, signature_name: str = "", name: str = "e",
           context: float | None = None) -> object:
    """Puts an example with the feature x for each number into a request, and a context with the feature w."""
    if hasattr(request, "model_spec"):
        request.model_spec.name = name
        request.model_spec.signature_name = signature_name
    examples = (request.input.example_list if context is None else request.input.example_list_with_context).examples
    for number in numbers:
        examples.add().features.feature["x"].float_list.value.append(number)
    if context is not None:
        request.input.example_list_with_context.context.features.feature["w"].float_list.value.append(context)
    return request


def test_classes_and_scores_of_each_example_come_back(client: OfficialClient) -> None:
    response = client.prediction.Classify(filled(classification_pb2.ClassificationRequest(), [1, 2.5]), timeout=60)
    assert [[(entry.label, entry.score) for entry in result.classes] for result in response.result.classifications] == [
        [("low", 1), ("high", -1)], [("low", 2.5), ("high", -2.5)]]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("e", 1, "serving_default")


def test_scores_come_without_labels_where_the_signature_has_none(client: OfficialClient) -> None:
    request = filled(classification_pb2.ClassificationRequest(), [3], signature_name="scores_only")
    result, = client.prediction.Classify(request, timeout=60).result.classifications
    assert [(entry.label, entry.score) for entry in result.classes] == [("", 3), ("", -3)]


@pytest.mark.parametrize("signature_name", ["regress", "regress_flat"])
def test_one_number_of_each_example_comes_back(client: OfficialClient, signature_name: str) -> None:
    request = filled(regression_pb2.RegressionRequest(), [1, 2.5], signature_name=signature_name)
    response = client.prediction.Regress(request, timeout=60)
    assert [regression.value for regression in response.result.regressions] == [10, 25]
    assert response.model_spec.signature_name == signature_name


def test_context_is_merged_into_each_example(client: OfficialClient) -> None:
    request = filled(regression_pb2.RegressionRequest(), [1, 2], signature_name="regress", context=3)
    assert [regression.value for regression in client.prediction.Regress(request, timeout=60).result.regressions] == [30, 60]


def test_example_is_what_tensorflow_itself_parses(client: OfficialClient) -> None:
    example = tf.train.Example(features=tf.train.Features(feature={
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[4]))}))
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "e", "regress"
    request.input.example_list.examples.append(example)
    assert client.prediction.Regress(request, timeout=60).result.regressions[0].value == 40


def test_several_signatures_answer_one_request(client: OfficialClient) -> None:
    response = client.prediction.MultiInference(multi([("classify", _CLASSIFY), ("regress", _REGRESS)], [2]), timeout=60)
    classification, regression = response.results
    assert [entry.score for entry in classification.classification_result.classifications[0].classes] == [2, -2]
    assert regression.regression_result.regressions[0].value == 20
    assert (regression.model_spec.signature_name, regression.model_spec.version.value) == ("regress", 1)


def multi(tasks: list[tuple[str, str]], numbers: list[float], *, name: str = "e") -> inference_pb2.MultiInferenceRequest:
    request = filled(inference_pb2.MultiInferenceRequest(), numbers)
    for signature_name, method_name in tasks:
        task = request.tasks.add(method_name=method_name)
        task.model_spec.name, task.model_spec.signature_name = name, signature_name
    return request


@pytest.mark.parametrize(("request_message", "code", "message"), [
    (filled(classification_pb2.ClassificationRequest(), []), "INVALID_ARGUMENT", "Input is empty."),
    (filled(classification_pb2.ClassificationRequest(), [1], signature_name="wrong"), "INVALID_ARGUMENT",
     "No signature was found with the name: wrong"),
    (filled(classification_pb2.ClassificationRequest(), [1], name="m"), "FAILED_PRECONDITION",
     "No classification inputs found in SignatureDef"),
    (filled(classification_pb2.ClassificationRequest(), [1], signature_name="regress"), "FAILED_PRECONDITION",
     'Expected classification signature outputs to contain at least one of "classes" or "scores".'),
    (filled(classification_pb2.ClassificationRequest(), [1], name="other"), "NOT_FOUND",
     "Servable not found for request: Latest(other)"),
    (classification_pb2.ClassificationRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
])
def test_wrong_classification_gets_its_code_and_words(client: OfficialClient, request_message: object, code: str,
                                                      message: str) -> None:
    _assert_refused(client.prediction.Classify, request_message, code=code, message=message)


@pytest.mark.parametrize(("request_message", "code", "message"), [
    (filled(regression_pb2.RegressionRequest(), [], signature_name="regress"), "INVALID_ARGUMENT", "Input is empty."),
    (filled(regression_pb2.RegressionRequest(), [1], signature_name="classify"), "INVALID_ARGUMENT",
     "Expected one output Tensor."),
    (filled(regression_pb2.RegressionRequest(), [1], signature_name="scores_only"), "FAILED_PRECONDITION",
     "No regression outputs found in SignatureDef"),
    (filled(regression_pb2.RegressionRequest(), [1], signature_name="regress_wrong"), "INVALID_ARGUMENT",
     "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,3]"),
])
def test_wrong_regression_gets_its_code_and_words(client: OfficialClient, request_message: object, code: str,
                                                  message: str) -> None:
    _assert_refused(client.prediction.Regress, request_message, code=code, message=message)


@pytest.mark.parametrize(("request_message", "code", "message"), [
    (multi([], [1]), "INVALID_ARGUMENT", "has no task"),
    (multi([("classify", _CLASSIFY)], [1], name=""), "INVALID_ARGUMENT", "Found ModelSpec with an empty model name."),
    (multi([("classify", "tensorflow/serving/other")], [1]), "UNIMPLEMENTED",
     "Unsupported signature method_name: tensorflow/serving/other"),
    (multi([("classify", _CLASSIFY)] * 2, [1]), "INVALID_ARGUMENT", "Duplicate evaluation of signature: classify"),
    (multi([("wrong", _CLASSIFY)], [1]), "INVALID_ARGUMENT", "Requested signature not found in model graph: wrong"),
    (multi([("classify", _CLASSIFY), ("regress", _REGRESS)], []), "INVALID_ARGUMENT", "Input is empty."),
])
def test_wrong_multi_inference_gets_its_code_and_words(client: OfficialClient, request_message: object, code: str,
                                                       message: str) -> None:
    _assert_refused(client.prediction.MultiInference, request_message, code=code, message=message)


def _assert_refused(method: grpc.UnaryUnaryMultiCallable, request: object, *, code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=60)
    assert caught.value.code().name == code, caught.value.details()
    assert message in caught.value.details()
