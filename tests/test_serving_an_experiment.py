"""A server of an experiment is found by its clients, under the name that is printed, also where the project is gone."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from expman.records.running_servers import announced, newest_server
from tests.support.processes import ForkedProcess, run_script, start_script
from tests.support.project import ROOT
from tests.support.serving_models import free_port
from tests.support.settings_files import write_experiment

SESSION_NAME = "my model: 50 % é/ü"
MODEL_NAME = "my-model-50-"
ALL_OUTPUTS = ('''        self.answers.append(result.outputs["prediction"].float_val[0])
''', '''        self.answers.append(outputs)
''')


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> tuple[Path, str]:
    """The folder of an experiment with an odd name that asks for all outputs, and what its training printed."""
    folder = tmp_path_factory.mktemp("odd names")
    file = write_experiment(folder, ('"line"', f'"{SESSION_NAME}"'), ALL_OUTPUTS,
                            ("self, result", "self, outputs"), ("    def getInputData", '    served_heads = "serving_default"\n\n'
                                                                "    def getInputData"),
                            ('[round(answer, 3) for answer in self.answers]',
                             '{name: [arrays[name].tolist() for arrays in self.answers] for name in self.answers[0]}'))
    done = run_script("--usersettings", file)
    assert done.returncode == 0, done.stderr
    return next((folder / "experiments").iterdir()), done.stdout


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[ForkedProcess, str]]:
    """A server of an experiment on a free port, and the line that it printed when it was ready."""
    with start_script("--start_server", "--model_dir", folder, "--serving_engine", "embedded", "--port", "0", *flags) as process:
        try:
            process.stdout.readline()
            yield process, process.stdout.readline()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=60) == 0


def port_of(ready_line: str) -> int:
    return int(re.search(r"127\.0\.0\.1:(\d+)", ready_line)[1])


def answers_of(printed: str) -> dict[str, list]:
    line = next(line for line in printed.splitlines() if line.startswith("answers "))
    return json.loads(line.removeprefix("answers ").replace("'", '"'))


def test_the_model_is_served_under_the_name_that_is_printed_and_the_client_finds_its_port(training, script):
    import tensorflow as tf
    folder, printed = training
    assert f"/1, served as '{MODEL_NAME}'\n" in printed or f"/2, served as '{MODEL_NAME}'\n" in printed
    assert f"--start_server --model_dir '{folder}'\n" in printed
    rest_port = free_port()
    with started(folder, "--rest_port", str(rest_port)) as (process, ready):
        assert ready.startswith(f"serving '{MODEL_NAME}' version")
        record, = (folder / "servers").iterdir()
        assert json.loads(record.read_text())["pid"] == process.pid
        assert newest_server(folder / "servers").rest_port == rest_port
        query = urllib.request.Request(f"http://127.0.0.1:{rest_port}/v1/models/{MODEL_NAME}:predict",
                                       data=b'{"instances": [[1, 1, 1]]}')
        by_rest = json.loads(urllib.request.urlopen(query, timeout=60).read())["predictions"][0]
        predicted = script("--predict", "--model_dir", folder, "--predict_stream", "-1")
    assert predicted.returncode == 0, predicted.stderr
    assert not (folder / "servers").exists()
    answers = answers_of(predicted.stdout)
    newest = max((folder / "export" / MODEL_NAME).iterdir(), key=lambda path: int(path.name))
    signature = tf.saved_model.load(str(newest)).signatures["serving_default"]
    for number in (1, 2, 3):
        expected = signature(x=tf.fill([1, 3], float(number)))
        assert answers.keys() == expected.keys() == {"code", "prediction"}
        for name, values in expected.items():
            np.testing.assert_allclose(answers[name][number - 1], values, rtol=1e-5)
    np.testing.assert_allclose(by_rest["code"], answers["code"][0][0], rtol=1e-5)


def test_of_several_servers_the_newest_that_lives_is_found(training):
    folder, _ = training
    with started(folder) as (_, first_ready), started(folder) as (second, second_ready):
        assert port_of(first_ready) != newest_server(folder / "servers").port == port_of(second_ready)
        second.kill()
        second.wait()
        assert len(list((folder / "servers").iterdir())) == 2
        assert newest_server(folder / "servers").port == port_of(first_ready)
        with started(folder) as (_, third_ready):
            assert len(list((folder / "servers").iterdir())) == 2
            assert newest_server(folder / "servers").port == port_of(third_ready)
    assert newest_server(folder / "servers") is None


def test_where_no_file_can_be_written_a_server_runs_all_the_same(tmp_path, caplog):
    (tmp_path / "servers").write_text("a file where the folder should be")
    with announced(tmp_path / "servers", port=9000, rest_port=0):
        assert newest_server(tmp_path / "servers") is None
    assert "clients must be told the port" in caplog.text


def test_files_of_other_machines_and_of_others_are_ignored(tmp_path):
    with announced(tmp_path, port=1, rest_port=0):
        file, = tmp_path.iterdir()
        record = json.loads(file.read_text())
        for name, content in (("elsewhere-1.json", {**record, "host": "elsewhere", "started": 2e10, "port": 2}),
                              ("dead.json", {**record, "started": 3e10, "port": 3})):
            (tmp_path / name).write_text(json.dumps(content))
        (tmp_path / "notes.json").write_text("no record")
        with open(tmp_path / "elsewhere-1.json") as kept, open(tmp_path / "notes.json") as notes:
            fcntl.flock(kept, fcntl.LOCK_EX)
            fcntl.flock(notes, fcntl.LOCK_EX)
            assert newest_server(tmp_path).port == 1
    assert not file.exists()


def test_without_a_server_the_client_says_how_to_start_one(training, script):
    folder, _ = training
    predicted = script("--predict", "--model_dir", folder)
    assert predicted.returncode == 2 and "any free port" in predicted.stderr
    assert f"`python {ROOT / 'experiments_manager.py'} --start_server --model_dir '{folder}'`" in predicted.stderr
    assert "by --port" in predicted.stderr
