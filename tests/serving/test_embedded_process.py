"""The process of the server is prepared before what its preparation is for."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from expman.serving.endpoint import available_port
from tests.support.project import ROOT
from tests.support.serving_models import free_port, save_affine_model

_WAYS = {
    "flags": "from expman.serving.__main__ import serve_flags\n"
             "serve_flags(['--port={port}', '--address=127.0.0.1', '--model_base_path={folder}'])",
    "engine": "from pathlib import Path\n"
              "from expman.serving.engines.serve import serve\n"
              "from expman.serving.engines.service import Service\n"
              "serve(Service(base_path=Path('{folder}'), model_name='m', address='127.0.0.1', port=0), engine='embedded')",
}
# Tells what gRPC finds when it is imported for the first time.
_HOOK = """
import os, sys

class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print("grpc imported with", os.environ.get("GRPC_EXPERIMENTS"))

sys.meta_path.insert(0, Hook())
"""


@pytest.mark.parametrize("way", _WAYS)
def test_grpc_is_told_of_its_listener_before_it_is_imported(tmp_path: Path, way: str) -> None:
    code = _HOOK + _WAYS[way].format(folder=tmp_path, port=available_port("127.0.0.1", 0))
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "grpc imported with -event_engine_listener\n" in process.stdout
    assert "holds no version of" in process.stderr


def test_a_server_whose_threads_are_held_ends_all_the_same(tmp_path: Path) -> None:
    """An observer that waits for ever holds the thread of REST."""
    (tmp_path / "held.py").write_text("import time\n\n"
                                      "class Held:\n    def __init__(self, context):\n        pass\n\n"
                                      "    def observe(self, request):\n        time.sleep(1000)\n")
    save_affine_model(tmp_path / "m" / "1")
    code = ("import sys\nfrom expman.serving import embedded_process\nembedded_process._LONGEST_END_SECONDS = 3.0\n"
            "from expman.serving.__main__ import serve_flags\n"
            f"sys.exit(serve_flags(['--rest_api_port={{}}', '--address=127.0.0.1', '--port=0', '--observers=held:Held', "
            f"'--model_name=m', '--model_base_path={tmp_path / 'm'}']))")
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    with subprocess.Popen([sys.executable, "-c", code.format(port)], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline().startswith("serving"), process.stderr.read()
            with pytest.raises(OSError):
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/m:predict",
                                                              data=b'{"instances": [1.0]}'), timeout=1)
            process.terminate()
            assert process.wait(timeout=60) == 1
            assert "something still holds its threads" in process.stderr.read()
        finally:
            process.kill()
