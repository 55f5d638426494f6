"""Names of TensorFlow that are not public, or have only a slower public way, which is taken when one is gone."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import tensorflow as tf

from expman.errors import TrainingError
from expman.internals.private_names import missing_names

_SWITCH = "tensorflow.python.framework.config.disable_op_determinism"
_IS_ON = "tensorflow.python.framework.config.is_op_determinism_enabled"
_EAGER = "tf.__internal__.eager_context.eager_mode"
_TRACKABLE = "tf.__internal__.tracking.Trackable"
_INPUTS = "tf.data.Dataset._inputs"
_KERNELS = "tensorflow.python.framework.kernels.get_registered_kernels_for_op"
_READS = "tensorflow.python…: the functions that read files"
# Module → functions whose first argument names a file or a checkpoint.
_READING_FUNCTIONS = {"tensorflow.python.lib.io._pywrap_file_io": ("BufferedInputStream", "ReadFileToString", "CopyFile"),
                      "tensorflow.python.training.py_checkpoint_reader": ("NewCheckpointReader",)}


def _determinism() -> Any:
    return import_module("tensorflow.python.framework.config")


def _kernels() -> Any:
    return import_module("tensorflow.python.framework.kernels")


def _op_callbacks() -> Any:
    return import_module("tensorflow.python.framework.op_callbacks")


def _reading_functions() -> list[tuple[Any, str]]:
    return [(import_module(module), name) for module, names in _READING_FUNCTIONS.items() for name in names]


MISSING = missing_names({
    _SWITCH: (lambda: callable(_determinism().disable_op_determinism),
              "operations that one experiment made deterministic stay so for those after it in the process."),
    _IS_ON: (lambda: callable(_determinism().is_op_determinism_enabled), "it is tried out whether operations are deterministic."),
    _EAGER: (lambda: callable(tf.__internal__.eager_context.eager_mode), "a training step is traced a second time."),
    _TRACKABLE: (lambda: issubclass(tf.Module, tf.__internal__.tracking.Trackable),
                 "of what the user's files keep at module level, layers, modules, variables and lookup tables are exported."),
    _INPUTS: (lambda: callable(tf.data.Dataset._inputs), "a restart reads the training data again from their start."),
    _KERNELS: (lambda: callable(_kernels().get_registered_kernels_for_op), "each trial of a sweep registers the operations anew."),
    _READS: (lambda: callable(_op_callbacks().add_op_callback) and callable(_op_callbacks().remove_op_callback)
             and all(callable(getattr(module, name)) for module, name in _reading_functions()),
             "it does not tell which files it reads: name those beside the settings or model file in user_files."),
}, library=f"TensorFlow {tf.__version__}")


def is_deterministic() -> bool:
    """Returns whether TensorFlow's operations are deterministic at present."""
    if _IS_ON not in MISSING:
        return _determinism().is_op_determinism_enabled()
    with tf.Graph().as_default():  # has no seed, whatever the user has set
        try:
            tf.random.uniform([])
        except RuntimeError:
            return True
    return False


def disable_determinism() -> None:
    """Lets operations be what they are by default, after `tf.config.experimental.enable_op_determinism`.

    Raises:
        TrainingError: this TensorFlow cannot.
    """
    if _SWITCH in MISSING:
        raise TrainingError("deterministic_ops = False: an earlier experiment of this process has made operations "
                            "deterministic, and this TensorFlow cannot undo it. Start a process of its own.")
    _determinism().disable_op_determinism()


@contextlib.contextmanager
def outside_of_tracing(*, without_strategy: bool) -> Iterator[None]:
    """Lets variables be made while a graph is traced: they belong to no graph, and outlive the tracing.

    With `tf.init_scope` alone, the function that is being traced would learn of the variables, and be traced a second time.

    Arguments:
        without_strategy: False where a `tf.distribute.Strategy` has to place the variables or mirror them: the graph that
            hides them from the traced function would hide them from the strategy, too.
    """
    if without_strategy and _EAGER not in MISSING:
        with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():
            yield
    else:
        with tf.init_scope():
            yield


def is_saved_along(value: Any) -> bool:
    """Returns whether a value is something that TensorFlow must save with the functions that use it."""
    if _TRACKABLE not in MISSING:
        return isinstance(value, tf.__internal__.tracking.Trackable)
    import keras
    return isinstance(value, (
        tf.Module, tf.Variable, tf.train.Checkpoint, keras.layers.Layer, keras.Variable, tf.lookup.StaticHashTable,
        tf.lookup.StaticVocabularyTable, tf.lookup.experimental.MutableHashTable, tf.lookup.experimental.DenseHashTable))


def register_kernels() -> None:
    """Lets TensorFlow register its kernels, which it otherwise does when it looks for devices; looks for none."""
    if _KERNELS not in MISSING:
        _kernels().get_registered_kernels_for_op("Const")


def can_watch_reads() -> bool:
    """Returns whether this TensorFlow tells which files it reads."""
    return _READS not in MISSING


def wrap_reading_functions(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces what reads a file without an operation, its name being the first argument, by what `wrap` makes of it."""
    for module, name in _reading_functions():
        setattr(module, name, wrap(getattr(module, name)))


@contextlib.contextmanager
def watched_operations(look: Callable[..., None]) -> Iterator[None]:
    """Calls `look(op_type, inputs, attrs, outputs, op_name, graph)` for each operation of this thread in the context."""
    callbacks = _op_callbacks()
    callbacks.add_op_callback(look)
    try:
        yield
    finally:
        callbacks.remove_op_callback(look)


def draws_below_shuffle(dataset: tf.data.Dataset) -> bool:
    """Returns whether a dataset draws random numbers below a shuffle, which makes the iterator of its input when it starts."""
    return _draws_below(dataset, (_kinds()["shuffle"],))


def draws_when_reached(dataset: tf.data.Dataset) -> bool:
    """Returns whether a dataset draws random numbers below a stage that comes to its input within a pass, such as a repetition."""
    return _draws_below(dataset, (_kinds()["repeat"], _kinds()["concatenate"]))


def _draws_below(dataset: tf.data.Dataset, stages: tuple[type, ...], *, is_below: bool = False) -> bool:
    if _INPUTS in MISSING:
        return True  # then all is read as the training read it
    if is_below and isinstance(dataset, (_kinds()["shuffle"], _kinds()["random"])):
        return True
    return any(_draws_below(source, stages, is_below=is_below or isinstance(dataset, stages)) for source in dataset._inputs())


@functools.cache
def _kinds() -> dict[str, type]:
    """Returns the classes of the stages of a pipeline, which have no public names."""
    numbers = tf.data.Dataset.range(2)
    return {"shuffle": type(numbers.shuffle(2, seed=1)), "repeat": type(numbers.repeat()),
            "concatenate": type(numbers.concatenate(numbers)), "random": type(tf.data.Dataset.random(seed=1))}
