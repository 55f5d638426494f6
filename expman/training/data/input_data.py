"""Builds the user's training and validation datasets and checks that they can be trained on."""

from __future__ import annotations

import collections
import logging
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from expman.errors import TrainingError, UserCodeError
from expman.internals.tensorflow_internals import draws_below_shuffle, draws_when_reached
from expman.settings.loading import Settings
from expman.settings.user_module import user_code
from expman.training.data.batch_form import unbatched_error, what_to_return
from expman.training.data.labels_of_classes import weighted, weighted_alike
from expman.training.data.sample_stream import parts_of_stream
from expman.training.data.unknown_length import EvaluationWatch, told_while_counting
from expman.training.op_errors import readable_message
from expman.training.steps.op_determinism import set_determinism, wants_determinism
from expman.training.steps.seeds import seed_epoch, seed_everything

_LOGGER = logging.getLogger(__name__)
_PIPELINE, _SERVING_PIPELINE = "get_input_pipeline_train_val", "get_input_pipeline_serving"


class InputData:
    """One of the two datasets of an experiment, batched by the user's pipeline.

    Arguments:
        settings: the experiment.
        for_training: whether to build the training data (shuffled) or the validation data (not shuffled).
        set_name: one of `validation_sets`; '' for the validation data without a name.

    Attributes:
        dataset: a finite `tf.data.Dataset` of (features, labels) or (features, labels, sample weights); one pass is one epoch.
            Where `nb_train_samples` is another number than the data have, each pass goes on where the one before ended.
        steps_per_epoch: batches of a pass; None while it is unknown.
        first_batch: one of its elements, as tensors.

    Raises:
        UserCodeError: the pipeline raised, or returned something else than the contract says.
        TrainingError: the dataset is empty, or endless without a number of samples.
    """

    def __init__(self, settings: Settings, *, for_training: bool, set_name: str = "") -> None:
        self._settings = settings
        self._folder_setting = (f"validation_sets['{set_name}']" if set_name else
                                "raw_data_dir_train" if for_training else "raw_data_dir_val")
        self._samples_setting = "nb_train_samples" if for_training else "nb_val_samples"
        self._described_as = "training data" if for_training else described_validation_data(set_name)
        self._is_named = bool(set_name)
        set_determinism(wants_determinism(settings))  # TensorFlow then leaves out what reads ahead of Python's draws
        seed_everything(settings.random_seed)
        if set_name and not settings.declares(_PIPELINE, "raw_data_files_folder"):
            raise UserCodeError(f"{settings.place_of(_PIPELINE)}: validation_sets names other folders, and {_PIPELINE} does not "
                                "declare raw_data_files_folder: all sets would be the same data. Declare it, and read from it.")
        returned = settings.call(
            _PIPELINE, batch_size=settings.batch_size, raw_data_files_folder=settings.data_folders[self._folder_setting],
            shuffle_batches=for_training)
        with user_code(f"the function that {_PIPELINE} returned", default_place=settings.place_of(_PIPELINE)):
            dataset = _built(returned)
        dataset = self._checked(dataset)
        if settings.class_weights:
            dataset = weighted(dataset, settings.class_weights) if for_training else weighted_alike(dataset)
        dataset, self.steps_per_epoch, self._goes_on = self._limited(dataset, goes_on=for_training)
        self.first_batch = self._take_first_batch(_without_autotuning(dataset))
        if self._goes_on:
            dataset = parts_of_stream(_without_autotuning(dataset), num_batches=self.steps_per_epoch)
        self.dataset = _without_autotuning(dataset.prefetch(tf.data.AUTOTUNE))

    def count_steps(self) -> int:
        """Batches of a pass; a dataset that does not know its length is read once.

        Raises:
            TrainingError: it seems to be endless.
        """
        if self.steps_per_epoch is None:
            remedy = ("They do not tell their number, and the decay of the learning rate or getOptimizer's total_steps needs it. "
                      f"Set {self._samples_setting} to say how many samples an epoch has; if the data never end, it must be set.")
            self.steps_per_epoch = sum(1 for _ in told_while_counting(
                self.dataset, place=self._settings.place_of(_PIPELINE), described_as=self._described_as, remedy=remedy))
        return self.steps_per_epoch

    def watches(self, *, num_trained_steps: Callable[[], int]) -> list[EvaluationWatch]:
        """Returns what an evaluation on the data needs so that it ends; nothing where their number is known."""
        return [] if self.steps_per_epoch is not None else [EvaluationWatch(
            place=self._settings.place_of(_PIPELINE), described_as=self._described_as, setting=self._samples_setting,
            num_trained_steps=num_trained_steps)]

    def skip_passes(self, num_passes: int) -> None:
        """Brings the dataset to where it is after some passes of a training, reading as little as it needs for that.

        Creating an iterator draws the seeds of a pass; its elements are computed only when they are asked for. But a shuffle
        creates the iterator of its input with its own first element: then one batch of each pass is read. A dataset that goes
        on from pass to pass, or shuffles anew within one, is read as the training read it.
        """
        must_read_all = self._goes_on or draws_when_reached(self.dataset)
        must_read_first = draws_below_shuffle(self.dataset)
        if must_read_all and num_passes:
            _LOGGER.info("The %s are read again from their start, %d passes, to find the place where the training was.",
                         self._described_as, num_passes)
        for number in range(num_passes):
            seed_epoch(self._settings.random_seed, number)
            iterator = iter(self.dataset)
            if must_read_all:
                collections.deque(iterator, maxlen=0)
            elif must_read_first:
                next(iterator, None)

    def _checked(self, dataset: Any) -> tf.data.Dataset:
        place = self._settings.place_of(_PIPELINE)
        if not isinstance(dataset, tf.data.Dataset):
            raise UserCodeError(f"{place}: {_PIPELINE} must return a tf.data.Dataset, a function that makes one, or the pair "
                                f"(function, None). Got {type(dataset).__name__}.{what_to_return(dataset)}")
        spec = dataset.element_spec
        if not (isinstance(spec, tuple) and len(spec) in (2, 3) and _holds_tensors(spec)):
            raise UserCodeError(f"{place}: the dataset of {_PIPELINE} must yield pairs (features, labels), or "
                                f"triples (features, labels, sample weights), of tensors. Its elements are {spec}.")
        error = unbatched_error(spec, self._settings.batch_size, served_spec=lambda: self._settings.call(_SERVING_PIPELINE))
        if error:
            raise UserCodeError(f"{place}: the dataset of {_PIPELINE} is not batched: {error}.")
        return dataset

    def _limited(self, dataset: tf.data.Dataset, *, goes_on: bool) -> tuple[tf.data.Dataset, int | None, bool]:
        """Fits the dataset to the number of samples that the settings ask for, if they do.

        Arguments:
            goes_on: whether a pass shall begin where the one before ended, if the dataset has another length than that.

        Returns:
            The dataset, endless if it goes on; the batches of a pass, None while unknown; whether it goes on.
        """
        num_batches = int(dataset.cardinality())
        num_samples = getattr(self._settings, self._samples_setting)
        if num_samples:
            wanted = math.ceil(num_samples / self._settings.batch_size)
            if num_batches == wanted:
                return dataset, wanted, False
            if not goes_on and num_batches != tf.data.INFINITE_CARDINALITY:  # no sample of an evaluation may count twice
                return dataset.take(wanted), min(num_batches, wanted) if num_batches >= 0 else None, False
            if num_batches != tf.data.INFINITE_CARDINALITY:
                dataset = dataset.repeat()
            return (dataset, wanted, True) if goes_on else (dataset.take(wanted), wanted, False)
        if num_batches == tf.data.INFINITE_CARDINALITY:
            raise TrainingError(f"{self._settings.place_of(_PIPELINE)}: the {self._described_as} never end, since the dataset "
                                f"repeats itself. Set {self._samples_setting}, or remove the repeat().")
        return dataset, num_batches if num_batches >= 0 else None, False

    def _take_first_batch(self, dataset: tf.data.Dataset) -> Any:
        try:
            for batch in dataset.take(1):
                return batch
        except tf.errors.OpError as error:
            raise TrainingError(f"{self._settings.place_of(_PIPELINE)}: the {self._described_as} of {_PIPELINE} cannot be read: "
                                f"{readable_message(error)}") from error
        folder = self._settings.data_folders[self._folder_setting]
        raise TrainingError(
            f"{self._settings.place_of(_PIPELINE)}: the {self._described_as} are empty: {_PIPELINE}(batch_size="
            f"{self._settings.batch_size}, raw_data_files_folder='{folder}', …) gave no batch. Correct "
            f"{self._folder_setting}, or lower batch_size if incomplete batches are dropped.")


def described_validation_data(set_name: str) -> str:
    """Returns how messages speak of validation data; '' stands for those without a name."""
    return f"validation data '{set_name}'" if set_name else "validation data"


def _without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Unless the user asks for it: the end of a pass may wait for autotuning's next look, as long again as the pass took.

    `AUTOTUNE` then means as many threads as there are cores, from the start.
    """
    options = tf.data.Options()
    if dataset.options().autotune.enabled is None:
        options.autotune.enabled = False
    return dataset.with_options(options)


def _holds_tensors(spec: Any) -> bool:
    """Returns whether an element has features, and tensors alone: no None, no datasets."""
    return bool(tf.nest.flatten(spec[0])) and all(hasattr(part, "shape") and hasattr(part, "dtype")
                                                  for part in tf.nest.flatten(spec))


def _built(returned: Any) -> Any:
    """Follows the older ways to return a dataset: the pair (function, None), or a function that makes it."""
    if isinstance(returned, tuple) and len(returned) == 2 and callable(returned[0]):
        returned = returned[0]
    if callable(returned) and not isinstance(returned, tf.data.Dataset):
        returned = returned()
    return returned
