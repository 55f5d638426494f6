"""Settings files: what is loaded, what an override changes, and what each mistake is told."""

from __future__ import annotations

import sys

import pytest

from expman.errors import SettingsError, UsageError, UserCodeError
from expman.settings.hparams import parse_assignments
from expman.settings.loading import Unavailable, load_settings
from tests.support.settings_files import MODEL, line_of, write_experiment


def test_values_and_defaults_are_attributes(tmp_path):
    settings = load_settings(write_experiment(tmp_path))
    assert (settings.batch_size, settings.nbEpoch) == (16, 2)
    assert settings.export_keep_versions == 5
    assert settings.grpc_max_message_length == 512 * 2**20


def test_an_override_acts_on_what_is_computed_below_it(tmp_path):
    file = write_experiment(tmp_path)
    before = file.read_bytes()
    settings = load_settings(file, overrides={"learningRate": "0.25", "slope": "3"})
    assert settings.initial_learning_rate == 0.25
    assert settings.functions["get_total_loss"].__globals__["slope"] == 3.0
    assert settings.hparam_origins["learningRate"] == "command line"
    assert settings.hparam_origins["hiddenNeurons"] == "settings file"
    assert file.read_bytes() == before


@pytest.mark.parametrize(("name", "text", "value"), [
    ("hiddenNeurons", "5", 5), ("slope", "1", 1.0), ("slope", "1e-3", 0.001), ("addNoise", "True", True),
    ("addNoise", "false", False), ("label", "5", "5")])
def test_an_override_keeps_the_type_of_the_default(tmp_path, name, text, value):
    settings = load_settings(write_experiment(tmp_path), overrides=parse_assignments([f"{name}={text}"]))
    assert settings.hparams[name] == value
    assert type(settings.hparams[name]) is type(value)


def test_a_numpy_scalar_from_a_sweep_becomes_a_python_number(tmp_path):
    import numpy as np
    settings = load_settings(write_experiment(tmp_path), overrides={"hiddenNeurons": np.float64(5), "slope": np.float32(0.5)})
    assert settings.hparams["hiddenNeurons"] == 5 and type(settings.hparams["hiddenNeurons"]) is int
    assert type(settings.hparams["slope"]) is float


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("hiddenNeurons", "5.5", "must be an int, like its default 8. Got '5.5'"),
    ("hiddenNeurons", "many", "must be an int"), ("addNoise", "1", "must be True or False"),
    ("slope", "True", "must be a finite float"), ("slope", "1e999", "must be a finite float")])
def test_an_override_of_another_type_is_an_error(tmp_path, name, text, expected):
    with pytest.raises(UsageError, match=name) as error:
        load_settings(write_experiment(tmp_path), overrides={name: text})
    assert expected in str(error.value)


def test_an_unknown_override_gets_did_you_mean(tmp_path):
    with pytest.raises(UsageError, match="hparams has no 'hidenNeurons'. Did you mean 'hiddenNeurons'"):
        load_settings(write_experiment(tmp_path), overrides={"hidenNeurons": "5"})


@pytest.mark.parametrize("assignment", ["hiddenNeurons", "=5"])
def test_an_assignment_needs_name_and_value(assignment):
    with pytest.raises(UsageError, match="expects name=value"):
        parse_assignments([assignment])


def test_hparams_bound_within_a_block_or_changed_later_are_overridden_too(tmp_path):
    file = write_experiment(tmp_path, ("hparams = {", "if True:\n    hparams = {"),
                            added='\nhparams = hparams | {"depth": 1}\ndoubled = hparams["depth"] * 2\n')
    settings = load_settings(file, overrides={"depth": "4", "slope": "7"})
    assert settings.hparams["depth"] == 4 and settings.hparams["slope"] == 7.0
    assert settings.functions["get_total_loss"].__globals__["doubled"] == 8


def test_all_problems_are_told_at_once_with_their_lines(tmp_path):
    file = write_experiment(tmp_path, ("batch_size = 16", 'batch_size = "16"'), ("nbEpoch = 2", "nbEpoch = 0"),
                            ('session_name = "line"\n', ""))
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    text = str(error.value)
    assert f"{file}:{line_of(file, 'batch_size')}: batch_size must be an int above 0. Got '16' (str). Remove the quotes." in text
    assert f"{file}:{line_of(file, 'nbEpoch')}: nbEpoch must be an int above 0. Got 0 (int)." in text
    assert f"{file}: session_name is missing: it must be a str that is not empty" in text
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("batch_size = 16", "batchsize = 16", "batchsize is not a known name. Did you mean batch_size?"),
    ("def get_total_loss", "def get_totalloss", "get_totalloss is not a known name. Did you mean get_total_loss?"),
    ("nbEpoch = 2", "nbEpoch = 2\nearly_stoping_patience = 3", "Did you mean early_stopping_patience?"),
    ("nbEpoch = 2", "nbEpoch = 2\nnum_epochs_per_decay = 3", "has no effect alone. Set learning_rate_decay_factor too"),
    ("nbEpoch = 2", 'nbEpoch = 2\nearlystopping_metric = "mae"', "earlystopping_mode must be 'min' or 'max'"),
    ("nbEpoch = 2", "nbEpoch = 2\nuseXLA = 1", "useXLA must be True or False. Got 1 (int). Write True."),
    ("nbEpoch = 2", "nbEpoch = 2\nused_gpu_IDs = 0", "used_gpu_IDs must be a list of int of at least 0. Got 0 (int). Write [0]."),
    ("nbEpoch = 2", "nbEpoch = 2.0", "nbEpoch must be an int above 0. Got 2.0 (float). Write 2."),
    ("nbEpoch = 2", "nbEpoch = True", "nbEpoch must be an int above 0. Got True (bool)."),
    ("weights_moving_average_decay = 0.9", "weights_moving_average_decay = 1.0", "must be a float above 0 and below 1"),
    ("nbEpoch = 2", "nbEpoch = 2\nexport_policy = 'all'", "must be one of 'best', 'latest'. Got 'all'"),
    ("def data_preprocess(features)", "def data_preprocess(features, colour)",
     "data_preprocess declares the unknown parameter 'colour'. Known parameters: features, model_placement."),
    ("def data_preprocess(features)", "def data_preprocess(features, /)", "must not be positional-only"),
    ("    def finalize(self)", "    def finalise(self)", "Client_IO method finalize(self) is missing."),
    ('hparams = {"hiddenNeurons": 8', 'hparams = {"hiddenNeurons": {8}', "hparams must be a dict from names to a bool"),
    ('model_file = "model.py"', 'model_file = "other.py"', "model_file 'other.py' does not exist")])
def test_each_mistake_is_named_with_its_remedy(tmp_path, old, new, expected):
    with pytest.raises(SettingsError) as error:
        load_settings(write_experiment(tmp_path, (old, new)))
    assert expected in str(error.value)
    assert str(tmp_path / "mysettings.py") in str(error.value)


def test_helpers_of_the_user_are_welcome_even_when_their_names_resemble_settings_in_use(tmp_path):
    settings = load_settings(write_experiment(tmp_path, added="\nbatch_sizes = [1, 2]\nimage_size = 3\n_nbEpochs = 4\n"))
    assert settings.batch_size == 16


def test_a_missing_settings_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="nowhere.py: the settings file does not exist"):
        load_settings(tmp_path / "nowhere.py")


def test_a_syntax_error_shows_file_line_and_caret(tmp_path):
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = = 2"))
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert f"{file}:{line_of(file, 'nbEpoch')}: the settings file is not valid Python" in str(error.value)
    assert "nbEpoch = = 2" in str(error.value) and "^" in str(error.value)


def test_an_exception_at_import_shows_only_the_users_part_of_the_traceback(tmp_path):
    (tmp_path / "mydata.py").write_text("def load():\n    return {}['images']\n", encoding="utf-8")
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 2\nimport mydata\nimages = mydata.load()"))
    with pytest.raises(UserCodeError) as error:
        load_settings(file)
    sys.modules.pop("mydata")
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'mydata.py'}:2: executing mysettings.py raised an exception.")
    assert "KeyError: 'images'" in text and f'File "{file}", line {line_of(file, "images")}' in text
    assert "user_module.py" not in text and "importlib" not in text


@pytest.mark.parametrize(("model", "expected"), [
    ("x = 1\n", "the model file defines no `model`. Write `def model(data, n_outputs, hparams, mode)`"),
    ("def model(data, depth):\n    return {}\n", "model declares the unknown parameter 'depth'"),
    ("def model(data:\n", "the model file is not valid Python")])
def test_a_wrong_model_file_is_told(tmp_path, model, expected):
    with pytest.raises(SettingsError) as error:
        load_settings(write_experiment(tmp_path, model=model))
    assert expected in str(error.value) and str(tmp_path / "model.py") in str(error.value)


def test_a_function_gets_just_the_parameters_that_it_declares(tmp_path):
    settings = load_settings(write_experiment(
        tmp_path, ("def data_preprocess(features):\n    return features * 0.5",
                   "def data_preprocess(model_placement, own=7):\n    return model_placement, own")))
    assert settings.call("data_preprocess", features=1, model_placement="/cpu:0") == ("/cpu:0", 7)


def test_asking_for_an_argument_that_does_not_exist_is_an_error(tmp_path):
    settings = load_settings(write_experiment(tmp_path))
    with pytest.raises(UserCodeError, match="get_total_loss asks for predictions, but there is none"):
        settings.call("get_total_loss", predictions=Unavailable("there is none"), labels=1)


def test_modules_beside_the_settings_file_are_found_and_known(tmp_path):
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "myhelper.py").write_text("VALUE = 3\n", encoding="utf-8")
    file = write_experiment(tmp_path, ("nbEpoch = 2", "from mypackage.myhelper import VALUE as nbEpoch"))
    settings = load_settings(file)
    assert settings.nbEpoch == 3
    assert settings.user_modules() == {"mypackage/myhelper.py": tmp_path / "mypackage" / "myhelper.py"}


def test_the_model_file_may_lie_in_the_current_folder(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = write_experiment(elsewhere, ('model_file = "model.py"', 'model_file = "nets/model.py"'), model=None)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(file).model_file.name == "model.py"


def test_a_folder_is_no_settings_file_and_the_one_in_it_is_named(tmp_path):
    (tmp_path / "mysettings.py").write_text("")
    with pytest.raises(SettingsError, match=r"must be a file. Got a folder. Did you mean .*mysettings\.py"):
        load_settings(tmp_path)
