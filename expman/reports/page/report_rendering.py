"""Turns a report's content into HTML: template, style and scripts in one file, all texts of users escaped."""

from __future__ import annotations

import re
from pathlib import Path

import bokeh
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from expman.reports.page.report_content import ReportContent

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_SCRIPTS = ("colours.js", "selection.js", "tooltip.js", "line_chart.js", "curve_chart.js", "parallel_chart.js", "tables.js",
            "page.js")
_PLOTTING_SCRIPTS = ("bokeh.min.js", "bokeh-api.min.js")  # the library's core and the part that builds plots in the browser


def render_page(content: ReportContent) -> str:
    """The whole page."""
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    plotting = "" if not content.has_charts else "\n".join(
        (Path(bokeh.__file__).parent / "server" / "static" / "js" / name).read_text(encoding="utf-8")
        for name in _PLOTTING_SCRIPTS)
    return environment.get_template("report.html.j2").render(
        content=content, style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        plotting_script=_as_script(plotting),
        page_script=_as_script("\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)))


def _as_script(text: str) -> Markup:
    """A script for within the page, which no end tag in one of its texts may end early."""
    return Markup(re.sub(r"</(?=script)", r"<\\/", text, flags=re.IGNORECASE))
