"""Writes experiments as plain files in the documented formats, without training: folders for compare, diff and report."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import experiments_settings_checker as checker

SETTINGS_TEXT = 'session_name = "line"\nbatch_size = 16\n\n\ndef getOptimizer(learning_rate):\n    return None\n'
MODEL_TEXT = 'def model(data):\n    return {"prediction": data}\n'
PACKAGES = {f"package-{number}": f"{number}.0.1" for number in range(100)} | {"keras": "3.15.1", "tensorflow": "2.21.0"}


def falling_loss(num_epochs: int, *, rate: float = 0.1, floor: float = 0.05) -> list[float]:
    """A loss that falls towards a floor, one value an epoch."""
    return [floor + math.exp(-rate * epoch) for epoch in range(1, num_epochs + 1)]


def write_experiment_files(parent: Path, *, number: int = 1, session_name: str = "line", status: str = "finished",
                           hparams: Mapping[str, Any] | None = None, losses: Sequence[float] = (1.0, 0.5, 0.7),
                           metrics: Mapping[str, Sequence[float]] | None = None, metric: str = "loss", mode: str = "min",
                           versions: Sequence[int] = (1, 2), commit: str = "1a42e6cd3b7f", git_diff: str = "",
                           data_hash: str = "aa11", trial: Mapping[str, Any] | None = None, stop_reason: str = "",
                           settings: Mapping[str, Any] | None = None, packages: Mapping[str, str] | None = None) -> Path:
    """Writes one experiment and returns its folder.

    Arguments:
        parent: gets the folder, `<number>_<session name>_…_<time>`.
        number: makes name and time unlike those of the others; from 1.
        losses: the validation loss of each epoch; the loss of training is a tenth lower.
        metrics: further validation metrics: name → a value an epoch.
        metric, mode: by which the best epoch is found.
        trial: content of `trial.json`; None for no such file.
        settings: replace defaults.
        packages: replace `PACKAGES`.
    """
    hparams = {"hiddenNeurons": 8, "learningRate": 0.05} if hparams is None else hparams
    curves = {"loss": list(losses), **{name: list(values) for name, values in (metrics or {}).items()}}
    decoration = "_".join(f"{name}{value}" for name, value in hparams.items())
    stamp = f"2026-11-{1 + number // 1440 % 28:02d}--{number // 60 % 24:02d}-{number % 60:02d}-00"
    folder = parent / "_".join(part for part in (session_name.replace("/", "-"), decoration, stamp) if part)
    folder.mkdir(parents=True)
    _write_identity(folder, session_name=session_name, hparams=hparams, commit=commit, git_diff=git_diff, data_hash=data_hash,
                    settings={"nbEpoch": len(losses), "earlystopping_metric": metric, "earlystopping_mode": mode,
                              **(settings or {})}, packages=PACKAGES if packages is None else packages)
    _write_state(folder, status=status, curves=curves, metric=metric, mode=mode, stop_reason=stop_reason,
                 newest_version=f"export/{session_name}/{versions[-1]}" if versions else None)
    write_metrics(folder, curves)
    (folder / "experiment_settings.py").write_text(SETTINGS_TEXT, encoding="utf-8")
    (folder / "experiment_model.py").write_text(MODEL_TEXT, encoding="utf-8")
    for version in versions:
        (folder / "export" / "model" / str(version)).mkdir(parents=True)
    if trial is not None:
        (folder / "trial.json").write_text(json.dumps(trial), encoding="utf-8")
    return folder


def write_metrics(folder: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Writes `metrics.csv`; an epoch takes half a second."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["epoch", "step", "seconds", "learning_rate", "loss", *(f"val_{name}" for name in curves)])
    for index, values in enumerate(zip(*curves.values())):
        writer.writerow([index + 1, (index + 1) * 10, "0.500", 0.05, 0.9 * curves["loss"][index], *values])
    (folder / "metrics.csv").write_text(table.getvalue(), encoding="utf-8")


def write_sweep(folder: Path, *, num_trials: int = 12, num_epochs: int = 20) -> Path:
    """A sweep whose last trials failed and were pruned; trial 5 has the lowest loss."""
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({
        "sweep_file": "/somewhere/mysweep.py", "settings_file": "/somewhere/mysettings.py", "metric": "loss", "mode": "min",
        "max_trials": num_trials, "algorithm": "tpe"}), encoding="utf-8")
    for number in range(1, num_trials + 1):
        hparams = {"hiddenNeurons": 4 * number, "learningRate": 0.001 * 1.2**number,
                   "activation": "relu" if number % 2 else "tanh"}
        losses = falling_loss(num_epochs, rate=0.15 - 0.005 * (number * 7 % 5), floor=0.05 + 0.02 * abs(number - 5))
        status = {num_trials: "failed", num_trials - 1: "pruned"}.get(number, "finished")
        if status == "pruned":
            losses = losses[:num_epochs // 3]
        reason = {"failed": "out of memory <8 GiB>", "pruned": "worse than the median"}.get(status, "")
        write_experiment_files(
            folder, number=number, session_name=f"{number:04d}_line", hparams=hparams, losses=losses, status=status,
            metrics={"mae": [value / 2 for value in losses], "accuracy": [1 / (1 + value) for value in losses]},
            trial={"number": number, "hparams": hparams, "point": {}, "status": status, "value": min(losses),
                   "reason": reason, "started": "2026-11-21T08:00:00+00:00", "seconds": 10.0})
    best = min(5, num_trials)
    (folder / "best").symlink_to(next(folder.glob(f"{best:04d}_*")).name, target_is_directory=True)
    return folder


def _write_identity(folder: Path, *, session_name: str, hparams: Mapping[str, Any], commit: str, git_diff: str, data_hash: str,
                    settings: Mapping[str, Any], packages: Mapping[str, str]) -> None:
    data = {"folder": "data", "num_files": 2, "num_bytes": 200, "hash": data_hash}
    (folder / "experiment.json").write_text(json.dumps({
        "name": folder.name, "created": "2026-11-21T08:11:33+00:00",
        "command": ["experiments_manager.py", "--usersettings", "mysettings.py"], "current_folder": "/somewhere",
        "settings_file": "/somewhere/mysettings.py", "model_file": "/somewhere/model.py",
        "hparams": {name: {"value": value, "origin": "settings file"} for name, value in hparams.items()},
        "hparam_overrides": {},
        "settings": {**checker.default_settings(), "session_name": session_name, "hparams": dict(hparams),
                     "raw_data_dir_train": "data/train", "raw_data_dir_val": "data/val", "batch_size": 16,
                     "initial_learning_rate": 0.05, "served_head": "prediction", "workingFolder": "experiments",
                     "model_file": "model.py", **settings},
        "git": {"commit": commit, "diff": git_diff, "diff_is_cut": False} if commit else None, "python": "3.11.7",
        "packages": dict(packages),
        "machine": {"system": "Linux", "processor": "a processor", "cores": 2, "accelerators": []},
        "data": {"raw_data_dir_train": data, "raw_data_dir_val": data, "first_batches": {"training data": None}}}, indent=2),
        encoding="utf-8")


def _write_state(folder: Path, *, status: str, curves: Mapping[str, Sequence[float]], metric: str, mode: str, stop_reason: str,
                 newest_version: str | None) -> None:
    values = curves[metric]
    best = min(range(len(values)), key=lambda index: values[index] if mode == "min" else -values[index])
    (folder / "state.json").write_text(json.dumps({
        "status": status, "epoch": len(values), "step": 10 * len(values), "best_value": values[best], "best_epoch": best + 1,
        "best_step": 10 * (best + 1), "best_metrics": {name: curve[best] for name, curve in curves.items()},
        "last_metrics": {name: curve[-1] for name, curve in curves.items()}, "last_exported_model": newest_version,
        "improved": False, "evaluated": True, "stopped_early": False, "stop_reason": stop_reason}, indent=2), encoding="utf-8")
