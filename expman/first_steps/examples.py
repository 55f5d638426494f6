"""The shipped examples, as files of a new folder: settings, the model of the zoo, and the modules beside them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from expman.installation import program
from expman.settings.zoo_models import zoo_file

_EXAMPLES = Path(__file__).parent / "examples"  # in a clone a link to its folder of that name
_SETTINGS, _MODEL = "mysettings.py", "model.py"
_PREFIX = "mysettings_"
_OWN_DATA_NEEDED = ("semanticSegmentation_cityscapes",)
_DATA = '"datasamples/'
_ZOO = "../../model_zoo/"
_SECONDS = re.compile(r"(\d+) seconds")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A shipped example whose data are at hand.

    Attributes:
        name: what the user writes behind `--like`.
        file: its settings file.
    """

    name: str
    file: Path

    @property
    def text(self) -> str:
        """The settings file as it is shipped."""
        return self.file.read_text(encoding="utf-8")

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (ast.get_docstring(ast.parse(self.text)) or "").partition("\n")[0]

    @property
    def seconds(self) -> float:
        """The time that its docstring tells."""
        told = _SECONDS.search(self.text)
        return float(told.group(1)) if told else 60.0


def shipped_examples() -> list[Example]:
    """Returns the examples that run here, by name: those on data of the clone only where it is there."""
    files = {file.stem.removeprefix(_PREFIX): file for file in sorted(_EXAMPLES.glob(f"*/{_PREFIX}*.py"))}
    found = [Example(name=name, file=file) for name, file in files.items() if name not in _OWN_DATA_NEEDED]
    return [example for example in found if _data_folder().is_dir() or _DATA not in example.text]


def example_files(example: Example, *, name: str) -> dict[str, str]:
    """Returns the files of a new folder that does what an example does: name → text."""
    text = _with_here(example.text).replace(_DATA, f'"{_data_folder()}/')
    text = text.replace("python experiments_manager.py", program())
    text = text.replace(f"examples/{example.file.parent.name}/{example.file.name}", f"{name}/{_SETTINGS}")
    text = re.sub(r'^session_name = .*$', f'session_name = "{name}"', text, flags=re.MULTILINE)
    text = re.sub(r'^workingFolder = .*$', 'workingFolder = str(HERE / "experiments")  # the folders of all runs lie here', text,
                  flags=re.MULTILINE)
    files = {}
    zoo_model = re.search(rf'^model_file = "{re.escape(_ZOO)}(\w+)\.py"', text, re.MULTILINE)
    if zoo_model:
        files[_MODEL] = zoo_file(zoo_model.group(1)).read_text(encoding="utf-8")
        text = text.replace(f"{_ZOO}{zoo_model.group(1)}.py", _MODEL)
    # Where hyperparameters choose among models of the zoo, they still do.
    text = re.sub(rf'^model_file = f"{re.escape(_ZOO)}(.*)\.py"$', r'model_file = f"zoo:\1"', text, flags=re.MULTILINE)
    beside = {file.name: file.read_text(encoding="utf-8") for file in _modules_beside(example.file)}
    return {_SETTINGS: text, **files, **beside}


def _data_folder() -> Path:
    return _EXAMPLES.resolve().parent / "datasamples"


def _modules_beside(settings_file: Path) -> Iterator[Path]:
    """Yields the files beside a settings file that it imports or names as its model, and those that these import."""
    folder, waiting, seen = settings_file.parent, [settings_file], {settings_file}
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        named = re.findall(r'"(\w+)\.py"', text)
        for file in (folder / f"{name}.py" for name in (*_imported(text), *named)):
            if file.is_file() and file not in seen:
                seen.add(file)
                waiting.append(file)
                yield file


def _imported(text: str) -> Sequence[str]:
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def _with_here(text: str) -> str:
    """Returns a settings file's text in which HERE is its folder."""
    lines = text.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(("import ", "from ")))
    end = first
    while end < len(lines) and lines[end].strip():
        end += 1
    is_of_python = all(line.split()[1].split(".")[0] in sys.stdlib_module_names for line in lines[first:end])
    lines.insert(end if is_of_python else first, "from pathlib import Path\n" + ("" if is_of_python else "\n"))
    joined = "".join(lines)
    return joined.replace("\nsession_name = ", "\nHERE = Path(__file__).resolve().parent\n\nsession_name = ", 1)
