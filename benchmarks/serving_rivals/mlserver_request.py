"""Prints the MLP's request in MLServer's gRPC protocol: python mlserver_request.py < BODY_OF_THE_SAME_REQUEST_OVER_REST."""

from __future__ import annotations

import json
import sys

from mlserver.grpc import converters
from mlserver.types import InferenceRequest

request = InferenceRequest.model_validate(json.load(sys.stdin))
sys.stdout.buffer.write(converters.ModelInferRequestConverter.from_types(request, model_name="m").SerializeToString())
