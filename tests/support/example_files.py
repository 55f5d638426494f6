"""Trains shipped examples briefly, in temporary folders, and asks what they export through their own clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from expman.cli.commands.predict import predict
from tests.support.project import ROOT
from tests.support.serving_models import running_server


def shortened(folder: Path, file: Path, *replacements: tuple[str, str]) -> Path:
    """A copy of an example whose outputs lie in a temporary folder, with parts replaced."""
    text = file.read_text(encoding="utf-8")
    for old, new in (("../../model_zoo", str(ROOT / "model_zoo")), *replacements):
        assert old in text
        text = text.replace(old, new)
    copy = folder / file.name
    copy.write_text(text, encoding="utf-8")
    return copy


def ask_served_model(result: Mapping[str, Any]) -> None:
    """Serves what a training exported and drives the example's `Client_IO` against it until it has no more to send.

    Arguments:
        result: what `experiments_manager.run` returned.
    """
    export = Path(result["last_exported_model"]).parent
    with running_server(export, model_name=export.name) as port:
        predict(result["sessionFolder"], num_requests=-1, port=port)


def local_answers(result: Mapping[str, Any], output: str, **inputs: np.ndarray) -> np.ndarray:
    """What the newest exported version answers when it is loaded in this process, for one of its outputs.

    Arguments:
        result: what `experiments_manager.run` returned.
        output: its name.
        inputs: the arrays by their names.
    """
    signature = tf.saved_model.load(result["last_exported_model"]).signatures[output]
    return signature(**{name: tf.constant(array) for name, array in inputs.items()})[output].numpy()


def number_after(text: str, beginning: str) -> float:
    """The first number behind the beginning of a line that the client printed."""
    return float(re.search(rf"^{re.escape(beginning)}\D*?(-?\d+\.?\d*)", text, re.MULTILINE).group(1))
