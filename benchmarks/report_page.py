"""How large the report of a sweep is and how long it takes to write and to open.

    python benchmarks/report_page.py

Writes a sweep of 200 trials with 200 epochs as plain files into a temporary folder, then its page, and opens that in headless
Chromium (Debian's packages chromium and chromium-driver). Prints, from one run with medians of interleaved repetitions: the
page's size, the seconds to write it, and the seconds from the start of the navigation until the charts on the screen are
drawn, beside those of a page that holds the plotting library and nothing else.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bokeh  # noqa: E402

from expman.reports.page.html_report import write_report  # noqa: E402
from tests.support.browser import open_browser  # noqa: E402
from tests.support.experiment_files import falling_loss, write_experiment_files  # noqa: E402

NUM_TRIALS, NUM_EPOCHS, REPEATS = 200, 200, 7
LIBRARY_ONLY = "<!doctype html><script>{library}</script><script>performance.mark('chart drawn')</script>"
SECONDS_UNTIL_DRAWN = """
const marks = performance.getEntriesByName('chart drawn');
return document.querySelectorAll('[data-drawn]').length >= arguments[0] && marks.length >= 1
    ? Math.max(...marks.map(mark => mark.startTime)) / 1000 : null
"""


def write_sweep(folder: Path) -> None:
    draw = random.Random(0)
    for number in range(1, NUM_TRIALS + 1):
        losses = [value * (1 + 0.05 * draw.random()) for value in falling_loss(NUM_EPOCHS, rate=0.01 + 0.1 * draw.random())]
        hparams = {"hiddenNeurons": draw.choice([8, 16, 32]), "learningRate": 10 ** draw.uniform(-4, -1),
                   "activation": draw.choice(["relu", "tanh"])}
        write_experiment_files(
            folder, number=number, hparams=hparams, losses=losses, metrics={"mae": losses, "rmse": losses}, versions=(1,),
            trial={"number": number, "hparams": hparams, "status": "finished"})


def seconds_to_open(browser, page: Path, *, num_charts: int) -> float:
    browser.get("about:blank")
    browser.get(page.as_uri())
    while (seconds := browser.execute_script(SECONDS_UNTIL_DRAWN, num_charts)) is None:
        time.sleep(0.02)
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "sweep"
        write_sweep(sweep)
        start = time.perf_counter()
        page = write_report([sweep])
        print(f"{NUM_TRIALS} trials of {NUM_EPOCHS} epochs: written in {time.perf_counter() - start:.2f} s, "
              f"{page.stat().st_size / 1e6:.2f} MB")
        library = Path(folder) / "library.html"
        script = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
        library.write_text(LIBRARY_ONLY.format(library=script.read_text(encoding="utf-8")), encoding="utf-8")
        opened: dict[Path, list[float]] = {page: [], library: []}
        with open_browser(Path(folder) / "profile") as browser:
            for _ in range(REPEATS):
                for file, seconds in opened.items():
                    seconds.append(seconds_to_open(browser, file, num_charts=2 if file == page else 0))
    of_page, of_library = (statistics.median(seconds) for seconds in opened.values())
    print(f"opened in {of_page:.2f} s (from {min(opened[page]):.2f} to {max(opened[page]):.2f}), "
          f"{of_page / of_library:.1f} times the {of_library:.2f} s of the plotting library alone")


if __name__ == "__main__":
    main()
