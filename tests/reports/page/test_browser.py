"""The HTML page of --report as its user sees it, in headless Chromium."""

from __future__ import annotations

import functools
import itertools
import time

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from expman.reports.page.html_report import write_report
from tests.support.browser import needs_browser, open_browser
from tests.support.experiment_files import write_experiment_files, write_sweep

pytestmark = needs_browser
LONGEST_WAIT_SECONDS = 180
MALICE = '<script>document.title = "caught"</script>'
LOSSES = [0.9, 0.5, 0.125]


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return write_report([write_sweep(folder / MALICE.replace("/", ""))], file=folder / "page.html")


@pytest.fixture(scope="module")
def experiment_page(tmp_path_factory):
    folder = write_experiment_files(tmp_path_factory.mktemp("experiments"), session_name=MALICE, losses=LOSSES)
    (folder / "confusion_matrix.csv").write_text(",cat,dog\ncat,3,1\ndog,0,4\n")
    return write_report([folder])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser"), width=1280, height=1000) as browser:
        yield browser


@pytest.fixture
def screen(browser):
    """A function that gives the browser a screen; no test may leave an error in the browser's console."""
    def use(*, scheme: str = "light", width: int = 1280, is_phone: bool = False):
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": is_phone})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": is_phone, "maxTouchPoints": 5})
        return browser

    yield use
    assert browser.get_log("browser") == []


def open_once(browser, page) -> None:
    """Opens a page unless it is open: for tests that leave nothing behind."""
    if browser.current_url != page.as_uri():
        open_page(browser, page)


def wait_for(condition):
    """The first true answer of a condition."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def open_page(browser, page) -> None:
    browser.get(page.as_uri())
    wait_for(lambda: browser.execute_script("return document.querySelectorAll('[data-drawn]').length"))
    frame(browser)


def frame(browser) -> None:
    """Waits until what the last action changed has been drawn."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0])))")


def chart(browser, number: int = 0):
    """The drawing of a chart, on the screen and drawn."""
    figure = browser.find_elements(By.CSS_SELECTOR, "[data-chart]")[number]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    wait_for(lambda: figure.get_attribute("data-drawn") is not None)
    frame(browser)
    return figure.find_element(By.CSS_SELECTOR, ".plot")


def pixels(browser, number: int = 0) -> list[tuple[int, int, int]]:
    """The colours that occur in a chart, the most frequent first, the background left out."""
    import cv2
    import numpy as np
    picture = cv2.imdecode(np.frombuffer(chart(browser, number).screenshot_as_png, np.uint8), cv2.IMREAD_COLOR)
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    return [tuple(int(part) for part in reversed(colours[index])) for index in np.argsort(-counts)][1:]


def point_at(browser, number: int, across: float, up: float) -> str:
    """Moves the pointer to a place of a chart, given in its own units, and returns what the tooltip then says."""
    place = chart(browser, number)
    x, y = browser.execute_script("""
        const chart = [...expmanCharts.entries()].find(([figure]) => figure.contains(arguments[0]))[1];
        const at = chart.screenPlace({line: {xs: [arguments[1]], ys: [arguments[2]]}, index: 0});
        return [at.x, at.y]""", place, across, up)
    size = place.size
    ActionChains(browser).move_to_element_with_offset(
        place, round(x - size["width"] / 2), round(y - size["height"] / 2)).perform()
    frame(browser)
    tooltip = browser.find_element(By.ID, "tooltip")
    return "" if tooltip.get_attribute("hidden") is not None else " ".join(tooltip.text.split())


def drag(browser, place, *, start: tuple[int, int], steps: tuple[tuple[int, int], ...]) -> None:
    """Presses the button at an offset from the middle of a chart, moves in steps and lets go."""
    actions = ActionChains(browser).move_to_element_with_offset(place, *start).click_and_hold()
    for step in steps:
        actions = actions.move_by_offset(*step)
    actions.release().perform()


def y_range(browser, number: int = 0) -> list[float]:
    return browser.execute_script("""
        const {y_range, x_range} = [...expmanCharts.values()][arguments[0]].plot;
        return [x_range.start, x_range.end, y_range.start, y_range.end]""", number)


def column(browser, name: str) -> list[str]:
    """The texts of a column of the table, from top to bottom, as far as its lines are shown."""
    return browser.execute_script("""
        return [...document.querySelectorAll('#experiments tbody tr')].filter(line => !line.hidden)
            .map(line => line.querySelector(`[data-column="${arguments[0]}"]`).textContent.trim())""", name)


def filter_by(browser, text: str) -> None:
    field = browser.find_element(By.ID, "filter")
    field.clear()
    field.send_keys(text or " ")
    frame(browser)


def test_markup_in_names_is_text(screen, sweep_page, experiment_page):
    browser = screen()
    for page in (sweep_page, experiment_page):
        open_page(browser, page)
        assert "<script>" in browser.find_element(By.TAG_NAME, "h1").text or "<script>" in browser.find_element(
            By.CSS_SELECTOR, ".where").text
        assert browser.title != "caught"


def test_pointing_at_a_curve_tells_epoch_and_value(screen, experiment_page):
    browser = screen()
    open_page(browser, experiment_page)
    for epoch, loss in enumerate(LOSSES, start=1):
        assert point_at(browser, 0, epoch, loss) == f"epoch {epoch} validation {loss} training {0.9 * loss:.4g}"
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, "figcaption h3")).perform()
    frame(browser)
    assert not browser.find_element(By.ID, "tooltip").is_displayed()


def test_pointing_at_one_of_many_curves_names_the_experiment(screen, sweep_page):
    browser = screen()
    open_once(browser, sweep_page)
    row, values = browser.execute_script("""
        const line = [...expmanCharts.values()][0].lines.find(line => line.row === 3);
        return [line.row, [...line.ys]]""")
    label = browser.execute_script("return document.querySelector(`tr[data-row='${arguments[0]}']`).dataset.label", row)
    said = point_at(browser, 0, 1, values[0])
    assert said.startswith(f"{label} loss, epoch 1 {values[0]:.4g}") and "hiddenNeurons" in said and "activation" in said
    line = browser.find_element(By.CSS_SELECTOR, f"tr[data-row='{row}']")
    assert "is-hovered" in line.get_attribute("class")


def is_home_after(back, browser, home):
    """Goes back unless it has; returns whether the chart shows all again."""
    if y_range(browser) != home:
        back()
    return y_range(browser) == home


def test_dragging_zooms_and_double_click_and_button_go_back(screen, sweep_page):
    browser = screen()
    open_once(browser, sweep_page)
    home = y_range(browser)
    place = chart(browser)
    reset = browser.find_element(By.CSS_SELECTOR, ".reset")
    for back in (lambda: ActionChains(browser).double_click(place).perform(), reset.click):
        assert not reset.is_enabled()
        drag(browser, place, start=(-60, -60), steps=((40, 20), (60, 40)))
        zoomed = wait_for(lambda: y_range(browser) != home and y_range(browser))
        assert zoomed[0] > home[0] and zoomed[1] < home[1] and zoomed[2] > home[2] and zoomed[3] < home[3]
        time.sleep(0.5)  # so that the next two clicks are no part of a double click with this one
        wait_for(functools.partial(is_home_after, back, browser, home))  # a busy machine can part a double click in two


def test_wheel_scrolls_the_page_until_the_chart_was_clicked(screen, sweep_page):
    browser = screen()
    open_page(browser, sweep_page)
    home = y_range(browser)
    place = chart(browser)

    def turn_wheel():
        middle = browser.execute_script("""
            const at = arguments[0].getBoundingClientRect();
            return {x: at.x + at.width / 2, y: at.y + at.height / 2}""", place)
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseWheel", "deltaX": 0, "deltaY": -100, **middle})
        time.sleep(0.3)

    turn_wheel()
    assert y_range(browser) == home
    browser.execute_script("arguments[0].focus({preventScroll: true})", place)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    turn_wheel()
    wait_for(lambda: y_range(browser) != home)


def test_log_button_changes_the_axis(screen, sweep_page):
    browser = screen()
    open_page(browser, sweep_page)
    button = browser.find_element(By.CSS_SELECTOR, ".log")
    before, home = chart(browser).screenshot_as_base64, y_range(browser)
    assert button.get_attribute("aria-pressed") == "false"
    browser.execute_script("arguments[0].click()", button)
    frame(browser)
    assert button.get_attribute("aria-pressed") == "true" and y_range(browser)[2] > 0
    wait_for(lambda: chart(browser).screenshot_as_base64 != before)
    browser.execute_script("arguments[0].click()", button)
    wait_for(lambda: y_range(browser) == home)


def test_arrow_keys_read_a_chart(screen, experiment_page):
    browser = screen()
    open_page(browser, experiment_page)
    place = chart(browser)
    browser.execute_script("arguments[0].focus()", place)
    tooltip = browser.find_element(By.ID, "tooltip")
    right, left = Keys.ARROW_RIGHT, Keys.ARROW_LEFT
    for keys, expected in (([right], "epoch 1"), ([right, right], "epoch 3"), ([right], "epoch 3"), ([left], "epoch 2")):
        ActionChains(browser).send_keys(*keys).perform()
        assert tooltip.text.startswith(expected)
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not tooltip.is_displayed()


@pytest.mark.parametrize("name", ["hparams.hiddenNeurons", "metrics.accuracy"])
def test_a_click_on_a_head_sorts_by_numbers_and_another_turns_the_order(screen, sweep_page, name):
    browser = screen()
    open_once(browser, sweep_page)
    head = browser.find_element(By.CSS_SELECTOR, f'th[data-name="{name}"]')
    button = head.find_element(By.TAG_NAME, "button")
    for direction, is_reversed in (("ascending", False), ("descending", True), ("ascending", False)):
        browser.execute_script("arguments[0].click()", button)
        numbers = [float(text) for text in column(browser, name)]
        assert numbers == sorted(numbers, reverse=is_reversed) and len(set(numbers)) == 12
        assert head.get_attribute("aria-sort") == direction
    assert len(browser.find_elements(By.CSS_SELECTOR, "#experiments th[aria-sort]")) == 1


@pytest.mark.parametrize(("text", "expected"), [
    ("", 12), ("pruned", 1), ("hiddenNeurons<=12", 3), ("hparams.hiddenNeurons <= 12 tanh", 1), ("activation=relu", 6),
    ("activation!=relu status=finished", 5), ("nothing-like-this", 0), ("loss<0.1", 1), ("accuracy > 0.9", 1),
    ("nocolumn<3", 0), ("<script>", 0), ("trial 12", 1), ("trial 1", 4), ("\"trial 1\" pruned", 1), ("12", 1)])
def test_filter_of_the_table(screen, sweep_page, text, expected):
    browser = screen()
    open_once(browser, sweep_page)
    filter_by(browser, text)
    wait_for(lambda: len(column(browser, "status")) == expected)
    count = browser.find_element(By.ID, "count").text
    assert count == ("12 experiments" if expected == 12 else f"{expected} of 12 experiments")
    filter_by(browser, "")


def test_filter_leaves_only_the_curves_of_its_experiments(screen, sweep_page):
    browser = screen()
    open_once(browser, sweep_page)
    shown = "return [...expmanCharts.values()][0].view.filter.indices?.length"
    filter_by(browser, "hiddenNeurons<=12")
    chart(browser)
    wait_for(lambda: browser.execute_script(shown) == 3)
    filter_by(browser, "")
    chart(browser)
    wait_for(lambda: browser.execute_script(shown) is None)


def test_ticked_experiment_is_emphasised_in_its_own_colour(screen, sweep_page):
    browser = screen()
    open_once(browser, sweep_page)
    own = (0x22, 0x57, 0xC4)  # the first of the series
    assert own not in pixels(browser)[:40]
    box = browser.find_element(By.CSS_SELECTOR, 'tr[data-row="4"] .pin')
    browser.execute_script("arguments[0].click()", box)
    wait_for(lambda: own in pixels(browser)[:40])
    browser.execute_script("arguments[0].click()", box)
    wait_for(lambda: own not in pixels(browser)[:40])


def test_few_experiments_have_colours_of_their_own_and_names_are_no_formulas(screen, tmp_path):
    for number in (1, 2, 3):
        write_experiment_files(tmp_path, number=number, hparams={"$$x^2$$": f"$${number}$$", "b\\(y\\)": number},
                               losses=[number, number / 2])
    browser = screen()
    open_page(browser, write_report([tmp_path]))
    assert {(0x22, 0x57, 0xC4), (0xC2, 0x56, 0x0A), (0x16, 0x80, 0x6A)} < set(pixels(browser)[:40])
    said = point_at(browser, 0, 2, 0.5)
    assert [part for part in said.split() if part in ("0.5", "1", "1.5")] == ["1.5", "1", "0.5"]
    chart(browser, 2)
    time.sleep(0.5)
    assert browser.execute_script("return document.querySelectorAll('script[src]').length") == 0


def test_dragging_along_an_axis_chooses_experiments(screen, sweep_page):
    browser = screen()
    open_once(browser, sweep_page)
    numbers = range(len(browser.find_elements(By.CSS_SELECTOR, "[data-chart]")))
    place = chart(browser, numbers[-1])
    from_y, to_y, x = browser.execute_script("""
        const chart = [...expmanCharts.entries()].find(([figure]) => figure.contains(arguments[0]))[1];
        const at = y => chart.screenPlace({line: {xs: [0], ys: [y]}, index: 0});
        return [at(-0.02).y, at(0.30).y, at(0).x]""", place)
    across, down = round(x - place.size["width"] / 2), round(from_y - place.size["height"] / 2)
    drag(browser, place, start=(across, down), steps=((0, -20), (0, round(to_y - from_y) + 20)))
    wait_for(lambda: browser.find_element(By.ID, "count").text == "2 of 12 experiments")
    assert sorted(int(text) for text in column(browser, "hparams.hiddenNeurons")) == [4, 8]
    clear = browser.find_element(By.CSS_SELECTOR, ".clear")
    browser.execute_script("arguments[0].click()", clear)
    wait_for(lambda: browser.find_element(By.ID, "count").text == "12 experiments")
    assert not clear.is_enabled()


def brightness(colour: str) -> float:
    """The mean of the channels of 'rgb(r, g, b)'."""
    return sum(float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]) / 3


def test_page_and_charts_follow_the_scheme_of_the_system(screen, sweep_page):
    for scheme in ("light", "dark"):
        browser = screen(scheme=scheme)
        open_page(browser, sweep_page)
        background, ink = browser.execute_script(
            "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]")
        assert (brightness(background) < brightness(ink)) == (scheme == "dark")
    axis = "return [...expmanCharts.values()][0].plot.left[0].major_label_text_color"
    dark = browser.execute_script(axis)
    screen(scheme="light")
    wait_for(lambda: browser.execute_script(axis) != dark)


@pytest.mark.parametrize("page", ["sweep_page", "experiment_page"])
def test_phone_needs_no_scrolling_sideways(screen, page, request):
    browser = screen(width=360, is_phone=True)
    open_page(browser, request.getfixturevalue(page))
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    for number in range(len(browser.find_elements(By.CSS_SELECTOR, "[data-chart]"))):
        chart(browser, number)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    # A finger that moves over a chart scrolls the page.
    events = browser.execute_script("""
        return [...document.querySelectorAll('.plot')].map(plot => {
            const find = root => root.querySelector('.bk-events') ?? [...root.querySelectorAll('*')].filter(
                element => element.shadowRoot).map(element => find(element.shadowRoot)).find(Boolean);
            return getComputedStyle(find(plot)).touchAction;
        })""")
    assert set(events) == {"auto"}


def test_confusion_matrix_is_a_table_with_heads(screen, experiment_page):
    browser = screen()
    open_page(browser, experiment_page)
    matrix = browser.find_element(By.CSS_SELECTOR, ".matrix")
    assert [head.text for head in matrix.find_elements(By.CSS_SELECTOR, "th[scope]")] == ["cat", "dog", "recall", "cat", "dog"]
    assert [cell.text for cell in matrix.find_elements(By.CSS_SELECTOR, "tbody td")] == ["3", "1", "75.0%", "·", "4", "100.0%"]


def test_every_control_has_a_name_and_headings_have_an_order(screen, sweep_page, experiment_page):
    browser = screen()
    for page in (sweep_page, experiment_page):
        open_page(browser, page)
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = ("button", "link", "checkbox", "searchbox", "textbox", "img", "table", "region")
        named = {role: [bool(node.get("name", {}).get("value")) for node in nodes if not node.get("ignored")
                        and node.get("role", {}).get("value") == role] for role in roles}
        assert named["button"] and named["link"] and named["table"] and all(map(all, named.values())), named
        levels = [int(head.tag_name[1]) for head in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3")]
        assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
