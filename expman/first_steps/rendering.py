"""Fills the templates of settings, model and README."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".j2"
_WIDTH = 110


def rendered(folder: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the files that the templates of a folder make: name → text.

    Arguments:
        folder: below `templates/`.
        values: by the names in the templates.
    """
    import jinja2
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False)
    environment.filters |= {"literal": literal, "in_words": in_words}
    names = sorted(file.name for file in (_TEMPLATES / folder).glob(f"*{_SUFFIX}"))
    return {name.removesuffix(_SUFFIX): environment.get_template(f"{folder}/{name}").render(values) for name in names}


def literal(value: object) -> str:
    """Returns a value as Python source with double quotes; long lists and dicts get several lines."""
    if isinstance(value, str):
        return "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    if isinstance(value, dict):
        return f"{{{_broken(f'{literal(key)}: {literal(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{_broken(map(literal, value))}]"
    return repr(value)


def in_words(text: object) -> str:
    """Returns a text that can stand in a docstring or comment: one line of printable characters, without backslashes."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(printable.replace("\\", "/").replace('"""', "'''").split())


def _escaped(character: str) -> str:
    """Returns a character as it can stand in Python source: what cannot be printed, by its number."""
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _broken(parts: Iterable[str]) -> str:
    """Joins parts by commas, in lines that are not too long."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > _WIDTH:
            lines.append("")
        lines[-1] += f"{part}, "
    return "\n        ".join(line.rstrip() for line in lines).rstrip(",")


def python_path(path: Path) -> str:
    """Returns the expression for a path in a settings file that defines HERE as its own folder, in the current one.

    What lies below the current folder moves along with it; what lies elsewhere is named in full.
    """
    full, here = Path(os.path.normpath(path.absolute())), Path.cwd()  # without '..', and with links as the user named them
    if full == here:
        return "str(HERE.parent)"
    if full.is_relative_to(here):
        return f"str(HERE.parent / {literal(full.relative_to(here).as_posix())})"
    return literal(str(full))
