"""Sentences that describe functions and classes, as the installed libraries bring them along in their docstrings."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = {"NumPy": "numpy", "pandas": "pandas", "scikit-learn": "sklearn", "Matplotlib": "matplotlib"}
_END_OF_SENTENCE = re.compile(r"(?<=\.)\s|\n\s*\n")
_LEAST_WORDS = 4
_ONE_MODULE_OF = 5


@functools.cache
def load_part(is_training: bool) -> tuple[list[str], list[int]]:
    """The first sentences of docstrings and the numbers of their libraries, of four fifths of the modules or of the rest.

    A module is whole on one side, and a sentence is there once: what several libraries say is left out, and what training has
    is not for validation, whatever its upper case and numbers of spaces.
    """
    parts: tuple[dict[str, tuple[str, int]], ...] = ({}, {})
    libraries: dict[str, set[int]] = {}
    for number, package in enumerate(LIBRARIES.values()):
        for module, sentence in _sentences(package):
            is_held_out = zlib.crc32(module.encode()) % _ONE_MODULE_OF == 0
            libraries.setdefault(sentence.lower(), set()).add(number)
            parts[is_held_out].setdefault(sentence.lower(), (sentence, number))
    train, held_out = parts
    chosen = train if is_training else {key: pair for key, pair in held_out.items() if key not in train}
    sentences, numbers = zip(*(pair for key, pair in chosen.items() if len(libraries[key]) == 1))
    return list(sentences), list(numbers)


def _sentences(package: str) -> Iterator[tuple[str, str]]:
    """The modules of a package without its tests, as 'package/folder/file.py', each with the sentences in it."""
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for file in sorted(folder.rglob("*.py")):
        module = file.relative_to(folder.parent).as_posix()
        if "test" in module:
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                words = _END_OF_SENTENCE.split(ast.get_docstring(node) or "")[0].split()
                if len(words) >= _LEAST_WORDS:
                    yield module, " ".join(words)
