"""The embedded engine serves in its own process exactly what the command line that it prints would serve."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman.errors import ServingError
from expman.serving.engines.embedded_engine import embedded_options, run_embedded
from expman.serving.engines.engine_commands import embedded_command
from expman.serving.engines.service import DEFAULT_BATCHING_FILE, Service
from expman.serving.server_flags import parse_flags
from expman.serving.server_setup import server_options
from tests.support.project import ROOT
from tests.support.serving_models import OfficialClient, save_affine_model


def service(**changes: object) -> Service:
    return Service(**{"base_path": Path("/data/my models/digits"), "model_name": "digits", "address": "127.0.0.1",
                      "port": 9000, **changes})


@pytest.mark.parametrize("changes", [
    {}, {"rest_port": 9001}, {"address": "::1"}, {"on_gpu": True}, {"on_gpu": True, "gpu_memory_fraction": 0.25},
    {"max_message_bytes": 1000}, {"batching_file": DEFAULT_BATCHING_FILE},
    {"batching_file": DEFAULT_BATCHING_FILE, "on_gpu": True}], ids=str)
def test_options_are_those_of_the_printed_command_line(changes: dict) -> None:
    described = service(**changes)
    python, module_flag, module, *flags = embedded_command(described)
    assert (python, module_flag, module) == (sys.executable, "-m", "expman.serving")
    assert embedded_options(described) == server_options(parse_flags(flags))


def test_wrong_batching_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "batching.pbtxt"
    file.write_text("max_batch_size { value: 0 }", encoding="utf-8")
    with pytest.raises(ServingError, match=rf"{file}: max_batch_size must be positive; was 0"):
        run_embedded(service(batching_file=file))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_model_is_served_until_a_signal_by_one_process_or_several(tmp_path: Path, num_workers: int) -> None:
    save_affine_model(tmp_path / "1")
    code = ("import sys; from pathlib import Path; from expman.serving.engines.serve import serve; "
            "from expman.serving.engines.service import Service; "
            f"sys.exit(serve(Service(base_path=Path({str(tmp_path)!r}), model_name='m', address='127.0.0.1', port=0, "
            f"num_workers={num_workers}), engine='embedded'))")
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          env=dict(os.environ)) as process:
        try:
            printed = process.stdout.readline()
            assert " -m expman.serving --model_name=m " in printed
            ready = process.stdout.readline()
            assert f"(engine: embedded{f', {num_workers} workers' if num_workers > 1 else ''})" in ready
            port = int(ready.partition(" on 127.0.0.1:")[2].split()[0])
            with OfficialClient(port) as client:
                answer = client.predict({"x": np.array([[1, 2]], np.float32)})
            np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), [[2, 4]])
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
