"""Configurations are read and refused as TensorFlow Serving does."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from expman.errors import ServingError
from expman.serving.models.model_config import ModelConfig, model_configs, read_model_configs
from expman.serving.models.version_policy import AllVersions, LatestVersions, SpecificVersions
from expman.wire.protos import model_server_config_pb2


def parsed(text: str) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def model(text: str) -> str:
    return f"model_config_list {{ config {{ {text} }} }}"


def test_config_file_is_read_with_policies_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text("""
        model_config_list {
          config { name: "newest" base_path: "/models/newest" model_platform: "tensorflow" }
          config {
            name: "two"
            base_path: "/models/two"
            model_platform: "tensorflow"
            model_version_policy { specific { versions: 2 versions: 1 } }
            version_labels { key: "stable" value: 1 }
            version_labels { key: "canary" value: 2 }
          }
          # A comment.
          config { name: "all" base_path: "/models/all" model_version_policy { all {} } }
        }
    """, encoding="utf-8")
    assert read_model_configs(file) == [
        ModelConfig("newest", Path("/models/newest"), LatestVersions(1), {}),
        ModelConfig("two", Path("/models/two"), SpecificVersions(frozenset({1, 2})), {"stable": 1, "canary": 2}),
        ModelConfig("all", Path("/models/all"), AllVersions(), {}),
    ]


@pytest.mark.parametrize(("policy", "expected"), [
    ("", LatestVersions(1)), ("latest {}", LatestVersions(1)), ("latest { num_versions: 3 }", LatestVersions(3)),
    ("latest { num_versions: 0 }", LatestVersions(1)), ("all {}", AllVersions()),
    ("specific { versions: 7 }", SpecificVersions(frozenset({7})))])
def test_version_policy_is_read(policy: str, expected: object) -> None:
    config, = model_configs(parsed(model(f'name: "m" base_path: "/m" model_version_policy {{ {policy} }}')))
    assert config.version_policy == expected


@pytest.mark.parametrize("text", ["", "model_config_list {}"])
def test_config_without_models_has_none(text: str) -> None:
    assert model_configs(parsed(text)) == []


def test_deprecated_model_type_is_taken_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    assert len(model_configs(parsed(model('name: "m" base_path: "/m" model_type: TENSORFLOW')))) == 1
    assert "Deprecated ModelServerConfig::model_type field used for model m" in caplog.text


def test_logging_config_is_taken_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    model_configs(parsed(model('name: "m" base_path: "/m" logging_config { sampling_config { sampling_rate: 1 } }')))
    assert "logging_config of model m has no meaning here" in caplog.text


@pytest.mark.parametrize(("text", "message"), [
    (model('base_path: "/m"'), "A model has no name (base_path: '/m')"),
    (model('name: "m"'), "Expected model m to have an absolute path or URI; got base_path()="),
    (model('name: "m" base_path: "models/m"'),
     "Expected model m to have an absolute path or URI; got base_path()=models/m"),
    (model('name: "m" base_path: "gs://bucket/m"'), "Model m has the URI gs://bucket/m as base_path: only folders of this"),
    (model('name: "m" base_path: "/m" model_platform: "pytorch"'), "Model m requests unsupported platform pytorch"),
    (model('name: "m" base_path: "/m" model_type: OTHER'), "ModelServerConfig::model_type choice 2 not supported"),
    (model('name: "m" base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow"'),
     "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform"),
    (model('name: "m" base_path: "/m" model_version_policy { specific {} }'),
     "Model m: its version policy `specific` names no version"),
    (model('name: "m" base_path: "/m" version_labels { value: 3 }'), "Model m has a version label without a name (version 3)"),
    ("custom_model_config { type_url: 'x' }", "Only ModelConfigList is currently supported"),
])
def test_model_that_cannot_be_served_is_refused(text: str, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        model_configs(parsed(text))
    assert message in str(caught.value)


def test_model_listed_twice_is_refused() -> None:
    twice = 'config { name: "m" base_path: "/m" } config { name: "m" base_path: "/n" }'
    with pytest.raises(ServingError, match="^Illegal to list model m multiple times in config list$"):
        model_configs(parsed(f"model_config_list {{ {twice} }}"))


def test_all_faults_are_told_at_once_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text('model_config_list { config { name: "a" base_path: "a" } config { name: "b" base_path: "b" } }')
    with pytest.raises(ServingError) as caught:
        read_model_configs(file)
    assert str(caught.value).startswith(f"{file}: Expected model a ")
    assert "Expected model b " in str(caught.value)


def test_text_that_is_no_config_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text("model_config_list {\n  config { nam: 'm' }\n}")
    with pytest.raises(ServingError, match="Error parsing text-format tensorflow.serving.ModelServerConfig: .*:2:"):
        read_model_configs(file)
