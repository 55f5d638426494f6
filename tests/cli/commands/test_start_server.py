"""`--start_server` hands the experiment's settings, and the flags instead of them, to the server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import experiments_manager
from expman.serving.endpoint import available_port
from expman.serving.engines.service import DEFAULT_BATCHING_FILE
from tests.support.experiment_files import write_experiment_files


@pytest.fixture
def arguments_of_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts a server of an experiment; returns the arguments that a `tensorflow_model_server` on PATH got, by name."""
    record = tmp_path / "arguments"
    executable = tmp_path / "bin" / "tensorflow_model_server"
    executable.parent.mkdir()
    executable.write_text(f"#!{sys.executable}\nimport sys\nopen({str(record)!r}, 'w').write('\\0'.join(sys.argv[1:]))\n"
                          "sys.exit(7)\n", encoding="utf-8")
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", str(executable.parent))

    def start(folder: Path, *flags: str) -> dict[str, str]:
        assert experiments_manager.main(["--start_server", "--model_dir", str(folder), *flags]) == 7
        words = (word.removeprefix("--").partition("=") for word in record.read_text(encoding="utf-8").split("\0"))
        return {name: value for name, _, value in words}

    return start


def test_ports_come_from_the_settings_unless_flags_name_others(tmp_path, arguments_of_server):
    ports = [str(available_port("127.0.0.1", 0)) for _ in range(4)]
    folder = write_experiment_files(tmp_path, settings={"tensorflow_server_port": int(ports[0]),
                                                        "tensorflow_server_rest_port": int(ports[1])})
    arguments = arguments_of_server(folder)
    assert (arguments["port"], arguments["rest_api_port"]) == (ports[0], ports[1])
    assert (arguments["model_name"], arguments["model_base_path"]) == ("model", str(folder / "export" / "model"))
    assert not any("batching" in name or "memory" in name for name in arguments)
    arguments = arguments_of_server(folder, "--port", ports[2], "--rest_port", ports[3])
    assert (arguments["port"], arguments["rest_api_port"]) == (ports[2], ports[3])
    assert "rest_api_port" not in arguments_of_server(folder, "--rest_port", "0")


def test_batching_takes_the_users_file_or_that_of_the_project(tmp_path, arguments_of_server):
    folder = write_experiment_files(tmp_path, settings={"tensorflow_server_port": 0})
    own = tmp_path / "own.pbtxt"
    own.write_text("max_batch_size { value: 8 }\n", encoding="utf-8")
    for given, expected in ((["--batching"], DEFAULT_BATCHING_FILE), (["--batching", str(own)], own)):
        arguments = arguments_of_server(folder, *given)
        assert arguments["enable_batching"] == "true"
        assert Path(arguments["batching_parameters_file"]).read_text() == Path(expected).read_text()


def test_a_batching_file_that_does_not_exist_is_told(tmp_path, capsys):
    folder = write_experiment_files(tmp_path)
    assert experiments_manager.main(["--start_server", "--model_dir", str(folder), "--batching", str(tmp_path / "no")]) == 2
    assert f"--batching: there is no file {tmp_path / 'no'}. Give a file of BatchingParameters" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value", "message"), [
    ("--gpu_memory_fraction", "0", "must be a number above 0, at most 1. Got '0'"),
    ("--gpu_memory_fraction", "half", "must be a number above 0, at most 1. Got 'half'"),
    ("--embedded_workers", "0", "must be an int above 0. Got '0'"),
    ("--rest_port", "-1", "must be a port number from 0 to 65535. Got '-1'"),
    ("--rest_port", "70000", "must be a port number from 0 to 65535. Got '70000'")])
def test_wrong_values_are_told_with_what_is_expected(tmp_path, capsys, flag, value, message):
    with pytest.raises(SystemExit, match="2"):
        experiments_manager.main(["--start_server", "--model_dir", str(tmp_path), flag, value])
    assert message in capsys.readouterr().err
