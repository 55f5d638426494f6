#!/usr/bin/env python3
"""Trains, restarts, serves and queries TensorFlow experiments that are described by settings files.

    experiments_manager.py --usersettings FILE [--hparams name=value …]    train, and export as it goes
    experiments_manager.py --check --usersettings FILE                     try all parts in seconds; leaves nothing behind
    experiments_manager.py --restart_interrupted --model_dir FOLDER        go on after a failure
    experiments_manager.py --evaluate --model_dir FOLDER [--data FOLDER]   measure the best weights, on other data, too
    experiments_manager.py --start_server --model_dir FOLDER               serve the newest exported version
    experiments_manager.py --predict --model_dir FOLDER                    query the server through Client_IO
    experiments_manager.py --sweep FILE                                    search the best hyperparameters, or go on with it
    experiments_manager.py --compare FOLDER …                              which of these experiments is best, and why
    experiments_manager.py --diff A B                                      what differs between two experiments
    experiments_manager.py --report FOLDER …                               one HTML page of experiments or a sweep

From Python: `experiments_manager.run(settings_file, hparams)`.
"""

from __future__ import annotations

import gc
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def run(settings_file: str | os.PathLike[str], hparams: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Trains an experiment and returns what came out, as hyperopt's `fmin` takes it.

    Arguments:
        settings_file: the user's settings file.
        hparams: values that replace those of the file's `hparams`.

    Returns:
        A dict with `loss` and the other validation metrics of the best evaluation, `global_step`, `sessionFolder`,
        `last_exported_model` (None when there is none) and `status` ('ok').

    Raises:
        expman.errors.ExperimentError: the user's files, the data or the machine are at fault.
    """
    from expman import experiment_run as commands
    return commands.train(settings_file, hparams=hparams, hparams_origin="python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    from expman.cli.command_line import parse
    options = parse(list(sys.argv[1:] if arguments is None else arguments), description=__doc__)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for package in ("expman", "data_pipelines"):
        logging.getLogger(package).setLevel(logging.DEBUG if options.debug else logging.INFO)
    from expman.errors import ExperimentError
    try:
        return _execute(options)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        logging.getLogger("expman").debug("This is where it was found.", exc_info=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _execute(options: Any) -> int:
    from expman import experiment_run as commands
    if options.start_server:
        return commands.start_server(options.model_dir, engine=options.serving_engine, port=options.port,
                                     rest_port=options.rest_port, batching=options.batching,
                                     num_workers=options.embedded_workers or 1,
                                     gpu_memory_fraction=options.gpu_memory_fraction or 0.0)
    if options.predict:
        commands.predict(options.model_dir, num_requests=options.predict_stream, port=options.port, debug=options.debug)
        return 0
    if options.evaluate:
        from expman.experiment_evaluation import evaluate
        evaluate(options.model_dir, data=options.data)
        return 0
    if options.sweep:
        _print_sweep(commands.sweep(options.sweep, engine=options.engine or "local", ray_address=options.ray_address,
                                    accepts_changes=options.accept_changes))
        return 0
    if options.compare or options.diff or options.report:
        _look(options)
        return 0
    if options.restart_interrupted:
        result = commands.restart(options.model_dir, num_epochs=options.nbEpoch)
    else:
        from expman.settings.hparams import parse_assignments
        hparams = parse_assignments(options.hparams)
        if options.check:
            return 0 if commands.check(options.usersettings, hparams=hparams) else 1
        result = commands.train(options.usersettings, hparams=hparams)
    _print_result(result)
    return 0


def _look(options: Any) -> None:
    """The commands that read experiments and compute nothing."""
    if options.compare:
        from expman.reports.compare.comparison_table import compare
        compare(options.compare, sort=options.sort, filter_expression=options.filter, columns=options.columns,
                csv_file=options.csv)
    elif options.diff:
        from expman.reports.compare.experiment_diff import diff
        print(diff(*options.diff, is_coloured=sys.stdout.isatty()))
    else:
        from expman.reports.page.html_report import write_report
        print(f"report: {write_report(options.report, file=options.output)}")


def _print_result(result: Mapping[str, Any]) -> None:
    from expman.records.running_servers import start_command
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in result.items() if isinstance(value, float))
    folder, export = result["sessionFolder"], result["last_exported_model"]
    served_as = f", served as '{Path(export).parent.name}'" if export else ""
    print(f"best evaluation: {metrics}\nexperiment folder: {folder}\nnewest export: {export}{served_as}\n"
          f"next: {start_command(folder)}\n"
          f"      tensorboard --logdir {shlex.quote(folder)}")


def _print_sweep(result: Any) -> None:
    from expman.records.running_servers import start_command
    best = result.best
    hparams = ", ".join(f"{name} {value}" for name, value in best.hparams.items())
    failed = f", {result.num_failed} of them failed" if result.num_failed else ""
    print(f"{result.num_trials} trials{failed}\nbest trial: {best.number}, {best.value:.5g}, {hparams}\n"
          f"best experiment: {best.folder.path}\npictures: {result.folder / 'pictures'}\n"
          f"next: {start_command(result.best_link)}\n"
          f"      python experiments_manager.py --report {shlex.quote(str(result.folder))}")


if __name__ == "__main__":
    exit_code = main()
    gc.collect()  # iterators over data that Python code gives can only end while that code can still run
    sys.exit(exit_code)
