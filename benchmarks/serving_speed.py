"""How fast the embedded server answers, beside a gRPC server that computes nothing and beside other model servers.

    python benchmarks/serving_speed.py [--measure NAME …] [--rounds N] [--seconds S] [--models FOLDER] [--rivals FOLDER]

What is compared runs at the same time and is asked in turn by a process of its own, each for S seconds a round. Printed are
the medians of the rounds, and the median, least and greatest of the rounds' ratios beside the bar. The CPU time is that of the
server's processes for each request: on a machine that others use as well it varies less than anything else.

    noop       p50 on one connection and requests/s on 8, MLP, beside a gRPC server without a model that answers as many
               bytes; requests/s with `--num_workers=2` too
    batching   requests/s on 8 connections, two CNNs, `--enable_batching` beside without; p50 on one connection
    plain      requests/s on 8 connections, MLP, beside a pool of threads over `tf.saved_model.load`
    rivals     the same beside MLServer, BentoML and LitServe; needs `--rivals`
    start      from the start of the process to the first answer, and memory after some thousand requests
    loading    p99 while a ResNet50 is loaded and warmed beside, against p99 before
    megabyte   requests/s on 8 connections, 1 MB in and 1 MB out, beside a server without a model

`--models` keeps the exported models in a folder for the next run. `--rivals` names a folder in which each rival gets an
environment of its own (requirements-serving-rivals-*.txt), which stays there too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from serving_speed_loading import measure_loading
from serving_speed_measures import measure_batching, measure_megabyte, measure_noop, measure_plain, measure_start
from serving_speed_rivals import measure_rivals
from serving_speed_rounds import Setup
from serving_speed_servers import FOLDER

MEASURES = {"noop": measure_noop, "batching": measure_batching, "plain": measure_plain, "rivals": measure_rivals,
            "start": measure_start, "loading": measure_loading, "megabyte": measure_megabyte}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--rivals", type=Path)
    options = parser.parse_args()
    with ExitStack() as undo:
        models = (options.models or Path(undo.enter_context(tempfile.TemporaryDirectory()))).resolve()
        if not (models / "large.answer").exists():
            subprocess.run([sys.executable, FOLDER / "serving_speed_models.py", models], check=True)
        setup = Setup(models=models, rounds=options.rounds, seconds=options.seconds,
                      rivals=options.rivals and options.rivals.resolve())
        for name in options.measure:
            print(f"{name}", flush=True)
            MEASURES[name](setup)


if __name__ == "__main__":
    main()
