"""The pictures and the table of a sweep: which are drawn, that nothing overlaps, and what the importance finds."""

from __future__ import annotations

import logging
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from expman.sweeps.pictures import sweep_figures as figures
from expman.sweeps.pictures.hparam_importance import hparam_importance
from expman.sweeps.pictures.sweep_pictures import TrialRow, draw_sweep, write_trials_csv
from expman.sweeps.pictures.value_scale import ValueScale, shortened
from tests.support.project import ROOT

PICTURES = ("history", "hparams", "parallel_coordinates", "scatter_matrix", "importance")


def make_trials(num_trials: int, *, mode: str = "min", many_kinds: bool = True) -> list[TrialRow]:
    """Trials whose value follows from the learning rate; one in six failed, one in five was pruned."""
    generator = np.random.default_rng(num_trials)
    trials = []
    for number in range(1, num_trials + 1):
        hparams = {"learningRate": float(10 ** generator.uniform(-4, -1)), "hiddenLayers": int(generator.integers(1, 4))}
        if many_kinds:
            hparams |= {"optimizer": ("adam", "sgd", "an_optimizer_with_a_long_name")[generator.integers(3)],
                        "addNoise": bool(generator.integers(2)), "anHparamWithAVeryLongNameIndeed": float(generator.normal()),
                        "activation": f"activation_{generator.integers(9)}", "always": 3}
            if hparams["optimizer"] == "sgd":
                hparams["momentum"] = float(generator.uniform())
        status = "failed" if number % 6 == 3 else "pruned" if number % 5 == 0 else "finished"
        value = abs(np.log10(hparams["learningRate"]) + 2.5) + 0.1
        signed = float(value if mode == "min" else -value)
        trials.append(TrialRow(number, hparams, status, None if status == "failed" else signed, 1.0))
    return trials


def texts_that_overlap(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a figure whose boxes share more than a rim, and texts that leave the figure."""
    FigureCanvasAgg(figure).draw()
    unseen = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for tick in axis.get_major_ticks()
              for label in (tick.label1, tick.label2)
              if not (axes.axison and axes.get_visible() and _holds(axis.get_view_interval(), tick.get_loc()))}
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in figure.findobj(Text)
             if text.get_visible() and text.get_text().strip() and text not in unseen]
    overlaps = [(one, two) for (one, box), (two, other) in combinations(boxes, 2) if box.overlaps(other)]
    inside = figure.bbox.padded(2)
    return overlaps + [(text, "the figure's edge") for text, box in boxes
                       if not (inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1))]


def _holds(interval, value: float) -> bool:
    return min(interval) <= value <= max(interval)


@pytest.mark.parametrize(("num_trials", "many_kinds", "mode"), [
    (5, True, "max"), (5, False, "min"), (40, True, "min"), (200, False, "max")])
def test_no_texts_overlap(num_trials, many_kinds, mode):
    data = figures.SweepData(make_trials(num_trials, mode=mode, many_kinds=many_kinds),
                             metric="a_metric_whose_name_is_rather_long", mode=mode)
    for draw in (figures.history_figure, figures.hparams_figure, figures.parallel_coordinates_figure,
                 figures.scatter_matrix_figure):
        assert texts_that_overlap(draw(data)) == [], draw.__name__


def test_the_check_for_overlaps_finds_one():
    figure = Figure(figsize=(3, 2))
    figure.text(0.4, 0.5, "one text")
    figure.text(0.45, 0.5, "another")
    figure.text(0.9, 0.1, "beyond the edge")
    assert set(texts_that_overlap(figure)) == {("one text", "another"), ("beyond the edge", "the figure's edge")}


def test_all_pictures_are_drawn_as_png_and_leave_nothing_else(tmp_path):
    folder = tmp_path / "new" / "pictures"
    first = draw_sweep(make_trials(5, many_kinds=False), folder, metric="loss", mode="min")
    before = {file: file.read_bytes() for file in first}
    files = draw_sweep(make_trials(20, many_kinds=False), folder, metric="loss", mode="min")
    assert files == first == [folder / f"{name}.png" for name in PICTURES]
    assert sorted(folder.iterdir()) == sorted(files)
    for file in files:
        assert file.read_bytes() != before[file]
        with Image.open(file) as image:
            assert image.format == "PNG" and image.width >= 600
            assert np.asarray(image.convert("L")).std() > 5  # not blank


def test_the_order_of_trials_does_not_matter():
    trials = make_trials(30)
    ordered, reversed_ = (figures.SweepData(each, metric="loss", mode="min") for each in (trials, trials[::-1]))
    assert ordered.measured == reversed_.measured and ordered.failed == reversed_.failed and ordered.varied == reversed_.varied


def test_too_few_trials_draw_what_they_can(tmp_path, caplog):
    one = TrialRow(1, {"x": 1.0}, "finished", 0.5, 1.0)
    running = TrialRow(2, {"x": 2.0}, "running", None, 1.0)
    failed = TrialRow(3, {"x": 3.0}, "failed", None, 1.0)
    assert [file.stem for file in draw_sweep([one, running], tmp_path, metric="loss", mode="min")] == ["history"]
    assert len(draw_sweep([one, failed], tmp_path, metric="loss", mode="min")) == 5
    with caplog.at_level(logging.INFO, logger="expman"):
        assert draw_sweep([running, failed], tmp_path, metric="loss", mode="min") == []
    assert "No trial has a value of loss yet" in caplog.text


@pytest.mark.parametrize("values", [[0.0] * 9, [1e-9, 1e9] * 5, [float("nan")] + [1.0] * 9])
def test_values_that_hardly_or_hugely_differ_can_be_drawn(values, tmp_path):
    trials = [TrialRow(number, {"kind": "ab"[number % 2]}, "finished", value, 1.0)
              for number, value in enumerate(values, start=1)]
    assert len(draw_sweep(trials, tmp_path, metric="loss", mode="max")) == 5


def test_drawing_leaves_the_users_matplotlib_alone(tmp_path):
    code = ("import sys, matplotlib\nwithout = {'backend'}  # reading it would choose one\n"
            "def settings(): return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams.keys() - without}\n"
            "before = settings()\n"
            "from expman.sweeps.pictures.sweep_pictures import TrialRow, draw_sweep\nfrom pathlib import Path\n"
            "trials = [TrialRow(n, {'x': n}, 'finished', float(n), 1.0) for n in range(1, 6)]\n"
            f"assert len(draw_sweep(trials, Path({str(tmp_path)!r}), metric='loss', mode='min')) == 5\n"
            "assert 'matplotlib.pyplot' not in sys.modules and settings() == before\n"
            "assert matplotlib.get_backend(auto_select=False) is None")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_history_shows_each_trial_and_the_best_so_far():
    trials = [TrialRow(number, {"x": number}, status, value, 1.0) for number, status, value in [
        (1, "finished", 5.0), (2, "failed", None), (3, "pruned", 3.0), (4, "finished", 4.0), (5, "finished", 1.0)]]
    (axes,) = figures.history_figure(figures.SweepData(trials, metric="loss", mode="min")).axes
    (line,) = axes.get_lines()
    assert line.get_xdata().tolist() == [1, 3, 5, 5]
    np.testing.assert_allclose(line.get_ydata(), [(value - 1) / 4 for value in (5, 3, 1, 1)])
    dots = [tuple(dot) for drawn in axes.collections for dot in drawn.get_offsets().tolist()]
    assert {(1, 1.0), (3, 0.5), (4, 0.75), (5, 0.0)} <= set(dots) and 2 in {x for x, _ in dots}


def test_the_importance_is_that_of_the_hparam_that_matters():
    trials = make_trials(60)
    data = figures.SweepData(trials, metric="loss", mode="min")
    assert "always" not in data.varied
    importance = hparam_importance(data.measured, data.varied)
    ranked = sorted(importance.means, key=importance.means.get)
    assert ranked[-1] == "learningRate" and importance.means["learningRate"] > 5 * importance.means[ranked[-2]]
    assert importance.out_of_bag_r2 > 0.8
    noise = [TrialRow(trial.number, trial.hparams, "finished", float(value), 1.0)
             for trial, value in zip(trials, np.random.default_rng(0).normal(size=60))]
    assert hparam_importance(noise, data.varied).out_of_bag_r2 < 0.2


def test_one_diverged_trial_does_not_make_its_hparam_important():
    generator = np.random.default_rng(1)
    trials = [TrialRow(number, {"a": float(generator.uniform()), "b": float(generator.uniform())}, "finished", 0.0, 1.0)
              for number in range(40)]
    trials = [TrialRow(t.number, t.hparams, t.status, 1e12 if t.hparams["b"] == max(u.hparams["b"] for u in trials)
                       else t.hparams["a"], 1.0) for t in trials]
    importance = hparam_importance(trials, ["a", "b"])
    assert importance.means["a"] > 5 * importance.means["b"]


def test_the_importance_says_when_there_are_too_few_trials():
    def texts_of(num_trials: int) -> str:
        trials = [TrialRow(number, {"x": number}, "finished", float(number), 1.0) for number in range(num_trials)]
        figure = figures.importance_figure(figures.SweepData(trials, metric="loss", mode="min"))
        return " ".join(text.get_text() for text in figure.texts)

    assert "needs at least 8 trials with a value.\nThere are 7." in texts_of(7)
    assert "importance for loss" in texts_of(8)


@pytest.mark.parametrize(("values", "is_log"), [
    (np.geomspace(1e-4, 1e-1, 20).tolist(), True), (np.linspace(1, 100, 20).tolist(), False), ([0.0, 1e-5, 1.0], False),
    ([-1.0, 10.0], False), ([0.9, 0.95, 0.99], False), ([0.01] * 9 + [0.02, 50.0], True)])
def test_values_that_span_decades_lie_on_a_logarithmic_axis(values, is_log):
    scale = ValueScale.of(values)
    assert scale.is_log == is_log
    assert scale.fraction(min(values)) == 0 and scale.fraction(max(values)) == 1
    middle = (min(values) * max(values)) ** 0.5 if is_log else (min(values) + max(values)) / 2
    assert scale.fraction(middle) == pytest.approx(0.5)


@pytest.mark.parametrize(("values", "texts"), [
    ([1e-4, 1e-2, 0.1], ["0.0001", "0.001", "0.01", "0.1"]), ([0.004, 0.02, 0.09], ["0.005", "0.01", "0.02", "0.05"]),
    ([0.0, 0.3, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"]), ([1, 2, 3], ["1", "2", "3"]),
    ([8, 16, 32, 64], ["8", "16", "32", "64"]),
    (["b", "a", "a"], ["a", "b"]), ([True, False], ["False", "True"]), ([0.5, 0.5], ["0.5"]),
    ([None, 3, "x"], ["None", "3", "x"])])
def test_ticks_are_round_numbers_or_the_values_themselves(values, texts):
    ticks = ValueScale.of(values).ticks(5)
    if texts is not None:
        assert sorted(text for _, text in ticks) == sorted(texts)
    assert all(-1e-9 <= fraction <= 1 + 1e-9 for fraction, _ in ticks) and 1 <= len(ticks) <= 6


def test_many_categories_get_no_more_names_than_there_is_room_for():
    scale = ValueScale.of([f"category {number}" for number in range(50)])
    assert len(scale.ticks(5)) <= 10
    assert shortened("a_long_name_of_a_thing", 9) == "a_lo…hing" and shortened("short", 9) == "short"


def test_the_csv_has_a_row_a_trial_with_exact_values(tmp_path):
    trials = [TrialRow(1, {"rate": 0.1 + 0.2, "kind": 'a, "b"', "flag": True}, "finished", 1 / 3, 12.3456),
              TrialRow(2, {"rate": 1e-300, "status": "mine", "none": None}, "failed", None, 0.0)]
    file = tmp_path / "trials.csv"
    write_trials_csv(trials, file)
    assert list(tmp_path.iterdir()) == [file]
    table = pd.read_csv(file)
    assert list(table.columns) == ["number", "status", "value", "seconds", "rate", "kind", "flag", "hparams.status", "none"]
    assert table["value"].tolist()[0] == 1 / 3 and np.isnan(table["value"][1])
    assert table["rate"].tolist() == [0.1 + 0.2, 1e-300] and table["kind"][0] == 'a, "b"'
    assert table["status"].tolist() == ["finished", "failed"] and table["seconds"].tolist() == [12.346, 0.0]
    assert table["hparams.status"].tolist()[1] == "mine"


def test_the_csv_of_no_trials_has_its_header_only(tmp_path: Path):
    write_trials_csv([], tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_text(encoding="utf-8") == "number,status,value,seconds\n"
