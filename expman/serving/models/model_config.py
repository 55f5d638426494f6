"""The configuration of a model, read from TensorFlow Serving's ModelServerConfig."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from expman.errors import ServingError
from expman.serving.config_files import read_text_message
from expman.serving.models.version_policy import LatestVersions, VersionPolicy, version_policy
from expman.wire.protos import model_server_config_pb2

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

_LOGGER = logging.getLogger(__name__)

_PLATFORM = "tensorflow"
_NEWEST = LatestVersions()


@dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
        name: what requests call it.
        base_path: the folder that holds one folder a version, named 1, 2, 3 …
        version_policy: which of the versions to serve.
        labels: name -> version; requests may ask for the name instead of the version.
    """

    name: str
    base_path: Path
    version_policy: VersionPolicy = _NEWEST
    labels: Mapping[str, int] = field(default_factory=dict, hash=False)


def read_model_configs(file: str | Path) -> list[ModelConfig]:
    """Reads a `model_config_file`; [] when it is empty, as it may be until it is filled.

    Raises:
        ServingError: it cannot be read, or a model in it cannot be served; names all such models.
    """
    message = read_text_message(file, model_server_config_pb2.ModelServerConfig,
                                described_as="tensorflow.serving.ModelServerConfig")
    try:
        return model_configs(message)
    except ServingError as error:
        raise ServingError(f"{file}: {error}") from error


def model_configs(config: ModelServerConfig) -> list[ModelConfig]:
    """Checks a configuration by the rules of TensorFlow Serving and in its words; `model_platform` may be left out.

    Returns:
        The models in the order of the configuration; [] when it says nothing.

    Raises:
        ServingError: it is not a list of models, or some of them cannot be served; tells all errors.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ServingError("ServerModelConfig type not supported: custom_model_config. Only ModelConfigList is currently "
                           "supported. List the models in model_config_list.")
    messages = config.model_config_list.config
    errors = [error for message in messages for error in _errors(message)]
    errors += [f"Illegal to list model {name} multiple times in config list"
               for name, count in Counter(message.name for message in messages).items() if count > 1]
    models = []
    for message in messages:
        try:
            policy = version_policy(message.model_version_policy)
        except ServingError as error:
            errors.append(f"Model {message.name}: {error}")
            continue
        _notice(message)
        models.append(ModelConfig(message.name, Path(message.base_path), policy, dict(message.version_labels)))
    if errors:
        raise ServingError("\n".join(errors))
    return models


def _errors(message: model_server_config_pb2.ModelConfig) -> Iterator[str]:
    name, base_path = message.name, message.base_path
    if not name:
        yield f"A model has no name (base_path: '{base_path}'). Add `name: \"…\"`, which requests will give."
    if "://" in base_path:
        yield (f"Model {name} has the URI {base_path} as base_path: only folders of this machine can be served. Copy the "
               "model there, or mount it.")
    elif not Path(base_path).is_absolute():
        yield f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}"
    if message.model_type and message.model_platform:
        yield ("Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform "
               f"(model {name}). Keep model_platform.")
    elif message.model_type and message.model_type != model_server_config_pb2.TENSORFLOW:
        yield f"ModelServerConfig::model_type choice {message.model_type} not supported (model {name})."
    elif message.model_platform not in ("", _PLATFORM):
        yield f"Model {name} requests unsupported platform {message.model_platform} (known: {_PLATFORM})"
    if "" in message.version_labels:
        yield f"Model {name} has a version label without a name (version {message.version_labels['']})."


def _notice(message: model_server_config_pb2.ModelConfig) -> None:
    if message.model_type:
        _LOGGER.warning("Deprecated ModelServerConfig::model_type field used for model %s. Prefer "
                        "ModelServerConfig::model_platform.", message.name)
    if message.HasField("logging_config"):
        _LOGGER.warning("logging_config of model %s has no meaning here: requests are not recorded.", message.name)
