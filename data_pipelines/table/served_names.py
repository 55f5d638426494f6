"""Names of the served inputs, which TensorFlow wants to be identifiers."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Sequence

_RESERVED = ("self", "name", "training", "function_scope")


def served_name(column: str) -> str:
    """Returns the name of the input that a column is served as: an ASCII identifier."""
    plain = unicodedata.normalize("NFKD", column.replace("ß", "ss")).encode("ascii", "ignore").decode()
    served = re.sub(r"\W+", "_", plain).strip("_") or "column"
    return f"column_{served}" if served[0].isdigit() or keyword.iskeyword(served) or served in _RESERVED else served


def served_names(names: Sequence[str]) -> list[str]:
    """Returns for each column the name of the served input.

    Raises:
        ValueError: two columns get the same name, or names that differ only by case, which TensorFlow writes small.
    """
    made: list[str] = []
    first: dict[str, str] = {}
    for name in names:
        served = served_name(name)
        other = first.setdefault(served.lower(), name)
        if other != name:
            same = served_name(other) == served
            names_text = f"both be served as {served!r}" if same else (
                f"be served as {served_name(other)!r} and {served!r}, which TensorFlow writes alike")
            raise ValueError(f"the columns {other!r} and {name!r} would {names_text}. Rename one of them in the first line of the "
                             "file, or leave it out by ignore=[…].")
        made.append(served)
    return made
