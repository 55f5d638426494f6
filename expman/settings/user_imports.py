"""Gives each experiment modules of its own, although all experiments of a process share `sys.modules` and `sys.path`.

An experiment has its turn from the loading of its settings file to the loading of the next one. It imports afresh whatever
lies below its folders, as it would in a process of its own; when its turn ends, the caller's own modules are back.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from expman import PROJECT_FOLDER
from expman.settings.user_traceback import is_user_file

_PROJECT_FILES = ("expman", "model_zoo", "data_pipelines", "experiments_manager.py", "experiments_settings_checker.py",
                  "DataProvider_input_pipeline.py")
_NEVER_MOVED = ("__main__", "__mp_main__")
_SOURCE_SUFFIXES = (".py", ".pyc")
SHIPPED = tuple(PROJECT_FOLDER / entry for entry in _PROJECT_FILES)
"""What every user of this project has, so that it need not travel with an experiment."""


class _Turn:
    """The changes of the experiment whose turn it is in `sys.path` and `sys.modules`.

    Attributes:
        folders: those that it has put first, resolved.
    """

    def __init__(self, shown_files: Mapping[Path, Path]) -> None:
        self.folders: list[Path] = []
        self._path = list(sys.path)
        self._of_caller = {id(module): module for module in list(sys.modules.values())}  # holds them, so that no id returns
        self._set_aside: dict[str, ModuleType] = {}
        self._finders = [_CopiedModulesFinder(shown_files)] if shown_files else []
        place = next((place for place, finder in enumerate(sys.meta_path)
                      if isinstance(finder, type) and issubclass(finder, importlib.machinery.PathFinder)), len(sys.meta_path))
        sys.meta_path[place:place] = self._finders

    def put_first(self, folders: Iterable[Path]) -> dict[str, ModuleType]:
        """Lets imports look into some folders first, and sets the modules of the caller aside that stand in the way.

        Returns:
            The modules of the experiment itself that stand in the way, which are taken out of `sys.modules`, too.
        """
        importlib.invalidate_caches()
        wanted = list(dict.fromkeys(folder.resolve() for folder in folders))
        entries = list(map(str, wanted))
        sys.path[:] = [*entries, *(entry for entry in sys.path if entry not in entries)]
        self.folders = [*wanted, *(folder for folder in self.folders if folder not in wanted)]
        in_the_way = {name: module for name, module in _modules_below(wanted).items() if self._is_of_caller(module)}
        in_the_way |= _modules_shadowed_by(wanted)
        for name in in_the_way:
            del sys.modules[name]
        own = {name: module for name, module in in_the_way.items() if not self._is_of_caller(module)}
        self._set_aside |= {name: module for name, module in in_the_way.items() if name not in own}
        return own

    def end(self) -> None:
        """Forgets what the experiment has imported, and gives back what was there before it."""
        came_with_it = [Path(entry).resolve() for entry in sys.path if entry and entry not in self._path]
        for name, module in _modules_below([*self.folders, *came_with_it]).items():
            if not self._is_of_caller(module):
                del sys.modules[name]
        sys.modules.update(self._set_aside)
        sys.path[:] = [entry for entry in self._path if entry in sys.path]
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in self._finders]

    def _is_of_caller(self, module: ModuleType) -> bool:
        return id(module) in self._of_caller


class _CopiedModulesFinder(importlib.abc.MetaPathFinder):
    """Finds modules as Python does, and lets `__file__` of copied ones say their originals; their specs say the copies."""

    def __init__(self, shown_files: Mapping[Path, Path]) -> None:
        self._shown_files = {str(copy): str(original) for copy, original in shown_files.items()}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
                  ) -> importlib.machinery.ModuleSpec | None:
        """Returns the spec of a copied module; None for others."""
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin not in self._shown_files:
            return None
        spec.loader = _CopiedModuleLoader(fullname, spec.origin, shown_file=self._shown_files[spec.origin])
        return spec


class _CopiedModuleLoader(importlib.machinery.SourceFileLoader):
    """Executes the copy of a module, whose `__file__` says the original."""

    def __init__(self, fullname: str, path: str, *, shown_file: str) -> None:
        super().__init__(fullname, path)
        self._shown_file = shown_file

    def exec_module(self, module: ModuleType) -> None:
        """Executes the copy."""
        module.__file__ = self._shown_file
        super().exec_module(module)


_TURNS: list[_Turn] = []  # of the process, as `sys.modules` is; one at most


def begin_imports(folders: Iterable[Path], *, shown_files: Mapping[Path, Path] | None = None) -> None:
    """Ends the turn of the experiment before, and lets imports look into some folders first, in their order.

    Arguments:
        folders: searched for imports.
        shown_files: what `__file__` says in modules that are copies: copy, resolved → original.
    """
    end_imports()
    _TURNS.append(_Turn(shown_files or {}))
    _TURNS[-1].put_first(folders)


def end_imports() -> None:
    """Forgets what the last experiment has imported, and gives back `sys.path` and the modules that stood in its way."""
    if _TURNS:
        _TURNS.pop().end()


@contextlib.contextmanager
def imports_of_experiment() -> Iterator[None]:
    """Ends the turn of the experiment that is loaded in the context, so that the caller's imports are his again; also a
    decorator.
    """
    try:
        yield
    finally:
        end_imports()


@contextlib.contextmanager
def imports_of_model_file(folders: Sequence[Path], *, imported_names: Iterable[str]) -> Iterator[list[tuple[Path, Path]]]:
    """Lets a model file import from some folders first while it is executed, also what the settings file has of the same name.

    Arguments:
        folders: that of the model file, or none.
        imported_names: the top-level names that the model file imports, wherever in it.

    Gives a list which at the end holds the pairs of files (of the settings file, of the model file) that have the same name
    and other contents, and are both imported: an experiment can hold only one of them.
    """
    if not _TURNS:
        begin_imports([])
    of_settings = _TURNS[-1].put_first(folders)
    conflicts: list[tuple[Path, Path]] = []
    try:
        yield conflicts
    finally:
        conflicts += _conflicts(of_settings, folders=folders, imported_names=set(imported_names))
        sys.modules.update(of_settings)


def modules_of_user(folders: Iterable[Path], *, except_for: Iterable[Path]) -> dict[str, Path]:
    """Returns the files of imported modules that lie below some folders and do not ship with this project.

    Arguments:
        folders: resolved.
        except_for: resolved files to leave out.

    Returns:
        The path relative to the folder → the file.
    """
    excluded, roots = set(except_for), list(folders)
    files = {}
    for module in _loaded().values():
        name = getattr(module, "__file__", None) or ""
        if not name.endswith(".py") or not is_user_file(name):
            continue
        file = Path(name).resolve()
        if file not in excluded and not _ships_with_project(file):
            files.update({str(file.relative_to(root)): file for root in roots if file.is_relative_to(root)})
    return files


def _loaded() -> dict[str, ModuleType]:
    """Returns name -> module of `sys.modules`, without None, which forbids an import, and other objects that packages put there."""
    return {name: module for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)}


def _modules_below(folders: list[Path]) -> dict[str, ModuleType]:
    """Returns the imported modules of the user that lie below some folders; packages with native code, which cannot be imported
    twice, are left out.
    """
    found = {name: module for name, module in _loaded().items()
             if name not in _NEVER_MOVED and _lie_below(_places(module), folders) and _is_of_user(module)}
    native = {name.partition(".")[0] for name, module in found.items() if not _is_source(module)}
    return {name: module for name, module in found.items() if name.partition(".")[0] not in native}


def _modules_shadowed_by(folders: list[Path]) -> dict[str, ModuleType]:
    """Returns the modules of the user from elsewhere, with their submodules, that an import would find in the folders now."""
    offered = {entry.partition(".")[0] for folder in folders if folder.is_dir() for entry in os.listdir(folder)}
    shadowed = set()
    loaded = _loaded()
    for name in offered.intersection(loaded).difference(_NEVER_MOVED):
        if _lie_below(_places(loaded[name]), folders) or not _is_of_user(loaded[name]):
            continue
        found = importlib.machinery.PathFinder.find_spec(name, sys.path)
        if found is not None and _lie_below(_places_of_spec(found), folders):
            shadowed.add(name)
    return {name: module for name, module in loaded.items() if name.partition(".")[0] in shadowed}


def _conflicts(of_settings: Mapping[str, ModuleType], *, folders: Iterable[Path], imported_names: set[str]
               ) -> list[tuple[Path, Path]]:
    conflicts = []
    for name, module in of_settings.items():
        other = _loaded().get(name)
        if other is None and name not in imported_names:
            continue
        found = importlib.machinery.PathFinder.find_spec(name, list(map(str, folders))) if other is None else other.__spec__
        own_file, other_file = _file(module), found.origin if found else None
        if own_file and other_file and Path(own_file).read_bytes() != Path(other_file).read_bytes():
            conflicts.append((Path(own_file), Path(other_file)))
    return conflicts


def _lie_below(places: Iterable[str], folders: Sequence[Path]) -> bool:
    starts = tuple(f"{folder}{os.sep}" for folder in folders)
    return any(f"{place}{os.sep}".startswith(starts) for place in places)


def _places(module: ModuleType) -> list[str]:
    """Returns the file of a module, or the folders of a package without `__init__.py`; symbolic links are followed."""
    file = _file(module)
    if file:
        folder, name = os.path.split(file)
        return [os.path.join(_resolved(folder), name)]
    return [_resolved(place) for place in getattr(module, "__path__", ())]


def _file(module: ModuleType) -> str | None:
    """Returns the file that was executed, which for a copied module is not its `__file__`."""
    loader = module.__dict__.get("__loader__")
    return loader.path if isinstance(loader, _CopiedModuleLoader) else getattr(module, "__file__", None)


@functools.cache  # there are thousands of modules, in few folders
def _resolved(folder: str) -> str:
    return os.path.realpath(folder)


def _is_of_user(module: ModuleType) -> bool:
    file = module.__dict__.get("__file__")
    if file:
        return is_user_file(file) and not _ships_with_project(Path(file).resolve())
    return any(is_user_file(str(entry)) for place in _places(module) for entry in Path(place).glob("*.*")) \
        and not any(_ships_with_project(Path(place)) for place in _places(module))


def _places_of_spec(spec: importlib.machinery.ModuleSpec) -> list[str]:
    if spec.origin and spec.has_location:
        return [os.path.realpath(spec.origin)]
    return [_resolved(place) for place in spec.submodule_search_locations or []]


def _is_source(module: ModuleType) -> bool:
    return (getattr(module, "__file__", None) or ".py").endswith(_SOURCE_SUFFIXES)


def _ships_with_project(file: Path) -> bool:
    return any(file.is_relative_to(entry) for entry in SHIPPED)
