"""Versions are exported when the policy wants it, and their place is known."""

from __future__ import annotations

import pytest

from expman.errors import ExportError
from expman.training.callbacks.export_models import ExportModels
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


def exported(policy, values):
    progress, versions = TrainingProgress(), []

    def export():
        versions.append(progress.epoch)
        return f"export/line/{len(versions)}"

    fit(ExportModels(export=export, progress=progress, policy=policy), progress=progress, num_epochs=len(values), values=values)
    return progress, versions


@pytest.mark.parametrize(("policy", "expected"), [("best", [1, 3]), ("latest", [1, 2, 3, 5])])
def test_best_exports_what_improved_and_latest_each_evaluation(policy, expected):
    progress, versions = exported(policy, [3.0, 4.0, 2.0, None, 9.0])
    assert versions == expected
    assert progress.last_exported_model == f"export/line/{len(expected)}" and progress.exported_step == 4 * expected[-1]


def test_a_failed_export_leaves_the_last_version_known():
    progress = TrainingProgress(last_exported_model="export/line/7", exported_step=70)

    def export():
        raise ExportError("the written model does not answer as the one in memory")

    with pytest.raises(ExportError, match="does not answer"):
        fit(ExportModels(export=export, progress=progress, policy="best"), progress=progress, values=[1.0] * 3)
    assert (progress.last_exported_model, progress.exported_step) == ("export/line/7", 70)
