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
        ValueError: two columns get the same name.
    """
    made: dict[str, str] = {}
    for name in names:
        served = served_name(name)
        if served in made:
            raise ValueError(f"the columns {made[served]!r} and {name!r} would both be served as {served!r}. Rename one "
                             "of them in the first line of the file, or leave it out by ignore=[…].")
        made[served] = name
    return list(made)
