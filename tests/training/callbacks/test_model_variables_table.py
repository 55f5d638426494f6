"""The table of the model's variables, against the weights that a callback of the user saves by itself."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas
import pytest

import experiments_manager
from expman import experiment_run
from expman.errors import ExperimentFolderError
from expman.training.callbacks.model_variables_table import ModelVariablesTable
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit
from tests.support.settings_files import write_experiment
from tests.training.test_estimator import trained_estimator, weights_and_averages

RECORDER = '''
save_model_variables_to_pandas = True


class Recorder(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        np.savez(f"FOLDER/weights_{epoch + 1}.npz", *[weight.numpy() for weight in self.model.trainable_variables])


def addon_callbacks(model):
    return [Recorder()]
'''


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> tuple[Path, Path]:
    """An experiment of 2 epochs, and the folder of the weights that its own callback saves."""
    source = tmp_path_factory.mktemp("variables")
    run = experiments_manager.run(write_experiment(source, added=RECORDER.replace("FOLDER", str(source))))
    return Path(run["sessionFolder"]), source


def read_table(folder: Path) -> pandas.DataFrame:
    return pandas.read_pickle(folder / "model_variables.pkl")


def assert_values_are_the_saved_weights(table: pandas.DataFrame, saved: Path) -> None:
    for epoch, rows in table.groupby("epoch"):
        with np.load(saved / f"weights_{epoch}.npz") as weights:
            for values, name in zip(rows["values"], weights.files, strict=True):
                np.testing.assert_array_equal(values, weights[name])


def test_the_table_has_all_weights_after_each_evaluation(experiment):
    folder, saved = experiment
    table = read_table(folder)
    assert list(table.columns) == ["epoch", "step", "variable", "shape", "values", "averaged_values"]
    assert list(table["epoch"]) == [1] * 4 + [2] * 4 and list(table["step"]) == [6] * 4 + [12] * 4
    assert list(table["variable"][:4]) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert list(table["shape"][:4]) == [(3, 8), (8,), (8, 1), (1,)]
    assert [values.shape for values in table["values"]] == list(table["shape"])
    assert {values.dtype for values in table["values"]} == {np.dtype("float32")}
    assert_values_are_the_saved_weights(table, saved)


def test_the_averages_stand_beside_the_weights(tmp_path):
    estimator, folder = trained_estimator(tmp_path, added="\nsave_model_variables_to_pandas = True\n")
    last = read_table(folder.path).query("epoch == 2")
    for one, weight, average in zip(last.itertuples(), *weights_and_averages(estimator), strict=True):
        np.testing.assert_array_equal(one.values, weight)
        np.testing.assert_array_equal(one.averaged_values, average)
        assert np.abs(weight - average).max() > 0


def test_without_averaging_there_are_no_averages(tmp_path):
    _, folder = trained_estimator(tmp_path, added="\nsave_model_variables_to_pandas = True\n"
                                                  "predict_using_smoothed_parameters = False\n")
    assert read_table(folder.path)["averaged_values"].isna().all()


def test_epochs_without_evaluation_have_no_rows(tmp_path):
    _, folder = trained_estimator(tmp_path, ("nbEpoch = 2", "nbEpoch = 3\neval_not_rerun_until_sec = 1000"),
                                  added="\nsave_model_variables_to_pandas = True\n")
    assert list(read_table(folder.path)["epoch"].unique()) == [1, 3]


def test_a_restart_goes_on_with_the_table_and_drops_what_it_computes_again(experiment):
    folder, saved = experiment
    before = read_table(folder)
    pandas.concat([before, before.assign(epoch=3)]).to_pickle(folder / "model_variables.pkl")
    experiment_run.restart(str(folder), num_epochs=4)
    table = read_table(folder)
    assert list(table["epoch"]) == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert list(table["step"].unique()) == [6, 12, 18, 24]
    assert_values_are_the_saved_weights(table, saved)


def test_the_table_is_written_on_demand_only(trained):
    assert not (Path(trained["sessionFolder"]) / "model_variables.pkl").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps(pandas.DataFrame({"a": [1]}))],
                         ids=["empty", "text", "a list", "another table"])
def test_a_damaged_table_is_told_and_left_as_it_is(tmp_path, content):
    file, progress = tmp_path / "model_variables.pkl", TrainingProgress(epoch=1, step=4)
    file.write_bytes(content)
    with pytest.raises(ExperimentFolderError, match="model_variables.pkl is damaged .*Restore it from a copy, or remove it"):
        fit(ModelVariablesTable(file=file, progress=progress, averages=list), progress=progress, values=[1.0] * 3)
    assert file.read_bytes() == content


def test_a_table_that_was_removed_begins_where_the_training_goes_on(tmp_path):
    file, progress = tmp_path / "model_variables.pkl", TrainingProgress(epoch=1, step=4)
    model = fit(ModelVariablesTable(file=file, progress=progress, averages=list), progress=progress, values=[1.0, 2.0, None])
    table = pandas.read_pickle(file)
    assert list(table["epoch"]) == [2] == [int(step / 4) for step in table["step"]] and list(table["variable"]) == ["small/line/kernel"]
    assert table["values"][0].shape == model.trainable_variables[0].shape
