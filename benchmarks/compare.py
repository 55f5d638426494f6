"""How long it takes to compare 1,000 experiments.

    python benchmarks/compare.py

Writes 1,000 experiments of 100 epochs as plain files into a temporary folder and prints, from one run with medians of
interleaved repetitions: the whole command `--compare`, beside `python -c pass` and beside a bare script that only reads and
parses the same JSON files.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.experiment_files import falling_loss, write_experiment_files  # noqa: E402

NUM_EXPERIMENTS = 1_000
NUM_EPOCHS = 100
REPEATS = 7

JSON_ONLY = """
import json, pathlib, sys
for file in pathlib.Path(sys.argv[1]).rglob("*.json"):
    json.loads(file.read_text())
"""
COMPARE = """
import sys
sys.path.insert(0, {root!r})
from expman.reports.compare.comparison_table import compare
compare(sys.argv[1:])
"""


def write_experiments(folder: Path) -> None:
    losses = falling_loss(NUM_EPOCHS)
    for number in range(1, NUM_EXPERIMENTS + 1):
        write_experiment_files(
            folder, number=number, hparams={"hiddenNeurons": number, "learningRate": 1 / number, "addNoise": number % 2 == 0},
            losses=losses, metrics={"mae": losses, "rmse": losses}, git_diff="+ a changed line\n" * 100)


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_experiments(Path(folder))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "the JSON files parsed": [sys.executable, "-c", JSON_ONLY, folder],
            "compare": [sys.executable, "-c", COMPARE.format(root=str(ROOT)), folder]}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                seconds[name].append(seconds_of(command))
    print(f"{NUM_EXPERIMENTS} experiments of {NUM_EPOCHS} epochs, seconds, median of {REPEATS}")
    compared = statistics.median(seconds["compare"])
    for name, measured in seconds.items():
        median = statistics.median(measured)
        print(f"{name:<22} {median:.3f}   compare takes {compared / median:.1f} times as long")


if __name__ == "__main__":
    main()
