"""A headless Chromium for tests that read a page as its user sees it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER),
    reason="needs Debian's packages chromium and chromium-driver: apt-get install chromium chromium-driver")

_OPTIONS = ("--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
            # WebGL without a graphics card
            "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

# Components keep their elements in shadow roots, which selectors do not enter by themselves.
_FIND_ALL = """
const found = [];
const search = root => {
    found.push(...root.querySelectorAll(arguments[0]));
    root.querySelectorAll('*').forEach(element => element.shadowRoot && search(element.shadowRoot));
};
search(document);
return found;
"""


@contextlib.contextmanager
def open_browser(profile: Path, *, width: int = 1200, height: int = 800) -> Iterator[webdriver.Chrome]:
    """Starts Chromium through its driver and ends both.

    Arguments:
        profile: an empty or missing folder for the browser's own files.
        width, height: of the window, in pixels.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for option in (*_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options, service=Service(executable_path=_DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


def find_all(browser: webdriver.Chrome, selector: str) -> list[Any]:
    """All elements of the present document or frame that a CSS selector names, those within shadow roots too."""
    return browser.execute_script(_FIND_ALL, selector)
