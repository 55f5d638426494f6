"""MultiInference: several classifications and regressions of the same tf.Examples in one run of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.serving.inference import classify, regress
from expman.serving.inference.example_signature import ExampleSignature
from expman.serving.inference.examples import run_on_examples
from expman.serving.inference.model_spec import answered_spec, wanted_signature
from expman.wire.protos import inference_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from expman.serving.models.model_store import ServedVersion


def checked_tasks(request: inference_pb2.MultiInferenceRequest) -> list[inference_pb2.InferenceTask]:
    """The tasks, which must all ask the same version of one model.

    Raises:
        StatusError: INVALID_ARGUMENT, there is none, or they do not.
    """
    tasks = list(request.tasks)
    if not tasks:
        raise StatusError(Code.INVALID_ARGUMENT, "Inference request has no task: add at least one to `tasks`.")
    if any(not task.model_spec.name for task in tasks):
        raise StatusError(Code.INVALID_ARGUMENT, "Found ModelSpec with an empty model name.")
    if any(task.model_spec.name != tasks[0].model_spec.name for task in tasks):
        raise StatusError(Code.INVALID_ARGUMENT,
                          "All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    return tasks


def multi_inference(served: ServedVersion, request: inference_pb2.MultiInferenceRequest, *, checks_method_name: bool,
                    timeout_seconds: float | None) -> inference_pb2.MultiInferenceResponse:
    """Answers all tasks of a request.

    Their signatures may have inputs of their own, as those that TensorFlow 2 exports always do; TensorFlow Serving refuses them.

    Raises:
        StatusError: a task does not fit the model; or what the computation itself reports.
    """
    tasks = checked_tasks(request)
    names, signatures = [], []
    for task in tasks:
        name, signature = _signature(task, served, checks_method_name=checks_method_name)
        if name in names:
            raise StatusError(Code.INVALID_ARGUMENT, f"Duplicate evaluation of signature: {name}")
        names.append(name)
        signatures.append(signature)
    output_tensors = sorted({tensor for signature in signatures for tensor in signature.outputs.values()})
    num_examples, tensors = run_on_examples(
        served.predictor, request.input, input_tensors={signature.input_tensor for signature in signatures},
        output_tensors=output_tensors, timeout_seconds=timeout_seconds)
    response = inference_pb2.MultiInferenceResponse()
    for task, name, signature in zip(tasks, names, signatures):
        result = response.results.add(model_spec=answered_spec(served, name))
        if task.method_name == classify.METHOD_NAME:
            result.classification_result.CopyFrom(classify.classification_result(signature, num_examples, tensors))
        else:
            result.regression_result.CopyFrom(regress.regression_result(signature, num_examples, tensors))
    return response


def _signature(task: inference_pb2.InferenceTask, served: ServedVersion, *, checks_method_name: bool
               ) -> tuple[str, ExampleSignature]:
    name, signature = wanted_signature(task.model_spec.signature_name, served.predictor.signatures,
                                       code=Code.INVALID_ARGUMENT, words="Requested signature not found in model graph: {}")
    if task.method_name == classify.METHOD_NAME:
        return name, classify.classification_signature(signature, checks_method_name=checks_method_name)
    if task.method_name == regress.METHOD_NAME:
        return name, regress.regression_signature(signature, checks_method_name=checks_method_name)
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
