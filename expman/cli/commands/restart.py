"""`--restart_interrupted --model_dir FOLDER`: goes on with a training."""

from __future__ import annotations

from argparse import Namespace

from expman.cli.command import Command, Flag
from expman.cli.flags import MODEL_DIR, positive


def run(options: Namespace) -> int:
    """Goes on with the training and prints what came out."""
    from expman import experiment_run
    from expman.cli.training_result import print_result
    print_result(experiment_run.restart(options.model_dir, num_epochs=options.nbEpoch))
    return 0


COMMAND = Command(
    Flag("restart_interrupted", "go on with the training of --model_dir", parsing={"action": "store_true"}),
    run, position=30, synopsis="--restart_interrupted --model_dir FOLDER", summary="go on after a failure",
    required=[MODEL_DIR],
    optional=[Flag("nbEpoch", "train to epoch N", because="otherwise set nbEpoch in the settings file",
                   parsing={"metavar": "N", "type": positive})])
