"""Whatever the user's functions return or raise is told before training, in the user's own file, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import experiments_manager
from expman.dry_run.checklist import CHECKS
from expman.dry_run.runner import run_dry
from expman.errors import ExperimentError
from tests.support.settings_files import MODEL, write_experiment

PARAMETERS = {
    "model": "data", "data_preprocess": "features", "getOptimizer": "learning_rate",
    "get_total_loss": "predictions, labels", "get_eval_metric_ops": "predictions, labels",
    "get_validation_summaries": "predictions", "get_input_pipeline_train_val": "batch_size, raw_data_files_folder, shuffle_batches",
    "get_input_pipeline_serving": "", "model_outputs_postprocessing_for_serving": "model_outputs_dict", "addon_callbacks": "model"}

ODD_FOR_ALL = ["None", "3", "'text'", "(1, 2)", "object()", "(part for part in range(2))", "tf.constant(['a'])",
               "{'a': object()}", "{'a': None}", "keras"]
ODD_FOR_ONE = {
    "model": ["{}", "{3: keras.layers.Dense(1)(data)}", "{'prediction': keras.layers.Dense(1)(keras.Input([3]))}",
              "{'a b': keras.layers.Dense(1)(data), 'prediction': keras.layers.Dense(1)(data)}", "keras.Model"],
    "data_preprocess": ["{}", "[features]", "{3: features}", "{'': features}", "{'a/b': features}", "tf.reduce_sum(features)",
                        "tf.zeros([2, 3, 4, 5])", "tf.strings.as_string(features)"],
    "getOptimizer": ["keras.optimizers.Adam", "'adam'", "keras.optimizers.Adam('text')"],
    "get_total_loss": ["predictions", "tf.constant(True)", "tf.constant(1j)", "0 * tf.round(predictions)[0, 0]",
                       "tf.constant(float('nan'))"],
    "get_eval_metric_ops": ["{3: tf.constant(1.0)}", "{'a': ('nope', labels, predictions)}", "{'a': (object, labels, labels)}",
                            "{'a': (lambda: 1 / 0, labels, labels)}", "{'a': ('mse', None, predictions)}",
                            "{'a': ('mse', labels, 'text')}", "{'a': (keras.metrics.MeanSquaredError, labels, tf.zeros([7, 9]))}"],
    "get_validation_summaries": ["[]", "{'a': tf.constant(1j)}", "{'a': tf.zeros([2, 3, 4, 5])}"],
    "get_input_pipeline_train_val": [
        "(bad, None)", "(lambda: 3, None)", "(None, None)", "bad", "tf.data.Dataset.range(3)",
        "tf.data.Dataset.from_tensors((tf.zeros([4, 3]), None))", "tf.data.Dataset.from_tensors(((), tf.zeros([4, 3])))",
        "tf.data.Dataset.from_tensors((tf.zeros([4, 3]), ['a'] * 4))",
        "tf.data.Dataset.from_generator(bad, output_signature=(tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1])))"],
    "get_input_pipeline_serving": ["{}", "tf.TensorSpec([None, 7])", "tf.TensorSpec([None, 3], tf.string)",
                                   "{3: tf.TensorSpec([None, 3])}"],
    "model_outputs_postprocessing_for_serving": ["{}", "{'prediction': [1, 'a']}", "{'prediction': None}",
                                                 "{**model_outputs_dict, 3: model_outputs_dict['prediction']}"],
    "addon_callbacks": ["[None]", "[keras.callbacks.TerminateOnNaN]"]}
RAISED = ["ValueError('mine')", "KeyError('mine')", "StopIteration()", "tf.errors.InvalidArgumentError(None, None, 'mine')"]
FEW = [("get_input_pipeline_train_val", "return (bad, None)"), ("get_total_loss", "return 3"), ("data_preprocess", "return object()"),
       ("get_validation_summaries", "return [predictions]"), ("getOptimizer", "raise StopIteration()"),
       ("model", "return {'prediction': keras.layers.Dense(1)(keras.Input([3]))}"),
       ("get_eval_metric_ops", "return {'a': (lambda: 1 / 0, labels, labels)}")]
MANY = [(function, f"return {value}") for function in PARAMETERS for value in [*ODD_FOR_ALL, *ODD_FOR_ONE[function]]
        ] + [(function, f"raise {error}") for function in PARAMETERS for error in RAISED]
BAD = "\n\ndef bad():\n    raise ValueError('mine')\n"


def experiment_with(folder: Path, function: str, statement: str) -> Path:
    text = f"{BAD}\n\ndef {function}({PARAMETERS[function]}):\n    {statement}\n"
    if function == "model":
        return write_experiment(folder, model=f"import tensorflow as tf\n{MODEL}{text}")
    return write_experiment(folder, added=text)


def is_told(text: str, folder: Path) -> bool:
    """Names a file and a function of the user, and shows no line of anybody else."""
    frames = [line for line in text.splitlines() if line.strip().startswith('File "')]
    return f"{folder}/m" in text and any(name in text for name in PARAMETERS) and all(str(folder) in line for line in frames)


@pytest.mark.parametrize(("function", "statement"), FEW)
def test_training_tells_it_and_writes_nothing(tmp_path, function, statement):
    with pytest.raises(ExperimentError) as told:
        experiments_manager.run(experiment_with(tmp_path, function, statement))
    assert is_told(str(told.value), tmp_path), told.value
    assert not (tmp_path / "experiments").exists()


@pytest.mark.slow
@pytest.mark.parametrize("function", PARAMETERS)
def test_every_odd_value_and_exception_is_told_before_training(tmp_path, function):
    for number, (named, statement) in enumerate(MANY):
        if named != function:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(ExperimentError) as told:
            experiments_manager.run(experiment_with(folder, function, statement))
        assert is_told(str(told.value), folder), (statement, told.value)
        assert not (folder / "experiments").exists(), statement


@pytest.mark.parametrize(("function", "statement"), [
    ("get_total_loss", "return tf.constant(1.0)"), ("get_input_pipeline_train_val", "return (bad, None)"),
    ("addon_callbacks", "raise StopIteration()"), ("get_validation_summaries", "return {'a': tf.constant(1j)}")])
def test_check_tells_it(tmp_path, capsys, function, statement):
    checks = [check for check in CHECKS if check.name in ("settings", "batches", "forward and loss")]
    assert not run_dry(checks, settings_file=experiment_with(tmp_path, function, statement), hparams=None)
    printed = capsys.readouterr().out
    assert is_told(printed, tmp_path), printed
