"""Lists the data files of a folder."""

from __future__ import annotations

import fnmatch
import os


def extractFilenames(root_dir: str | os.PathLike[str], file_extension: str = "*.jpg",  # noqa: N802, N803  (users' interface)
                     raiseOnEmpty: bool = True) -> list[str]:
    """Lists the files of a folder and of all folders below it, sorted by path, so that every machine gets one order.

    Arguments:
        root_dir: the folder; links to folders are followed once.
        file_extension: a pattern of shell wildcards for the file's name, e.g. `'*.jpg'`, `'*_labels.png'`; a plain extension
            (`'.jpg'`, `'jpg'`) is taken for `'*.jpg'`. Case matters.
        raiseOnEmpty: whether finding nothing is an error.

    Returns:
        The paths, each starting with `root_dir`.

    Raises:
        ValueError: the pattern is empty.
        FileNotFoundError: the folder does not exist, or `raiseOnEmpty` and no file fits.
    """
    root = os.fspath(root_dir)
    if not os.path.isdir(root):
        raise FileNotFoundError(f"the folder {root!r} does not exist. Correct raw_data_dir_train or raw_data_dir_val.")
    if not file_extension:
        raise ValueError("file_extension must be a pattern such as '*.jpg'. Got ''. '*' stands for all files.")
    pattern = file_extension if any(wildcard in file_extension for wildcard in "*?[") else f"*.{file_extension.lstrip('.')}"
    paths, visited = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders.sort()  # where links lead to one folder twice, the first in the order of names counts on every machine
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()  # a link leads back
            continue
        visited.add(real)
        paths.extend(os.path.join(folder, name) for name in names if fnmatch.fnmatchcase(name, pattern))
    if not paths and raiseOnEmpty:
        raise FileNotFoundError(f"no file in {root!r} or below it fits {pattern!r}. Correct the folder or the pattern.")
    return sorted(paths)
