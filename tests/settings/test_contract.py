"""The declarations: each kind of value, the documentation made of them, and the checker as a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

import experiments_settings_checker as checker
from expman.settings.vocabulary import REQUIRED
from expman.sweeps.sweep_file import sweep_table
from tests.support.processes import run_python
from tests.support.project import ROOT
from tests.support.settings_files import write_experiment

DESIGNED = ["session_name", "workingFolder", "model_file", "hparams", "random_seed", "n_outputs", "raw_data_dir_train", "raw_data_dir_val", "raw_data_filename_extension", "nb_train_samples", "nb_val_samples", "batch_size", "nbEpoch", "reference_labels", "initial_learning_rate", "num_epochs_per_decay", "learning_rate_decay_factor", "predict_using_smoothed_parameters", "weights_moving_average_decay", "early_stopping_patience", "earlystopping_metric", "earlystopping_mode", "eval_not_rerun_until_sec", "nb_summary_per_train_epoch", "gradient_clip_norm", "gradient_accumulation_steps", "used_gpu_IDs", "distribution_strategy", "useXLA", "enable_mixed_precision", "use_profiling", "export_keep_versions", "export_policy", "input_data_name", "served_head", "tensorflow_server_address", "tensorflow_server_port", "tensorflow_server_rest_port", "wait_for_server_ready_int_secs", "serving_client_timeout_int_secs", "serve_on_gpu", "grpc_max_message_length"]


def test_every_setting_of_the_contract_is_declared():
    assert set(DESIGNED) <= {setting.name for setting in checker.SETTINGS}


@pytest.mark.parametrize("setting", checker.SETTINGS, ids=lambda setting: setting.name)
def test_defaults_are_accepted_and_other_types_refused_with_the_expectation(setting):
    if setting.default is not REQUIRED:
        assert setting.kind.error(setting.default) is None
    for wrong in (object(), b"bytes", {1: b"bytes"}, [None], float("nan"), -3.5):
        error = setting.kind.error(wrong)
        assert error and error.startswith(f"must be {setting.kind.expectation}. Got ")


def test_the_pages_have_the_present_tables():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert checker.update_tables(page) == page, "run `make docs`"
    assert checker.settings_table() in page and checker.prototypes_table() in page
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    assert checker.update_tables(page) == page, "run `make docs`"
    assert sweep_table() in page


def test_help_lists_every_setting():
    answer = subprocess.run([sys.executable, "experiments_manager.py", "--help"], cwd=ROOT, capture_output=True, text=True,
                            check=True)
    assert all(setting.meaning in answer.stdout for setting in checker.SETTINGS)


def test_the_checker_runs_alone(tmp_path):
    def check(*replacements):
        file = write_experiment(tmp_path, *replacements)
        return run_python(ROOT / "experiments_settings_checker.py", file)

    good = check()
    assert (good.returncode, good.stdout) == (0, f"{tmp_path / 'mysettings.py'}: no problem found\n")
    bad = check(("batch_size = 16", "batch_size = None"))
    assert bad.returncode == 2 and "batch_size must be an int above 0. Got None" in bad.stderr


def test_a_constant_in_capitals_that_resembles_a_setting_is_the_users_own():
    own = {"VALIDATION_SHIFT": 3, "BATCH_SIZE": 4}
    problems = [str(problem) for problem in checker.check_settings(own, lines=dict.fromkeys(own, 1), file="s.py")]
    assert not any("VALIDATION_SHIFT" in problem for problem in problems)
    assert any("BATCH_SIZE is not a known name. Did you mean batch_size?" in problem for problem in problems)
