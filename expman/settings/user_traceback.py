"""Shortens a traceback to the frames of the user's own files."""

from __future__ import annotations

import functools
import os
import sysconfig
import traceback
from pathlib import Path

from expman import PROJECT_FOLDER

_FOREIGN_FOLDERS = tuple(f"{folder.resolve()}{os.sep}" for folder in {
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(PROJECT_FOLDER / package for package in ("expman", "data_pipelines"))})

_ZOO_FOLDER = f"{PROJECT_FOLDER / 'model_zoo'}{os.sep}"  # a user's own as soon as he names one of its models
_PACKAGE_FOLDERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))  # of other Pythons too
_AUTOGRAPH_MARK = "__autograph_generated_file"  # TensorFlow's rewriting of a function; its frames repeat the user's


def is_user_file(filename: str) -> bool:
    """True for a file that belongs neither to Python, nor to an installed package, nor to this project's machinery.

    The models of the zoo count as the user's, also where they are installed: errors in them are shown with their lines.
    A file that does not exist is none: frames of compiled code name a source that stayed where it was compiled.
    """
    if filename.startswith("<") or _AUTOGRAPH_MARK in filename:
        return False
    return not _is_foreign(os.path.dirname(filename)) and os.path.isfile(filename)


@functools.cache  # each experiment asks for thousands of modules
def _is_foreign(folder: str) -> bool:
    resolved = f"{os.path.realpath(folder)}{os.sep}"
    is_foreign = resolved.startswith(_FOREIGN_FOLDERS) or any(name in resolved for name in _PACKAGE_FOLDERS)
    return is_foreign and not resolved.startswith(_ZOO_FOLDER)


def last_user_line(error: BaseException) -> str | None:
    """`file:line` of the innermost frame in a user's file, or None when the error never passed through one."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_user_file(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def user_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, with only the frames of the user's files."""
    report = traceback.TracebackException.from_exception(error)
    user_frames = [frame for frame in report.stack if is_user_file(frame.filename)]
    report.stack = traceback.StackSummary.from_list(user_frames)
    report.__cause__ = report.__context__ = None
    return "".join(report.format()).rstrip()
