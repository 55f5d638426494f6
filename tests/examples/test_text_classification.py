"""Sentences, trained briefly: strings over REST become names of libraries; what training has seen is not for validation."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import experiments_manager
from expman import experiment_run
from expman.errors import TrainingError
from tests.support.example_files import ask_served_model, local_answers, number_after
from tests.support.project import ROOT
from tests.support.rest_client import predict
from tests.support.serving_models import running_endpoints

FOLDER = ROOT / "examples" / "text"


@pytest.mark.slow
def test_sentences_over_rest_become_the_names_of_libraries_and_a_restart_with_other_words_is_refused(
        tmp_path, monkeypatch, capsys):
    shutil.copytree(FOLDER, tmp_path / "files")
    file = tmp_path / "files" / "mysettings_text_classification.py"
    text = file.read_text(encoding="utf-8").replace('"experiments/text"', f'"{tmp_path}/text"')
    assert "nbEpoch = 6" in text
    file.write_text(text.replace("nbEpoch = 6", "nbEpoch = 2"), encoding="utf-8")
    monkeypatch.syspath_prepend(file.parent)
    result = experiments_manager.run(file)
    from library_sentences import LIBRARIES, load_part
    (train, _), (held_out, numbers) = load_part(is_training=True), load_part(is_training=False)
    truth = np.array(list(LIBRARIES))[numbers]
    assert not {sentence.lower() for sentence in train} & {sentence.lower() for sentence in held_out}

    names = local_answers(result, "library", sentence=np.array(held_out, object)).astype(str)
    accuracy = np.mean(names == truth)
    assert accuracy == pytest.approx(result["accuracy"], abs=1e-4)
    assert accuracy > np.bincount(numbers).max() / len(numbers) + 0.3
    ask_served_model(result)
    assert number_after(capsys.readouterr().out, "accuracy of the served model:") == pytest.approx(accuracy, abs=1e-4)
    export = Path(result["last_exported_model"]).parent
    with running_endpoints(export, rest_port=0) as endpoints:
        document = {"signature_name": "library", "instances": held_out[:50]}
        assert predict(endpoints.rest_port, document).json()["predictions"] == names[:50].tolist()

    copy, = Path(result["sessionFolder"]).rglob("library_sentences.py")
    copy.write_text(copy.read_text(encoding="utf-8").replace("_LEAST_WORDS = 4", "_LEAST_WORDS = 12"), encoding="utf-8")
    monkeypatch.delitem(sys.modules, "library_sentences")
    with pytest.raises(TrainingError, match="the words of text_vectorization.* are not those"):
        experiment_run.restart(result["sessionFolder"], num_epochs=3)
