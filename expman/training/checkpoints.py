"""Saves and restores all variables of a training together with its progress, in one folder a checkpoint."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import keras
import tensorflow as tf

from expman.errors import ExperimentFolderError, TrainingError
from expman.records.experiment_folder import publish_folder, read_json, write_json
from expman.training.progress import TrainingProgress

_LOGGER = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d+)")
_NUM_NEWEST = 2
_VARIABLES = "variables"
_PROGRESS = "progress.json"
# What TensorFlow raises for missing, cut, altered and unfitting files.
_UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, RuntimeError, ValueError)
_READING_ATTEMPTS = 5
_SECONDS_BETWEEN_ATTEMPTS = 0.3
_UNFINISHED = ".unfinished-checkpoint"


class CheckpointPart(Protocol):
    """Parts of a checkpoint beside variables and progress."""

    def save(self, checkpoint: Path) -> None:
        """Writes files of its own into the folder of a checkpoint."""

    def load(self, checkpoint: Path) -> None:
        """Takes over what the files of a checkpoint hold.

        Raises:
            ExperimentFolderError: they are damaged.
        """


class CheckpointStore:
    """The checkpoints of one training.

    A checkpoint appears under its name only when it is complete. The newest two and the best one are kept.

    Arguments:
        folder: holds one folder `step-<number>` a checkpoint; made when absent.
        variables: group → variables to save. They are matched by position, not by name, since Keras numbers the names of
            layers within a process.
        parts: what else to save.
    """

    def __init__(self, folder: Path, *, variables: Mapping[str, Sequence[keras.Variable]],
                 parts: Sequence[CheckpointPart] = ()) -> None:
        self._folder = folder
        self._parts = parts
        self._variables = tf.train.Checkpoint(**{
            group: [variable.value for variable in members] for group, members in variables.items()})

    def save(self, progress: TrainingProgress) -> Path:
        """Writes a checkpoint of the present state and removes those that are no longer needed."""
        self._folder.mkdir(exist_ok=True)
        unfinished, final = self._folder / _UNFINISHED, self._path(progress.step)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        unfinished.mkdir()
        self._variables.write(str(unfinished / _VARIABLES))
        write_json(unfinished / _PROGRESS, progress.as_dict())
        for part in self._parts:
            part.save(unfinished)
        publish_folder(unfinished, final)
        for checkpoint in self._newest_first()[_NUM_NEWEST:]:
            if _step(checkpoint) != progress.best_step:
                shutil.rmtree(checkpoint)
        return final

    def restore_newest(self, progress: TrainingProgress) -> Path | None:
        """Restores the newest checkpoint that can be read, and says so when a newer one is damaged.

        Returns:
            The restored checkpoint; None when there is none at all.

        Raises:
            TrainingError: there are checkpoints, but none can be read.
        """
        checkpoints = self._newest_first()
        for checkpoint in checkpoints:
            if self._restore(checkpoint, progress, parts=self._parts):
                return checkpoint
        if checkpoints:
            raise TrainingError(f"None of the {len(checkpoints)} checkpoints in {self._folder} can be read. "
                                "Restore one from a copy, or train anew.")
        return None

    def restore_best(self) -> TrainingProgress:
        """Restores the variables of the best evaluation; a training may add and remove checkpoints at the same time.

        Returns:
            The progress that says when that was and what was measured.

        Raises:
            TrainingError: there is none yet, or its checkpoint is missing or damaged.
        """
        reason = ""
        for _ in range(_READING_ATTEMPTS):
            progress = self._newest_progress()
            best = self._path(progress.best_step)
            try:
                self._read_variables(best)
            except _UNREADABLE as error:
                reason = str(error).strip().splitlines()[0] if best.is_dir() else "it is missing"
                time.sleep(_SECONDS_BETWEEN_ATTEMPTS)  # a training may have replaced it by a better one meanwhile
            else:
                return progress
        raise TrainingError(f"The best weights, those of step {progress.best_step}, cannot be read from {best}: {reason}. "
                            "Restore this checkpoint from a copy, or train anew.")

    def _newest_progress(self) -> TrainingProgress:
        """Of the newest checkpoint that tells it, with its best evaluation.

        Raises:
            TrainingError: no checkpoint knows an evaluation.
        """
        progress = TrainingProgress()
        for checkpoint in self._newest_first():
            try:
                progress.update(read_json(checkpoint / _PROGRESS))
            except ExperimentFolderError as error:
                _LOGGER.warning("Checkpoint %s is passed over: %s", checkpoint, error)
            else:
                break
        if progress.best_metrics is None:
            raise TrainingError(f"No checkpoint in {self._folder} knows an evaluation that gave a number. Wait for the end of the "
                                "next epoch that is evaluated, or correct the data or the loss.")
        return progress

    def restore_variables(self, step: int) -> bool:
        """Restores the variables of the checkpoint of a step; False when it is missing or damaged."""
        checkpoint = self._path(step)
        return checkpoint.is_dir() and self._restore(checkpoint, TrainingProgress())

    def _restore(self, checkpoint: Path, progress: TrainingProgress, *, parts: Sequence[CheckpointPart] = ()) -> bool:
        try:
            saved = read_json(checkpoint / _PROGRESS)
            self._read_variables(checkpoint)
            for part in parts:
                part.load(checkpoint)
        except (ExperimentFolderError, *_UNREADABLE) as error:
            reason = str(error).strip().splitlines()[0]
            _LOGGER.warning("Checkpoint %s cannot be used and is passed over: %s", checkpoint, reason)
            return False
        progress.update(saved)
        return True

    def _read_variables(self, checkpoint: Path) -> None:
        self._variables.read(str(checkpoint / _VARIABLES)).assert_consumed()

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:09d}"

    def _newest_first(self) -> list[Path]:
        found = [entry for entry in self._folder.glob("step-*") if entry.is_dir() and _NAME.fullmatch(entry.name)]
        return sorted(found, key=_step, reverse=True)


def _step(checkpoint: Path) -> int:
    return int(_NAME.fullmatch(checkpoint.name).group(1))
