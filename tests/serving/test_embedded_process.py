"""The process of the server is prepared before what its preparation is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expman.serving.endpoint import available_port
from tests.support.project import ROOT

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
