"""`--evaluate --model_dir FOLDER`: measures the best weights of an experiment."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag
from expman.cli.flags import DATA, MODEL_DIR


def run(options: Namespace) -> int:
    """Measures and prints the metrics."""
    from expman.experiment_evaluation import evaluate
    evaluate(options.model_dir, data=options.data)
    return 0


COMMAND = Command(
    Flag("evaluate", "measure the best weights of --model_dir on its validation data, or on --data",
         parsing={"action": "store_true"}),
    run, position=40, synopsis="--evaluate --model_dir FOLDER [--data FOLDER]",
    summary="measure the best weights, on other data, too", required=[MODEL_DIR],
    optional=[DATA])
