"""Parses and executes a Python file of the user, and turns the exceptions of his code into clear errors."""

from __future__ import annotations

import ast
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from expman.errors import ExperimentError, Problem, SettingsError, UserExceptionError
from expman.settings.user_files import noticed_reads
from expman.settings.user_traceback import last_user_line, user_traceback

_NOT_KEPT = ("If that file was there when the experiment started, it was not kept in the experiment's folder: put it back where "
             "it was, and name it in user_files, so that the next experiment keeps it.")
_HOOK = "__hook_of_{}__"
_NEW_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


class user_code:  # noqa: N801  (reads as a statement: `with user_code(…)`)
    """Context in which an exception is the user's: it becomes a `UserExceptionError` with his own part of the traceback.

    Arguments:
        what: the subject of the message, e.g. a function's name.
        default_place: `file:line` for an exception that no line of his files raised.
        lets_through: exceptions that mean something to the caller.
        runs_from_copy: whether it is code of an experiment's folder, without which a missing file is no wonder.
    """

    def __init__(self, what: str, *, default_place: str, lets_through: tuple[type[Exception], ...] = (),
                 runs_from_copy: bool = False) -> None:
        self._what = what
        self._default_place = default_place
        self._lets_through: tuple[type[Exception], ...] = (ExperimentError, *lets_through)
        self._runs_from_copy = runs_from_copy

    def __enter__(self) -> None:
        return None

    def __exit__(self, error_type: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._lets_through):
            place = last_user_line(error) or self._default_place
            remedy = f"\n{_NOT_KEPT}" if self._runs_from_copy and _is_missing_file(error) else ""
            raise UserExceptionError(f"{place}: {self._what} raised an exception.\n{user_traceback(error)}{remedy}") from error


class UserModule:
    """A Python file of the user.

    Arguments:
        path: the file.
        described_as: what the file is, for the messages.

    Raises:
        SettingsError: the file is missing, unreadable or not valid Python.
    """

    def __init__(self, path: Path, *, described_as: str) -> None:
        self.path = path
        try:
            self._source = path.read_text(encoding="utf-8")
            self._tree = ast.parse(self._source, filename=str(path))
        except FileNotFoundError as error:
            raise _error(path, f"the {described_as} does not exist. Correct the path.") from error
        except SyntaxError as error:
            report = "".join(traceback.format_exception_only(error)).rstrip()
            raise _error(f"{path}:{error.lineno}", f"the {described_as} is not valid Python.\n{report}") from error
        except IsADirectoryError as error:
            inside = next(iter(sorted(path.glob("mysettings*.py"))), None)
            hint = f" Did you mean {inside}?" if inside else ""
            raise _error(path, f"the {described_as} must be a file. Got a folder.{hint}") from error
        except (OSError, ValueError) as error:
            raise _error(path, f"the {described_as} cannot be read: {error}.") from error

    def execute(self, *, module_name: str, shown_file: Path | None = None,
                hooks: Mapping[str, Callable[[Any], Any]] | None = None) -> dict[str, Any]:
        """Runs the file as a module of its own, which dataclasses, pickle and inspect find under `module_name`.

        Arguments:
            module_name: its `__name__`.
            shown_file: its `__file__`, when that is not the file executed.
            hooks: for a name of the module a function through which each value bound to it passes at once.

        Returns:
            The names that the file defined.

        Raises:
            UserExceptionError: the file raised.
        """
        hooks = hooks or {}
        module = types.ModuleType(module_name)
        module.__file__ = str(shown_file or self.path)
        module.__dict__.update({_HOOK.format(name): hook for name, hook in hooks.items()})
        sys.modules[module_name] = module
        tree = _AddHooks(hooks).visit(ast.parse(self._source, filename=str(self.path)))
        code = compile(ast.fix_missing_locations(tree), filename=str(self.path), mode="exec")
        runs_from_copy = shown_file is not None and shown_file != self.path
        with user_code(f"executing {self.path.name}", default_place=str(self.path), runs_from_copy=runs_from_copy), \
                noticed_reads():
            exec(code, module.__dict__)  # the user's own file is meant to be executed
        return module.__dict__

    def imported_names(self) -> set[str]:
        """Returns the top-level names of the modules that the file imports, wherever in it."""
        names = {alias.name for node in ast.walk(self._tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(self._tree)
                  if isinstance(node, ast.ImportFrom) and node.module and not node.level}
        return {name.partition(".")[0] for name in names}

    def lines_of_names(self) -> dict[str, int]:
        """The line on which each name of the module was last bound; imported names are not his own and left out."""
        lines: dict[str, int] = {}

        def visit(node: ast.AST) -> None:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                lines[node.name] = node.lineno
            elif isinstance(node, ast.stmt) and not isinstance(node, (ast.Import, ast.ImportFrom)):
                lines.update(dict.fromkeys(_bound_names(node), node.lineno))
            if not isinstance(node, _NEW_SCOPES):
                for child in ast.iter_child_nodes(node):
                    visit(child)

        visit(self._tree)
        return lines


class _AddHooks(ast.NodeTransformer):
    """Adds `name = hook(name)` after each statement of the module that binds a hooked name; line numbers stay."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, _NEW_SCOPES):
            return node  # a name bound in there is another variable
        self.generic_visit(node)
        if not isinstance(node, ast.stmt):
            return node
        hooked = self._names.intersection(_bound_names(node))
        return [node, *(_hook_call(name, after=node) for name in sorted(hooked))] if hooked else node


def _hook_call(name: str, *, after: ast.stmt) -> ast.stmt:
    statement = ast.parse(f"{name} = {_HOOK.format(name)}({name})").body[0]
    for part in ast.walk(statement):
        ast.copy_location(part, after)
    return statement


def _bound_names(statement: ast.stmt) -> list[str]:
    """The names that one simple statement binds."""
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and statement.value is not None:
        targets = [statement.target]
    return [node.id for target in targets for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _is_missing_file(error: Exception) -> bool:
    """Also TensorFlow's error, which only who has imported it can name."""
    return isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError"


def _error(place: Path | str, text: str) -> SettingsError:
    return SettingsError([Problem(str(place), text)])
