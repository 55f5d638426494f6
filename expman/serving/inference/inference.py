"""Answers the requests of TensorFlow Serving's services from the models of a store: the one door behind every protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from expman.errors import ServingError
from expman.serving.inference.classify import classification_result, classification_signature
from expman.serving.inference.example_signature import ExampleSignature
from expman.serving.inference.examples import run_on_examples
from expman.serving.inference.model_spec import answered_spec, wanted_model, wanted_signature, wanted_version
from expman.serving.inference.multi_inference import checked_tasks, multi_inference
from expman.serving.inference.predict_result import PredictResult
from expman.serving.inference.prepared_predict import PreparedPredict
from expman.serving.inference.regress import regression_result, regression_signature
from expman.serving.models.model_config import model_configs
from expman.serving.models.model_store import ModelStore, ServedVersion, VersionStatus
from expman.serving.observers.observed_request import NOT_OBSERVED, Observed
from expman.serving.observers.observers import Observers
from expman.wire.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    import numpy as np
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

PREDICT, CLASSIFY, REGRESS, MULTI_INFERENCE = "Predict", "Classify", "Regress", "MultiInference"

# Reads a request's inputs, alias -> value, once the signatures of the version are known; None: it cannot do so at once.
ReadInputs = Callable[[Mapping[str, "SignatureDef"]], "Mapping[str, np.ndarray] | None"]

_METADATA_FIELD = "signature_def"
_NO_SIGNATURE = "No signature was found with the name: {}"


class Inference:
    """The methods of PredictionService and ModelService; each takes and returns the service's own messages.

    All raise `StatusError` with the code and the words that TensorFlow Serving gives.

    Arguments:
        store: the models.
        typed_fields: answer Predict in `float_val` and its like; False for `tensor_content`.
        checks_method_name: refuse Classify and Regress on signatures that are not marked for them, as those are that
            TensorFlow 2 exports.
        observers: are told of requests to run a model; None: nobody is.
        can_reload: False refuses new configurations, which would reach one of several processes only.
    """

    def __init__(self, store: ModelStore, *, observers: Observers | None = None, typed_fields: bool = True,
                 checks_method_name: bool = False, can_reload: bool = True) -> None:
        self._store = store
        self._observers = observers or Observers()
        self._typed_fields = typed_fields
        self._checks_method_name = checks_method_name
        self._can_reload = can_reload

    def observed(self, method: str, *, entrypoint: str, model: str = "") -> Observed:
        """Begins to observe a request; whoever has taken it from a client, ends it with `end`.

        Arguments:
            method: one of the constants of this module.
            entrypoint: the protocol, `GRPC` or `REST`.
            model: which is asked for, if that is known already.
        """
        return self._observers.begin(method, entrypoint=entrypoint, model=model)

    def predict(self, request: predict_pb2.PredictRequest, *, timeout_seconds: float | None = None,
                observed: Observed = NOT_OBSERVED) -> PredictResult:
        """Runs a signature on arrays; the answer stands for a PredictResponse."""
        prepared = self.prepare_predict(request, observed=observed)
        try:
            return prepared.run(timeout_seconds=timeout_seconds)
        finally:
            prepared.release()

    def prepare_predict(self, request: predict_pb2.PredictRequest, *, observed: Observed = NOT_OBSERVED) -> PreparedPredict:
        """Decodes a request, to be run later; its version is held until the caller releases it."""
        name, version, label = wanted_model(request)
        signature_name = request.model_spec.signature_name
        observed.note_request(model=name, signature_name=signature_name, request=request)
        served = self._acquire(name, version, label, observed)
        try:
            return PreparedPredict(served, signature_name=signature_name, inputs=request.inputs,
                                   output_filter=request.output_filter, typed_fields=self._typed_fields, observed=observed)
        except BaseException:
            served.release()
            raise

    def prepare_predict_of_arrays(self, read_inputs: ReadInputs, *, model: str, version: int | None = None,
                                  label: str | None = None, signature_name: str = "", observed: Observed = NOT_OBSERVED
                                  ) -> PreparedPredict | None:
        """Prepares a request that is no message, as `prepare_predict` does.

        Arguments:
            read_inputs: see `ReadInputs`.
            model, version, label, signature_name: what is asked for.
            observed: takes the notes.

        Returns:
            None, if that is what `read_inputs` returned.
        """
        observed.note_request(model=model, signature_name=signature_name)
        served = self._acquire(model, version, label, observed)
        prepared = None
        try:
            inputs = read_inputs(served.predictor.signatures)
            if inputs is not None:
                prepared = PreparedPredict(served, signature_name=signature_name, inputs=inputs,
                                           typed_fields=self._typed_fields, observed=observed)
        finally:
            if prepared is None:
                served.release()
        return prepared

    def classify(self, request: classification_pb2.ClassificationRequest, *, timeout_seconds: float | None = None,
                 observed: Observed = NOT_OBSERVED) -> classification_pb2.ClassificationResponse:
        """Runs a signature that classifies tf.Examples."""
        with self._acquire_for(request, observed) as served:
            name, wanted = self._example_signature(request, served, classification_signature)
            num_examples, tensors = run_on_examples(
                served.predictor, request.input, input_tensors=[wanted.input_tensor],
                output_tensors=list(wanted.outputs.values()), timeout_seconds=timeout_seconds)
            response = classification_pb2.ClassificationResponse(
                model_spec=answered_spec(served, name), result=classification_result(wanted, num_examples, tensors))
        observed.note_response(response)
        return response

    def regress(self, request: regression_pb2.RegressionRequest, *, timeout_seconds: float | None = None,
                observed: Observed = NOT_OBSERVED) -> regression_pb2.RegressionResponse:
        """Runs a signature that computes one number for each tf.Example."""
        with self._acquire_for(request, observed) as served:
            name, wanted = self._example_signature(request, served, regression_signature)
            num_examples, tensors = run_on_examples(
                served.predictor, request.input, input_tensors=[wanted.input_tensor],
                output_tensors=list(wanted.outputs.values()), timeout_seconds=timeout_seconds)
            response = regression_pb2.RegressionResponse(
                model_spec=answered_spec(served, name), result=regression_result(wanted, num_examples, tensors))
        observed.note_response(response)
        return response

    def multi_inference(self, request: inference_pb2.MultiInferenceRequest, *, timeout_seconds: float | None = None,
                        observed: Observed = NOT_OBSERVED) -> inference_pb2.MultiInferenceResponse:
        """Runs several signatures on the same tf.Examples."""
        name, version, label = wanted_version(checked_tasks(request)[0].model_spec)
        observed.note_request(model=name, request=request)
        with self._acquire(name, version, label, observed) as served:
            response = multi_inference(served, request, checks_method_name=self._checks_method_name,
                                       timeout_seconds=timeout_seconds)
        observed.note_response(response)
        return response

    def _acquire(self, name: str, version: int | None, label: str | None, observed: Observed) -> ServedVersion:
        served = self._store.acquire(name, version=version, label=label)
        observed.note_version(served.number)
        return served

    def _acquire_for(self, request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
                     observed: Observed) -> ServedVersion:
        name, version, label = wanted_model(request)
        observed.note_request(model=name, signature_name=request.model_spec.signature_name, request=request)
        return self._acquire(name, version, label, observed)

    def _example_signature(self, request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
                           served: ServedVersion, check: Callable[..., ExampleSignature]) -> tuple[str, ExampleSignature]:
        name, signature = wanted_signature(request.model_spec.signature_name, served.predictor.signatures,
                                           code=Code.INVALID_ARGUMENT, words=_NO_SIGNATURE)
        return name, check(signature, checks_method_name=self._checks_method_name)

    def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest
                 ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Tells the signatures of a version."""
        name, version, label = wanted_model(request)
        if not request.metadata_field:
            raise StatusError(Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _METADATA_FIELD:
                raise StatusError(Code.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
        signature_map = get_model_metadata_pb2.SignatureDefMap()
        with self._store.acquire(name, version=version, label=label) as served:
            for key, signature in served.predictor.signatures.items():
                signature_map.signature_def[key].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=answered_spec(served))
        response.metadata[_METADATA_FIELD].Pack(signature_map)
        return response

    def model_status(self, request: get_model_status_pb2.GetModelStatusRequest
                     ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells the state of one version or of all, newest first."""
        name, version, label = wanted_model(request)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[
            _status_message(status) for status in self._store.statuses(name, version=version, label=label)])

    def reload_config(self, request: model_management_pb2.ReloadConfigRequest
                      ) -> model_management_pb2.ReloadConfigResponse:
        """Replaces the models that are served; returns when the new ones are loaded."""
        if not self._can_reload:
            raise StatusError(Code.FAILED_PRECONDITION, "This server consists of several workers. Change its "
                              "--model_config_file instead, with --model_config_file_poll_wait_seconds.")
        if request.config.WhichOneof("config") is None:
            raise StatusError(Code.INVALID_ARGUMENT, "Invalid config: it has no model_config_list.")
        try:
            models = model_configs(request.config)
        except ServingError as error:
            raise StatusError(Code.INVALID_ARGUMENT, str(error)) from error
        self._store.reload(models)
        return model_management_pb2.ReloadConfigResponse()


def _status_message(status: VersionStatus) -> get_model_status_pb2.ModelVersionStatus:
    message = get_model_status_pb2.ModelVersionStatus(version=status.version, state=int(status.state))
    message.status.error_code = int(status.error_code)
    message.status.error_message = status.error
    return message
