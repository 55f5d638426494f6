"""TensorBoard's Projector tab, read off the page in a real browser."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import experiments_manager
from tests.support.browser import find_all, needs_browser, open_browser
from tests.support.settings_files import write_experiment
from tests.support.tensorboard_server import tensorboard

LONGEST_WAIT_SECONDS = 120
MODEL = '''\
import keras


def model(data, n_outputs, hparams):
    code = keras.layers.Dense(hparams["hiddenNeurons"], activation="tanh")(keras.layers.Flatten()(data))
    return {"code": code, "prediction": keras.layers.Dense(n_outputs)(code)}
'''


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """The folder of an experiment with 50 validation images of 8 × 8 pixels, labelled 0 to 9."""
    file = write_experiment(
        tmp_path_factory.mktemp("images"), ("size=[90, 3]", "size=[50, 8, 8, 1]"),
        ("slope * x.sum(axis=1, keepdims=True) + 1", "np.arange(50, dtype=np.float32)[:, None] % 10"),
        ("tf.TensorSpec([None, 3], tf.float32)", "tf.TensorSpec([None, 8, 8, 1], tf.float32)"),
        ("n_outputs = 1", "n_outputs = 1\nreference_labels = ['digit']"), model=MODEL)
    return Path(experiments_manager.run(file)["sessionFolder"])


@pytest.fixture(scope="module")
def page(experiment, tmp_path_factory) -> Iterator[Callable[[Path], Any]]:
    """Opens the Projector of a TensorBoard on some folder; gives the browser, within the Projector's frame."""
    with contextlib.ExitStack() as running:
        folder = tmp_path_factory.mktemp("browser")
        browser = running.enter_context(open_browser(folder / "profile"))
        addresses: dict[Path, str] = {}

        def open_page(logdir: Path) -> Any:
            if logdir not in addresses:
                addresses[logdir] = running.enter_context(tensorboard(logdir, folder / f"log_{len(addresses)}.txt"))
            open_projector(browser, addresses[logdir])
            return browser

        yield open_page


def wait_for(condition: Any) -> Any:
    """Asks until the answer is true; gives it."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError("the page did not get ready")


def open_projector(browser: Any, address: str) -> None:
    """Opens the tab, goes into its frames (the plugin's, and within it the projector's), and waits for the points."""
    browser.get(f"{address}#projector")
    for _ in range(2):
        browser.switch_to.frame(wait_for(lambda: browser.find_elements("tag name", "iframe"))[0])
    wait_for(lambda: re.search(r"Points: [1-9]", status_bar(browser)))


def status_bar(browser: Any) -> str:
    """The line above the points: 'Points: 50 Dimension: 8'."""
    return " ".join(word for entry in find_all(browser, ".status-bar-entry") for word in entry.text.split())


def choices(browser: Any, menu: str) -> list[str]:
    """The entries of the menu in whose label a text occurs."""
    menu = next(found for found in find_all(browser, "paper-dropdown-menu") if menu in (found.get_attribute("label") or ""))
    return [" ".join(item.get_attribute("textContent").split()) for item in menu.find_elements("css selector", "paper-item")]


def choose_tensor(browser: Any, name: str, *, num_columns: int) -> None:
    panel = find_all(browser, "vz-projector-data-panel")[0]
    browser.execute_script("arguments[0].selectedTensor = arguments[1]", panel, name)
    wait_for(lambda: f"Dimension: {num_columns}" in status_bar(browser))


def points(browser: Any) -> list[dict[str, Any]]:
    """The vector and the labels of each point, as the page got them."""
    projector = find_all(browser, "vz-projector")[0]
    return browser.execute_script("return arguments[0].originalDataSet.points.map(point => "
                                  "({vector: Array.from(point.vector), ...point.metadata}));", projector)


def places(browser: Any) -> np.ndarray:
    """The coordinates `[points, 3]` at which the page draws the points."""
    projector = find_all(browser, "vz-projector")[0]
    wait_for(lambda: browser.execute_script("return arguments[0].dataSet.projections['pca-2']", projector))
    return np.array(browser.execute_script(
        "return arguments[0].dataSet.points.map(point => [0, 1, 2].map(axis => point.projections[`pca-${axis}`]))",
        projector), float)  # JavaScript's NaN comes as None, and that becomes NaN


@needs_browser
def test_the_projector_shows_points_tensors_labels_and_thumbnails(experiment, page):
    browser = page(experiment.parent)
    assert "Points: 50" in status_bar(browser) and "Dimension: 8" in status_bar(browser)
    assert choices(browser, "tensors found") == ["code 50x8", "inputs 50x64", "prediction 50x3"]
    assert choices(browser, "Label by") == ["digit", "sample"]
    assert [item for item in choices(browser, "Color by") if item.startswith("digit")] == ["digit 10 colors"]
    shown = points(browser)
    assert [point["digit"] for point in shown] == [number % 10 for number in range(50)]
    assert [point["sample"] for point in shown] == list(range(50))
    expected = np.fromfile(experiment / "embeddings" / "code.bytes", np.float32).reshape(50, 8)
    np.testing.assert_array_equal(np.array([point["vector"] for point in shown], np.float32), expected)
    sprite = browser.execute_script("const info = arguments[0].dataSet.spriteAndMetadataInfo; return "
                                    "[info.spriteImage.width, info.spriteImage.height, info.spriteMetadata.singleImageDim]",
                                    find_all(browser, "vz-projector")[0])
    assert sprite == [256, 256, [32, 32]]


@needs_browser
def test_the_inputs_can_be_chosen_in_a_tensorboard_of_one_experiment(experiment, page):
    browser = page(experiment)
    choose_tensor(browser, "inputs", num_columns=64)
    images = np.random.default_rng(1).normal(size=[50, 8, 8, 1]).astype(np.float32) * 0.5
    np.testing.assert_allclose(np.array([point["vector"] for point in points(browser)]), images.reshape(50, 64), rtol=4e-5)


@needs_browser
def test_an_output_of_one_value_is_drawn_too(experiment, page):
    browser = page(experiment.parent)
    choose_tensor(browser, "prediction", num_columns=3)
    assert np.isfinite(places(browser)).all()
