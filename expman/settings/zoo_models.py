"""Finds the models that come with the project: `zoo:mlp` names model_zoo/mlp.py, wherever the project is installed."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

from expman import PROJECT_FOLDER

_PREFIX = "zoo:"
ZOO_FOLDER = PROJECT_FOLDER / "model_zoo"


def zoo_name(model_file: str) -> str | None:
    """Returns the name of the model that a value of `model_file` asks the zoo for; None for a path."""
    return model_file.removeprefix(_PREFIX).strip() if model_file.startswith(_PREFIX) else None


def zoo_file(name: str) -> Path:
    """Returns the model file of a model of the zoo.

    Raises:
        LookupError: the zoo has no such model; with those that it has.
    """
    known = zoo_models()
    if name not in known:
        similar = difflib.get_close_matches(name.removesuffix(".py").lower(), known, n=1)
        question = f" Did you mean '{_PREFIX}{similar[0]}'?" if similar else ""
        raise LookupError(f"the zoo has no model '{name}'.{question} It has: {', '.join(known)}.")
    return ZOO_FOLDER / f"{name}.py"


def zoo_models() -> list[str]:
    """Returns the names of all models of the zoo, sorted."""
    return sorted(file.stem for file in ZOO_FOLDER.glob("*.py") if _defines_model(file))


def _defines_model(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    return any(isinstance(node, ast.FunctionDef) and node.name == "model" for node in tree.body)
