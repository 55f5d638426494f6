"""TensorBoard's HParams tab gets the values of the experiment and the names of its metrics."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import metadata

from expman.training.callbacks.hparams_summary import HparamsSummary
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


def summaries(folder):
    found = {}
    for file in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found.update({value.tag: value.metadata.plugin_data.content for value in event.summary.value})
    return found


def written(folder, hparams):
    fit(HparamsSummary(folder=folder, hparams=hparams, metrics=["loss", "mae"], experiment_name="line_1"),
        progress=TrainingProgress(), num_epochs=1)
    return summaries(folder)


def test_values_of_each_kind_are_shown_lists_and_none_as_texts(tmp_path):
    found = written(tmp_path, {"rate": 0.5, "width": 8, "noise": True, "name": "a", "none": None, "layers": [4, 2]})
    values = metadata.parse_session_start_info_plugin_data(found[metadata.SESSION_START_INFO_TAG])
    assert values.group_name and {name: getattr(value, value.WhichOneof("kind")) for name, value in values.hparams.items()} == {
        "rate": 0.5, "width": 8, "noise": True, "name": "a", "none": "None", "layers": "[4, 2]"}
    experiment = metadata.parse_experiment_plugin_data(found[metadata.EXPERIMENT_TAG])
    assert [info.name.tag for info in experiment.metric_infos] == ["loss", "mae"]
    assert {info.name for info in experiment.hparam_infos} == set(values.hparams)


def test_without_hparams_nothing_is_written(tmp_path):
    assert written(tmp_path, {}) == {}


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "logs").write_text("")
    with pytest.raises((OSError, tf.errors.OpError)):
        written(tmp_path / "logs", {"a": 1})
