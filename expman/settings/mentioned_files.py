"""The files that a name of a Python file mentions in its text: what it will open later can be kept without running it."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

_LOGGER = logging.getLogger(__name__)
_LARGEST_MENTIONED_FILE_BYTES = 10 * 2**20


def mentioned_files(source: Path, name: str, *, except_in: Collection[str]) -> list[Path]:
    """The files beside or below a Python file that the string constants of a definition, or of what it uses, name.

    Both `"labels.txt"` and `HERE / "assets" / "labels.txt"` are found; a name that is composed at run time is not. Large
    files are left out, each with a warning.

    Arguments:
        source: the Python file.
        name: of one of its classes, functions or variables.
        except_in: names whose definitions are not looked into.
    """
    tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    texts = {node.value: None for statement in _definitions_used(tree, name, except_in=set(except_in))
             for node in ast.walk(statement) if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value}
    beside = source.resolve().parent
    folders = [beside, *(beside / text for text in texts if os.path.isdir(beside / text))]
    paths = dict.fromkeys(Path(os.path.abspath(folder / text)) for folder in folders for text in texts
                          if os.path.isfile(folder / text))
    return [path for path in paths if path.is_relative_to(beside) and not _is_large(path, name)]


def _definitions_used(tree: ast.Module, name: str, *, except_in: set[str]) -> Iterator[ast.stmt]:
    """The statements of a module that define a name, and those that define the names in them."""
    definitions: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for defined in _defined_names(statement):
            definitions.setdefault(defined, []).append(statement)
    known, waiting = {name, *except_in}, [name]
    while waiting:
        for statement in definitions.get(waiting.pop(), []):
            yield statement
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - known
            known |= used
            waiting += sorted(used)


def _defined_names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _is_large(path: Path, name: str) -> bool:
    if path.stat().st_size <= _LARGEST_MENTIONED_FILE_BYTES:
        return False
    _LOGGER.warning("%s, which %s mentions, is large and not copied into the experiment's folder. To have it copied, name it in "
                    "user_files.", path, name)
    return True
