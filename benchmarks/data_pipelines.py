"""How fast the data pipelines are, beside what they are built on and beside the usual way.

    python benchmarks/data_pipelines.py [--repeats N] [--part csv|images]

Each part writes its data into a temporary folder. The contestants of a part read the same files, which were just written and so
are in memory; after a first pass each, they take turns, and medians of the times and of the ratios are given. Then all is done
again with deterministic ops, as the manager trains.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from expman.runtimes.tensorflow_notices import start_tensorflow  # noqa: E402

start_tensorflow()

import data_pipelines_csv  # noqa: E402
import data_pipelines_images  # noqa: E402
import tensorflow as tf  # noqa: E402
from interleaved_comparison import Comparison, compare  # noqa: E402

PARTS: dict[str, Callable[[Path], list[Comparison]]] = {
    "csv": data_pipelines_csv.block_comparisons, "images": data_pipelines_images.crop_comparisons}
"""Name of a part → a function that writes its data into a folder and returns its comparisons."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        comparisons = []
        for name in options.part or PARTS:
            folder = Path(temporary, name)
            folder.mkdir()
            comparisons += PARTS[name](folder)
        for deterministic in (False, True):
            if deterministic:
                tf.keras.utils.set_random_seed(0)
                tf.config.experimental.enable_op_determinism()
            print("with deterministic ops" if deterministic else "without deterministic ops")
            for comparison in comparisons:
                compare(comparison, options.repeats)


if __name__ == "__main__":
    main()
