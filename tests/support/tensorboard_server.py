"""Runs the real TensorBoard for tests that read what it shows."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST_WAIT_SECONDS = 120


@contextlib.contextmanager
def tensorboard(logdir: Path, log_file: Path, *flags: str) -> Iterator[str]:
    """Runs TensorBoard on a free port until its Projector is active; gives its address."""
    with open(log_file, "w", encoding="utf-8") as log:
        process = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1",
                                    "--port", "0", *flags], stdout=log, stderr=subprocess.STDOUT, env=os.environ)
    try:
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            address = re.search(r"TensorBoard \S+ at (http://\S+)", log_file.read_text(encoding="utf-8"))
            if address and read_json(address[1], "plugins_listing")["projector"]["enabled"]:
                break
            time.sleep(0.2)
        else:
            raise AssertionError(log_file.read_text(encoding="utf-8"))
        yield address[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


def read_json(address: str, path: str, request: Any = None) -> Any:
    """Asks TensorBoard for `data/<path>`; a request is sent as JSON."""
    body = None if request is None else json.dumps(request).encode()
    question = urllib.request.Request(f"{address}data/{path}", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(question, timeout=30) as answer:
        return json.load(answer)
