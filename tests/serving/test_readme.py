"""The README's ways to ask a server, run word for word against the model that they are written for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.processes import run_python
from tests.support.project import ROOT
from tests.support.serving_models import free_port
from tests.support.serving_process import server_process

_README = ROOT / "README.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the input and the output of the curve's."""
    class Curve(tf.Module):
        @tf.function
        def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"prediction": tf.sin(x)}

    folder, curve = tmp_path_factory.mktemp("curve"), Curve()
    tf.saved_model.save(curve, str(folder / "1"), signatures=curve.answer.get_concrete_function(
        tf.TensorSpec([None, 1], tf.float32, "x")))
    return folder


@pytest.fixture(scope="module")
def ports(model: Path) -> Iterator[dict[str, int]]:
    """README's port -> the one where it is served here."""
    rest_port = free_port()
    with server_process(model, f"--rest_api_port={rest_port}", model_name="curve_fitting") as server:
        yield {"9000": server.port, "8501": rest_port}


def example(name: str, ports: dict[str, int]) -> str:
    text = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", _README.read_text(encoding="utf-8"), re.S).group(1)
    for written, port in ports.items():
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{port}")
    return text


def test_official_stubs_print_the_answer(ports: dict[str, int]) -> None:
    answer = run_python("-c", example("grpc", ports))
    assert answer.returncode == 0, answer.stderr
    numbers = [float(number) for number in re.findall(r"[\d.]+", answer.stdout)]
    np.testing.assert_allclose(numbers, np.sin([0.5, 1.0]), rtol=1e-5)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_curl_prints_the_answer_and_the_status(ports: dict[str, int]) -> None:
    prediction, status = (json.loads(subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout)
                          for line in example("rest", ports).splitlines())
    np.testing.assert_allclose(prediction["predictions"], np.sin([[0.5], [1.0]]), rtol=1e-6)
    assert [version["state"] for version in status["model_version_status"]] == ["AVAILABLE"]
