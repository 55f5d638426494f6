"""Runs the three commands of the README on the handwritten digits: train, serve, query. `make demo` calls it."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_SETTINGS_FILE = "examples/classification/mysettings_digits.py"
_FOLDER_LINE = "experiment folder: "
_STOP_TIMEOUT_SECONDS = 30


def main() -> int:
    folder = _train()
    port = _free_port()
    server = _start(["--start_server", "--model_dir", folder, "--serving_engine", "embedded", "--port", str(port)])
    try:
        ready = server.stdout.readline()
        print(ready, end="")
        if not ready:
            return server.wait() or 1
        client = _start(["--predict", "--model_dir", folder, "--port", str(port), "--predict_stream", "-1"])
        answered, _ = client.communicate()
        print(answered)
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
            server.wait(_STOP_TIMEOUT_SECONDS)
    if client.returncode != 0:
        return client.returncode
    state = json.loads((_ROOT / folder / "state.json").read_text(encoding="utf-8"))
    print(f"The experiment lies in {folder}: {state['epoch']} epochs, accuracy {state['best_metrics']['accuracy']:.4f} after "
          f"the best, epoch {state['best_epoch']}.\nNow try yourself:")
    programs = Path(sys.executable).parent
    prefix = f"{programs.relative_to(_ROOT)}/" if programs.is_relative_to(_ROOT) else ""
    for command in (f"tensorboard --logdir {folder}",
                    f"python experiments_manager.py --start_server --model_dir {folder}",
                    f"python experiments_manager.py --predict --model_dir {folder} --predict_stream -1",
                    "python experiments_manager.py --usersettings examples/regression/mysettings_curve_fitting.py"):
        print(f"  {prefix}{command}")
    return 0


def _train() -> str:
    """Trains, shows the training's output as it comes, and returns the experiment's folder."""
    folder = ""
    training = _start(["--usersettings", _SETTINGS_FILE])
    for line in training.stdout:
        print(line, end="", flush=True)
        if line.startswith(_FOLDER_LINE):
            folder = line.removeprefix(_FOLDER_LINE).strip()
    if training.wait() != 0:
        sys.exit(training.returncode)
    return folder


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    print(f"\n$ python {shlex.join(['experiments_manager.py', *arguments])}", flush=True)
    return subprocess.Popen([sys.executable, "experiments_manager.py", *arguments], cwd=_ROOT, stdout=subprocess.PIPE, text=True)


def _free_port() -> int:
    """A port that nobody uses, so that the demo runs beside a server on the settings' own port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
