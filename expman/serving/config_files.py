"""Reads the configuration files that TensorFlow Serving reads: messages in protobuf's text format.

The packages that pip installs lack some of those message types; these are declared here by the names of their fields, which
are all that the text format uses (session_bundle_config.proto, ssl_config.proto and monitoring_config.proto of TensorFlow
Serving).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from expman.errors import ServingError

_PACKAGE = "expman.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64 = wrappers_pb2.Int64Value.DESCRIPTOR.full_name
_BOOL = wrappers_pb2.BoolValue.DESCRIPTOR.full_name
_STRING = wrappers_pb2.StringValue.DESCRIPTOR.full_name

# Message -> field -> type: a plain one, or the name of a message; in a list: repeated.
_MESSAGES: dict[str, dict[str, Any]] = {
    "BatchingParameters": {
        "max_batch_size": _INT64, "batch_timeout_micros": _INT64, "max_enqueued_batches": _INT64,
        "num_batch_threads": _INT64, "thread_pool_name": _STRING, "allowed_batch_sizes": [_FIELD.TYPE_INT64],
        "pad_variable_length_inputs": _FIELD.TYPE_BOOL, "enable_large_batch_splitting": _BOOL,
        "max_execution_batch_size": _INT64,
    },
    "SSLConfig": {
        "server_key": _FIELD.TYPE_STRING, "server_cert": _FIELD.TYPE_STRING, "custom_ca": _FIELD.TYPE_STRING,
        "client_verify": _FIELD.TYPE_BOOL,
    },
    "PrometheusConfig": {"enable": _FIELD.TYPE_BOOL, "path": _FIELD.TYPE_STRING},
    "MonitoringConfig": {"prometheus_config": f"{_PACKAGE}.PrometheusConfig"},
}


def _message_types() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="expman/serving/config_files.proto", package=_PACKAGE, syntax="proto3",
                                              dependency=[wrappers_pb2.DESCRIPTOR.name])
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (name, kind) in enumerate(fields.items(), start=1):
            field = message.field.add(name=name, number=number)
            field.label = _FIELD.LABEL_REPEATED if isinstance(kind, list) else _FIELD.LABEL_OPTIONAL
            kind = kind[0] if isinstance(kind, list) else kind
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


_TYPES = _message_types()
BatchingParametersMessage = _TYPES["BatchingParameters"]
SSLConfigMessage = _TYPES["SSLConfig"]
MonitoringConfigMessage = _TYPES["MonitoringConfig"]


def read_text_message(file: str | Path, message_type: type[Message], *, described_as: str) -> Any:
    """Reads a message in the text format.

    Arguments:
        file: where it stands.
        message_type: what it must be.
        described_as: the message's name in TensorFlow Serving, for the error.

    Raises:
        ServingError: the file cannot be read or is no such message; names the line and the column.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(f"cannot read {file}: {error}") from error
    try:
        return text_format.Parse(text, message_type())
    except text_format.ParseError as error:
        raise ServingError(f"Error parsing text-format {described_as}: {file}:{error}") from error
