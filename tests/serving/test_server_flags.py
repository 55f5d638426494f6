"""`python -m expman.serving` takes the flags of tensorflow_model_server, refuses others, and fails in its words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expman.errors import ServingError
from expman.serving.__main__ import main
from expman.serving.server_flags import FLAGS, flag_arguments, flags_help, parse_flags
from expman.serving.server_setup import server_options
from tests.support.project import ROOT
from tests.support.serving_models import free_port, save_affine_model


def options_of(*arguments: str):
    return server_options(parse_flags(arguments))


def test_defaults_are_those_of_tensorflow_model_server(tmp_path: Path) -> None:
    options = options_of(f"--model_base_path={tmp_path}")
    model, = options.models
    assert (model.name, options.grpc_port, options.rest_port, options.address) == ("default", 8500, None, "0.0.0.0")
    assert (options.rest_timeout_seconds, options.poll_seconds, options.max_load_retries) == (30, 1, 5)
    assert options.batching is None and options.typed_fields and options.warms_up


def test_switches_may_stand_without_a_value(tmp_path: Path) -> None:
    assert not options_of(f"--model_base_path={tmp_path}", "--enable_serialization_as_tensor_content").typed_fields
    assert not options_of(f"--model_base_path={tmp_path}", "--enable_model_warmup=false").warms_up
    assert options_of(f"--model_base_path={tmp_path}", "--enable_batching").batching.max_batch_size == 1000


def test_channel_arguments_become_numbers_and_texts(tmp_path: Path) -> None:
    options = options_of(f"--model_base_path={tmp_path}", "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,a=b")
    assert options.grpc_arguments == {"grpc.max_connection_age_ms": 2000, "a": "b"}


def test_session_config_file_gives_way_to_the_flags(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import config_pb2

    file = tmp_path / "session.pbtxt"
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 5 log_device_placement: true")
    flags = (f"--model_base_path={tmp_path}", f"--tensorflow_session_config_file={file}", "--use_gpu=false",
             "--tensorflow_intra_op_parallelism=1")
    config = config_pb2.ConfigProto.FromString(options_of(*flags).session.serialized())
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (1, 5)
    assert config.log_device_placement and config.device_count["GPU"] == 0


def test_flag_without_meaning_here_is_accepted_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parse_flags([f"--model_base_path={tmp_path}", "--flush_filesystem_caches=false"])
    assert [record.getMessage() for record in caplog.records] == [
        "--flush_filesystem_caches has no meaning here: caches are left to the operating system"]


@pytest.mark.parametrize(("argument", "message"), [
    ("--model_nam=m", "unknown argument: --model_nam=m. Did you mean --model_name?"),
    ("serve", "unknown argument: serve"),
    ("--port", "--port needs a value: --port=…"),
    ("--port=many", "--port must be a whole number. Got 'many'."),
    ("--port=70000", "--port must be a port from 0 to 65535. Got '70000'."),
    ("--enable_batching=perhaps", "--enable_batching must be true or false. Got 'perhaps'."),
    ("--per_process_gpu_memory_fraction=2", "must be a number from 0 to 1. Got '2'."),
    ("--num_workers=0", "--num_workers must be above 0. Got '0'."),
])
def test_wrong_argument_is_named(argument: str, message: str) -> None:
    with pytest.raises(ServingError) as caught:
        parse_flags([argument])
    assert message in str(caught.value)


def test_all_wrong_arguments_are_told_at_once() -> None:
    with pytest.raises(ServingError, match="(?s)--wrong.*--port"):
        parse_flags(["--wrong", "--port=x"])


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
    (["--port=0"], "nothing to listen on"),
    (["--port=9000", "--rest_api_port=9000"], "--rest_api_port cannot be the same as --port"),
    (["--batching_parameters_file=x"], "batching_parameters_file is set without setting server_options.enable_batching"),
    (["--monitoring_config_file=x"], "--monitoring_config_file needs --rest_api_port"),
    (["--grpc_channel_arguments=x"], "--grpc_channel_arguments must be name=value, separated by commas. Got 'x'."),
    (["--model_config_file=/nowhere"], "cannot read /nowhere"),
])
def test_flags_that_do_not_fit_together_are_told(tmp_path: Path, arguments: list[str], message: str) -> None:
    base_path = [] if not arguments else [f"--model_base_path={tmp_path}"]
    with pytest.raises(ServingError) as caught:
        options_of(*base_path, *arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(("flags", "name", "described_as"), [
    (["--model_config_file={}"], "models", "tensorflow.serving.ModelServerConfig"),
    (["--model_base_path=/m", "--enable_batching", "--batching_parameters_file={}"], "batching",
     "tensorflow.serving.BatchingParameters"),
    (["--model_base_path=/m", "--rest_api_port=8501", "--monitoring_config_file={}"], "monitoring",
     "tensorflow.serving.MonitoringConfig"),
    (["--model_base_path=/m", "--tensorflow_session_config_file={}"], "session", "tensorflow.ConfigProto"),
])
def test_malformed_file_is_named_with_its_line(tmp_path: Path, flags: list[str], name: str, described_as: str) -> None:
    file = tmp_path / f"{name}.pbtxt"
    file.write_text("\nno_such_field: 1")
    with pytest.raises(ServingError, match=f"Error parsing text-format {described_as}: .*{name}.pbtxt:2:1"):
        options_of(*(flag.format(file) for flag in flags))


def test_help_tells_every_flag_and_imports_nothing_heavy() -> None:
    answer = subprocess.run([sys.executable, "-X", "importtime", "-m", "expman.serving", "--help"], cwd=ROOT,
                            capture_output=True, text=True, check=True)
    assert all(f"--{flag.name} " in answer.stdout for flag in FLAGS)
    assert answer.stdout.strip() == flags_help().strip()
    assert not any(name in answer.stderr for name in ("tensorflow", "numpy", "grpc"))


def test_composed_arguments_are_read_back() -> None:
    values = {"model_name": "m", "port": 9000, "enable_batching": True, "rest_api_port": 0}
    arguments = flag_arguments(values.items())
    assert arguments == ["--model_name=m", "--port=9000", "--enable_batching=true"]
    assert values.items() <= parse_flags(arguments).items()


def test_failure_ends_with_255_and_the_words_of_tensorflow_serving(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "models.pbtxt"
    file.write_text("model_config_list { config { nam: 'm' } }")
    assert main([f"--model_config_file={file}"]) == 255
    error = capsys.readouterr().err
    assert error.startswith("Failed to start server. Error: ")
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in error


def test_model_that_cannot_be_loaded_ends_with_255(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([f"--model_base_path={tmp_path}", f"--port={free_port()}"]) == 255
    assert f"'{tmp_path}' holds no version of 'default'" in capsys.readouterr().err.replace(", the base path", "")


def test_several_models_are_served_from_a_file(tmp_path: Path) -> None:
    for name, slope in (("a", 2.0), ("b", 3.0)):
        save_affine_model(tmp_path / name / "1", slope=slope)
    file = tmp_path / "models.pbtxt"
    models = "\n".join(f"config {{ name: '{name}' base_path: '{tmp_path / name}' model_platform: 'tensorflow' }}"
                       for name in "ab")
    file.write_text(f"model_config_list {{ {models} }}")
    options = options_of(f"--model_config_file={file}")
    assert [model.name for model in options.models] == ["a", "b"]
