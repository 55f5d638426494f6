"""The examples of docs/architecture.md, put into a copy of the project and used there; its order of the rooms is the tested one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.project import ROOT
from tests.support.settings_files import write_experiment
from tests.test_architecture import ROOMS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
LINES = re.findall(r"<!-- before a line of (\S+): (.+?) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
PARTS = ("expman", "data_pipelines", "model_zoo", "experiments_manager.py", "experiments_settings_checker.py",
         "DataProvider_input_pipeline.py")

USE = '''\
import sys
from pathlib import Path

import experiments_manager
import numpy as np

settings_file, folder = Path(sys.argv[1]), Path(sys.argv[2])
from expman.dry_run.checklist import CHECKS
from expman.dry_run.runner import run_dry

checks = [check for check in CHECKS if check.name in ("settings", "batches", "forward and loss", "weights")]
print("checked:", run_dry(checks, settings_file=settings_file, hparams=None))
trained = experiments_manager.run(settings_file)
print("listed:", experiments_manager.main(["--versions", trained["sessionFolder"]]))

import tensorflow as tf
from expman.export.publisher import publish
from expman.export.served_model import ServedModel

kernel = tf.constant([[1.0], [2.0]])
for offset in (10.0, 20.0):
    served = ServedModel(answer=lambda inputs: {"y": inputs["x"] @ kernel + offset},
                         inputs_spec={"x": tf.TensorSpec([None, 2], tf.float32)})
    options = {"sample": {"x": np.array([[1, 1], [0, 3]], np.float32)}, "keep_versions": 5}
    written = publish(served, base_path=folder / "numpy", format_name="numpy_affine", **options)
    publish(served, base_path=folder / "m", **options)
print("format:", sorted(file.name for file in written.iterdir()), np.load(written / "affine.npz")["slope"].ravel())

from expman.serving.embedded_server import EmbeddedServer
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.version_policy import AllVersions
from expman.serving.server_options import ServerOptions
from expman.serving.traffic.half_to_former import HalfToFormer
from tests.support.rest_client import rest
from tests.support.serving_models import OfficialClient

server = EmbeddedServer(ServerOptions(models=[ModelConfig("m", folder / "m", AllVersions())],
                                      address="127.0.0.1", grpc_port=0, rest_port=0, traffic_rule=lambda config: HalfToFormer(),
                                      observers=["expman.serving.observers.slow_requests:SlowRequests"]))
endpoints = server.start()
with OfficialClient(endpoints.grpc_port) as client:
    answers = [client.predict({"x": np.ones([1, 2], np.float32)}) for _ in range(60)]
    named = client.predict({"x": np.ones([1, 2], np.float32)}, version=1)
print("traffic:", sorted({float(tf.make_ndarray(answer.outputs["y"])[0, 0]) for answer in answers}),
      named.model_spec.version.value)
print("observed:", rest(endpoints.rest_port, "GET", "/slowest").body.decode())
server.stop()
'''


def insert(file: Path, beginning: str, text: str) -> None:
    """Puts lines before the first line that begins with a text, as far indented as that."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.strip().startswith(beginning))
    indentation = lines[place][:len(lines[place]) - len(lines[place].lstrip())]
    lines[place:place] = [indentation + line for line in text.splitlines(keepends=True)]
    file.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all of the page's examples."""
    copy = tmp_path_factory.mktemp("project")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, copy)
    (copy / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    for name, text in FILES:
        assert not (ROOT / name).exists(), f"the example {name} is there"
        (copy / name).write_text(text, encoding="utf-8")
    for name, beginning, text in LINES:
        insert(copy / name, beginning, text)
    return copy


def run(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=project, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def used(project: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What a use of all examples printed: an experiment with the zoo's model, the pipeline, the setting; then the others."""
    folder = tmp_path_factory.mktemp("experiment")
    x = np.random.default_rng(0).normal(size=[90, 3]).astype(np.float32)
    for name, array in (("x", x), ("y", x.sum(axis=1, keepdims=True))):
        np.save(folder / f"{name}.npy", array)
    settings = write_experiment(
        folder, ('model_file = "model.py"', 'model_file = "zoo:linear"\nslow_epoch_seconds = 0.001'),
        ("import keras", "import DataProvider_input_pipeline\nimport keras"), model=None, added=(
            "\n\ndef get_input_pipeline_train_val(batch_size, shuffle_batches):\n    return DataProvider_input_pipeline.read_arrays("
            f"r'{folder / 'x.npy'}', r'{folder / 'y.npy'}', batch_size=batch_size, shuffle_batches=shuffle_batches)\n"))
    use = project / "use_examples.py"
    use.write_text(USE, encoding="utf-8")
    done = run(project, use, settings, folder)
    return SimpleNamespace(lines=done.stdout.splitlines(), errors=done.stderr)


def test_the_page_has_an_example_for_each_seam():
    assert len(FILES) == len(re.findall(r"^### (?!A setting)", PAGE, re.MULTILINE))
    for name, _ in FILES:
        assert (ROOT / name).parent.is_dir()


def test_the_pages_order_of_the_rooms_is_the_one_that_holds():
    order = re.search(r"<!-- the order of the rooms -->\n```text\n(.*?)\n```", PAGE, re.DOTALL)[1]
    assert [tuple(line.split(", ")) for line in order.splitlines()] == [tuple(rooms) for rooms in ROOMS]


def test_each_room_is_described():
    described = set(re.findall(r"`expman/(\w+)(?:/|\.py)`", PAGE.partition("## Who may import whom")[0]))
    assert {room for rooms in ROOMS for room in rooms} - described <= {"errors", "installation", "tf_config"}


def test_a_command_is_in_the_help_without_tensorflow_and_lists_versions(project, used):
    code = ("import sys, experiments_manager\ntry:\n    experiments_manager.main(['--help'])\n"
            "except SystemExit:\n    print('tensorflow' in sys.modules)")
    assert "--versions FOLDER" in (printed := run(project, "-c", code).stdout) and printed.endswith("False\n")
    listed = used.lines.index("listed: 0")
    assert used.lines[listed - 1].startswith("line ")


def test_a_setting_is_checked_and_reaches_the_callback(project, used):
    assert re.search(r"epoch 1 took \d+\.\d s, with evaluation and export\n", used.errors)
    code = "from expman.settings.contract import default_settings; print(default_settings()['slow_epoch_seconds'])"
    assert run(project, "-c", code).stdout == "None\n"


def test_a_check_of_the_dry_run_has_its_line(used):
    assert any(re.match(r"weights +ok .* 4 trained numbers$", line) for line in used.lines)
    assert "checked: True" in used.lines


def test_an_export_format_is_published_and_verified(used):
    assert "format: ['affine.npz', 'assets.extra'] [1. 2.]" in used.lines


def test_a_traffic_rule_lets_two_versions_answer(used):
    assert "traffic: [13.0, 23.0] 1" in used.lines


def test_an_observer_is_told_of_requests_and_shows_a_page(used):
    line = next(line for line in used.lines if line.startswith("observed:"))
    assert re.fullmatch(r"observed: \d+\.\d ms Predict m version [12] by GRPC, code 0", line)
