"""The folder that a first experiment gets: its name, and that it appears whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from expman.errors import UsageError

_LONGEST_NAME = 60
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_name(name: str) -> None:
    """Checks that a name can be that of a new folder here, of its experiments, and of the model that is served.

    Raises:
        UsageError: it cannot, or something of that name is there; the message says what to do.
    """
    if name.strip("./") == "":
        raise UsageError(f"--init {name}: give a NAME, that of the new folder, which is made in the current one: --init "
                         "my_experiment")
    if "/" in name.rstrip("/"):
        raise UsageError(f"--init {name}: the new folder lies in the current one, and NAME is only its name. Go where it is to "
                         f"be first: cd {Path(name).parent}")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:_LONGEST_NAME] or "my_experiment"
        raise UsageError(f"--init {name!r}: the name must be made of the letters A to Z, digits, '_', '-' and '.', begin with a "
                         f"letter or digit, and have at most {_LONGEST_NAME} characters. Take for example {plain}.")
    if os.path.lexists(name):
        raise UsageError(f"--init {name}: {name} is there already, and nothing of yours is overwritten. Take another name, or "
                         f"move it away first: mv {name} {name}_old")


def write_new_folder(name: str, files: Mapping[str, str]) -> Path:
    """Writes files under a temporary name and renames their folder, so that it is never there half-written.

    Arguments:
        name: of the folder, in the current one.
        files: name → text.

    Raises:
        UsageError: the current folder cannot be written to.
    """
    temporary: str | None = None
    try:
        temporary = tempfile.mkdtemp(prefix=f".{name}.", dir=".")
        for file_name, text in files.items():
            with (Path(temporary) / file_name).open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        Path(temporary).chmod(0o777 & ~_umask())
        Path(temporary).rename(name)
    except OSError as error:
        raise UsageError(f"--init {name}: the folder {Path.cwd() / name} cannot be written: {error.strerror or error}. Go to a "
                         "folder in which you may write, with room on its disk.") from error
    finally:
        if temporary is not None:  # gone by now, unless something was raised
            shutil.rmtree(temporary, ignore_errors=True)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
