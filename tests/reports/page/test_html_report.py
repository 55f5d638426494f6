"""What the HTML page of --report holds, read without a browser."""

from __future__ import annotations

import base64
import html.parser
import json
import os
import struct
import urllib.parse
from pathlib import Path

import pytest

from expman.errors import UsageError
from expman.reports.experiment_records import read_record
from expman.reports.page.chart_data import CurveChart, Line, points_per_line
from expman.reports.page.confusion_matrix import ConfusionMatrixError, read_confusion_matrix
from expman.reports.page.embedded_pictures import embed_pictures, find_pictures
from expman.reports.page.html_report import write_report
from expman.reports.page.parallel_axes import parallel_axes
from tests.support.experiment_files import falling_loss, write_experiment_files, write_sweep

PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
MALICE = '<script>alert("x")</script>'
MOST_PAGE_BYTES = 5_000_000


class Page(html.parser.HTMLParser):
    """The elements of a page and their texts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._is_code = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._is_code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._is_code = False

    def handle_data(self, data):
        if not self._is_code:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.elements if tag == "a"]

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag and all(
            found.get(key) == value for key, value in attributes.items())]


def test_page_of_a_real_experiment_shows_its_numbers_and_links_to_its_models(trained, tmp_path):
    folder = Path(trained["sessionFolder"])
    file = write_report([folder], file=tmp_path / "page.html")
    page = Page(file)
    assert f"best loss {trained['loss']:.4g}" in page.text and "epochs 2 of 2" in page.text
    assert "hiddenNeurons 8" in page.text and "random seed 42" in page.text and "def model(data" in page.text
    linked = [(file.parent / urllib.parse.unquote(link)).resolve() for link in page.links() if not link.startswith("#")]
    assert Path(trained["last_exported_model"]).resolve() in linked
    assert all(path.exists() for path in linked)
    assert len(page.all("figure", **{"data-chart": "curves"})) == 3


def test_page_lies_in_the_folder_by_default(tmp_path, monkeypatch):
    sweep = write_sweep(tmp_path / "sweep", num_trials=3)
    experiment = write_experiment_files(tmp_path, number=30)
    assert write_report([sweep]) == sweep / "report.html"
    assert write_report([experiment]) == experiment / "report.html"
    monkeypatch.chdir(tmp_path)
    assert write_report([sweep, experiment]) == Path("report.html")
    assert Page(tmp_path / "report.html").text.count("trial ") >= 3
    assert [link for link in Page(sweep / "report.html").links() if link.endswith("report.html")] == []
    assert [link for link in Page(tmp_path / "report.html").links() if link.endswith("report.html")] == [
        f"{experiment.name}/report.html"]


def test_page_loads_nothing_from_elsewhere(tmp_path):
    page = Page(write_report([write_sweep(tmp_path / "sweep")]))
    for tag, attributes in page.elements:
        address = attributes.get("src") or (attributes.get("href") if tag != "a" else None)
        assert address is None or address.startswith("data:"), (tag, attributes)
    assert not [link for link in page.links() if "//" in link]


def test_texts_of_users_are_escaped_wherever_they_stand(tmp_path):
    folder = tmp_path / "<i>folder"
    for number in (1, 2):
        written = write_experiment_files(
            folder, number=number, session_name=MALICE, hparams={MALICE: f"{MALICE}{number}", "n": number}, status="failed",
            stop_reason=MALICE, metrics={"</script><b>": [1, 2, 3]}, settings={"raw_data_dir_train": MALICE},
            packages={MALICE: f"{number}{MALICE}"}, trial={"number": number, "status": "failed", "reason": MALICE})
        (written / "experiment_settings.py").write_text(f"# {MALICE}\n")
        (written / "confusion_matrix.csv").write_text(f"x,{MALICE},b\n{MALICE},1,2\nb,3,4\n")
        (written / f"{MALICE.replace('/', '')}.png").write_bytes(PICTURE)
    for folders in ([folder], [written]):
        text = write_report(folders, file=tmp_path / "page.html").read_text()
        body = text[text.index("<body>"):text.index("<div id=\"tooltip\"")]
        assert "alert" in body
        assert "<script>alert" not in body and "</script><b>" not in body and "<i>folder" not in body
        types = [script.get("type", "library") for script in Page(tmp_path / "page.html").all("script")]
        assert set(types) == {"application/json", "library", "module"} and types.count("library") == types.count("module") == 1


def test_two_hundred_trials_of_two_hundred_epochs_stay_small(tmp_path):
    for number in range(200):
        losses = falling_loss(200, rate=0.01 + number / 2000)
        write_experiment_files(tmp_path, number=number, hparams={"units": number, "rate": 1 / (number + 1), "kind": "a"},
                               losses=losses, metrics={"mae": losses, "rmse": losses, "accuracy": losses}, versions=(1,))
    file = write_report([tmp_path])
    assert file.stat().st_size < MOST_PAGE_BYTES
    assert "metrics.csv has all epochs" not in Page(file).text


def test_curves_with_very_many_epochs_are_thinned_and_the_page_says_so(tmp_path):
    for number in range(6):
        losses = falling_loss(60_000, rate=1e-4)
        losses[777] = 5.0
        write_experiment_files(tmp_path, number=number, losses=losses)
    file = write_report([tmp_path])
    assert file.stat().st_size < MOST_PAGE_BYTES
    assert "a curve has at most 25000 points here; metrics.csv has all epochs" in Page(file).text


def unpacked(chart: CurveChart, *, most_points: int) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    """(epochs, values) of each line, from what the page gets."""
    content = json.loads(json.dumps(chart.as_json(most_points=most_points)))
    values = struct.unpack(f"<{sum(content['counts'])}f", base64.b64decode(content["values"]))
    epochs = content["epochs"] and struct.unpack(f"<{sum(content['counts'])}f", base64.b64decode(content["epochs"]))
    lines, start = [], 0
    for count in content["counts"]:
        lines.append((epochs[start:start + count] if epochs else tuple(range(1, count + 1)), values[start:start + count]))
        start += count
    return lines


def test_points_of_a_chart_reach_the_page():
    chart = CurveChart("loss", "validation", {0: Line("", [1, 2, 3], [0.5, 0.25, 0.125]), 4: Line("", [1], [2.0])})
    assert unpacked(chart, most_points=1000) == [((1, 2, 3), (0.5, 0.25, 0.125)), ((1,), (2.0,))]
    gaps = CurveChart("loss", "validation", {0: Line("", [2, 4], [0.5, 1e300])})
    (epochs, values), = unpacked(gaps, most_points=1000)
    assert epochs == (2, 4) and values[0] == 0.5 and values[1] != values[1]


def test_thinning_keeps_both_ends_and_the_extremes():
    values = [1.0] * 1000
    values[333], values[777] = -5.0, 9.0
    chart = CurveChart("loss", "validation", {0: Line("", list(range(1, 1001)), values)})
    (epochs, kept), = unpacked(chart, most_points=50)
    assert len(epochs) <= 50 and epochs[0] == 1 and epochs[-1] == 1000
    assert dict(zip(epochs, kept))[334] == -5 and dict(zip(epochs, kept))[778] == 9
    assert points_per_line([chart]) > 1000


@pytest.mark.parametrize(("values", "is_log"), [([1, 0.5], False), ([1, 0.01], True), ([1, 0.01, -1], False), ([1, 0], False),
                                                ([float("nan"), 1e-9, 1], True), ([float("nan")], False), ([], False)])
def test_axis_is_logarithmic_where_values_span_powers_of_ten(values, is_log):
    chart = CurveChart("loss", "validation", {0: Line("", list(range(1, len(values) + 1)), values)} if values else {})
    assert chart.is_log is is_log and chart.description


def test_parallel_axes_place_numbers_categories_and_missing_values(tmp_path):
    hparams = [{"units": 4, "rate": 0.1, "kind": "a", "same": 1}, {"units": 8, "rate": 0.001, "kind": "b", "same": 1},
               {"units": 5, "rate": 0.01, "kind": None, "same": 1, "rare": True}]
    records = [read_record(write_experiment_files(tmp_path, number=number, hparams=chosen, losses=[number + 1.0]))
               for number, chosen in enumerate(hparams)]
    axes = {axis.title: axis for axis in parallel_axes(records, metric="metrics.loss")}
    assert list(axes) == ["units", "rate", "kind", "rare", "loss"]
    assert axes["units"].positions == [0, 1, 0.25] and axes["loss"].positions == [0, 0.5, 1]
    assert axes["rate"].scale == "logarithmic" and axes["rate"].positions == pytest.approx([1, 0, 0.5])
    assert axes["kind"].scale == "categories" and axes["kind"].positions[:2] == [0, 1] and axes["kind"].positions[2] < 0
    assert axes["rare"].positions[0] < 0 and (axes["rare"].positions[0], "none") in axes["rare"].ticks
    assert parallel_axes(records[:1] * 2, metric="metrics.loss") == []


@pytest.mark.parametrize(("low", "high", "expected"), [
    (8, 48, ["10", "20", "30", "40"]), (-0.5, 0.5, ["-0.4", "-0.2", "0", "0.2", "0.4"]),
    (1e-4, 1e-1, ["0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1"]),
    (1e-9, 1, [f"1e-0{power}" for power in (9, 8, 7, 6, 5)] + ["0.0001", "0.001", "0.01", "0.1", "1"])])
def test_parallel_axes_have_round_ticks(tmp_path, low, high, expected):
    values = [low + (high - low) * share for share in (0, 0.11, 0.23, 0.31, 0.57, 0.79, 1)]
    records = [read_record(write_experiment_files(tmp_path, number=number, hparams={"x": value, "y": number}))
               for number, value in enumerate(values)]
    axis = parallel_axes(records, metric="metrics.loss")[0]
    assert [text for _, text in axis.ticks] == expected
    assert all(0 <= position <= 1 for position, _ in axis.ticks)


@pytest.mark.parametrize(("content", "labels", "counts"), [
    (",cat,dog\ncat,3,1\ndog,0,4\n", ["cat", "dog"], [[3, 1], [0, 4]]), ("3,1\n0,4\n", ["0", "1"], [[3, 1], [0, 4]]),
    ("true\\predicted,0,1\n0,3,1\n1,0,4.5\n", ["0", "1"], [[3, 1], [0, 4.5]])])
def test_confusion_matrix_is_read_with_and_without_labels(tmp_path, content, labels, counts):
    (tmp_path / "confusion_matrix.csv").write_text(content)
    matrix = read_confusion_matrix(tmp_path / "confusion_matrix.csv")
    assert (matrix.labels, matrix.counts) == (labels, counts)


@pytest.mark.parametrize(("content", "told"), [
    ("", "not square"), ("1,2\n", "not square"), (",a,b\na,1,2\nb,3\n", "not square"),
    (",a,b\na,1,x\nb,3,4\n", "'x' is not a count"), (",a,b\na,1,-2\nb,3,4\n", "'-2' is not a count"),
    ("1,nan\n2,3\n", "at least two classes"), (b"\xff\xfe\n", "codec")])
def test_damaged_confusion_matrix_is_told_and_does_not_end_the_report(tmp_path, content, told):
    folder = write_experiment_files(tmp_path)
    file = folder / "confusion_matrix.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfusionMatrixError, match=told):
        read_confusion_matrix(file)
    assert "confusion_matrix.csv is damaged" in Page(write_report([folder])).text


def test_confusion_matrix_and_pictures_of_the_experiment_are_on_the_page(tmp_path):
    folder = write_experiment_files(tmp_path)
    (folder / "confusion_matrix.csv").write_text(",cat,dog\ncat,3,1\ndog,0,4\n")
    (folder / "predictions.png").write_bytes(PICTURE)
    page = Page(write_report([folder]))
    assert "accuracy 87.5 %" in page.text and "75.0%" in page.text
    picture, = page.all("img")
    assert picture["src"] == "data:image/png;base64," + base64.b64encode(PICTURE).decode() and picture["alt"] == "predictions"


def test_pictures_beyond_the_bound_are_links(tmp_path):
    for name, size in (("a.png", 100), ("b.jpg", 3000), ("c.webp", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "d.png").write_bytes(bytes(10))
    (tmp_path / "notes.txt").write_text("x")
    paths = find_pictures(tmp_path)
    assert [path.name for path in paths] == ["a.png", "b.jpg", "c.webp", "d.png"]
    pictures = embed_pictures([*paths, tmp_path / "gone.png"], most_bytes=1000)
    assert [bool(picture.data_uri) for picture in pictures] == [True, False, True, True, False]
    assert sum(len(picture.data_uri) for picture in pictures) <= 1000


def test_damaged_experiments_are_named_and_the_others_shown(tmp_path):
    for number in range(1, 4):
        write_experiment_files(tmp_path, number=number, hparams={"units": number}, losses=[number])
    broken, half, _ = sorted(tmp_path.iterdir())
    (broken / "experiment.json").write_text("{")
    (half / "metrics.csv").write_text("epoch\n1,2\n")
    page = Page(write_report([tmp_path]))
    assert "experiment.json is damaged" in page.text and "metrics.csv is damaged" in page.text
    assert len(page.all("tr", **{"data-row": "0"})) == 1 and len(page.all("input", **{"class": "pin"})) == 3


@pytest.mark.parametrize("damage", ["all", "no metrics", "shapes"])
def test_experiment_with_hardly_any_file_gives_a_page_too(tmp_path, damage):
    folder = write_experiment_files(tmp_path)
    if damage == "all":
        for name in ("experiment.json", "state.json", "metrics.csv"):
            (folder / name).write_text("x")
    elif damage == "no metrics":
        (folder / "metrics.csv").unlink()
        (folder / "state.json").write_text('{"status": "training", "epoch": 0}')
    else:
        (folder / "experiment.json").write_text(
            '{"settings": {"nbEpoch": "x"}, "hparams": {"a": 1}, "command": 3, "machine": [], "packages": [], "git": 1, '
            '"data": 2}')
        (folder / "state.json").write_text('{"status": [], "epoch": "x", "best_metrics": {"loss": "y"}}')
    assert "Provenance" in Page(write_report([folder])).text


def test_provenance_tells_what_differs_between_experiments(tmp_path):
    for number in range(4):
        write_experiment_files(tmp_path, number=number, hparams={"x": number}, commit="aaa" if number < 3 else "bbb",
                               packages={"keras": "3.15.1" if number else "3.14", "numpy": "2.4"})
    page = Page(write_report([tmp_path]))
    assert "aaa (3 experiments) bbb (1 experiment)" in page.text
    assert page.text.index("3.14, 3.15.1") < page.text.index("2.4")


def test_sweep_is_ordered_by_its_own_metric(tmp_path):
    sweep = write_sweep(tmp_path / "sweep")
    record = json.loads((sweep / "sweep.json").read_text())
    (sweep / "sweep.json").write_text(json.dumps({**record, "metric": "accuracy", "mode": "max"}))
    assert "best accuracy 0.9" in Page(write_report([sweep])).text
    (sweep / "sweep.json").write_text("{")
    page = Page(write_report([sweep]))
    assert "best loss 0.09979 trial 5" in page.text and "Sweep" in page.text


def test_page_that_cannot_be_written_is_an_error(tmp_path):
    folder = write_experiment_files(tmp_path)
    with pytest.raises(UsageError, match="cannot be written .*--output"):
        write_report([folder], file=tmp_path / "nowhere" / "page.html")
    with pytest.raises(UsageError, match="is a folder"):
        write_report([folder], file=tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        write_report([tmp_path / "nothing"])
    assert not os.path.exists(folder / "report.html")
