"""Which class each image of a folder belongs to: from the name of the folder that holds it, or from a CSV file."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from data_pipelines.checks import existing_files, file_list
from data_pipelines.filenames import extractFilenames, visible_folders

_COLUMNS = ["filename", "class"]
_LOG = logging.getLogger(__name__)
Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class LabelledImages:
    """Image files with the class of each.

    Attributes:
        files: the paths, sorted.
        classes: for each file the index of its class in `class_names`.
        class_names: the names of all classes, some of which may have no file.
    """

    files: list[str]
    classes: list[int]
    class_names: list[str]


def class_names_of(sourceFolder: Source, file_extension: str | Sequence[str] = "*.jpg", *,  # noqa: N803  (users' interface)
                   class_csv: str | os.PathLike[str] | None = None) -> list[str]:
    """The sorted names of the classes that `FileListProcessor_image_classification` finds with the same arguments.

    Settings files take `n_outputs` from their number, and pass them on as `class_names`, so that training and validation
    data number the classes alike.

    Raises:
        ValueError, FileNotFoundError: as `FileListProcessor_image_classification` does.
    """
    return labelled_images(sourceFolder, file_extension, class_csv=class_csv).class_names


def labelled_images(source: Source, file_extension: str | Sequence[str] = "*.jpg", *, class_csv: str | os.PathLike[str] | None = None,
                    class_names: Sequence[str] | None = None) -> LabelledImages:
    """Lists image files and their classes.

    Arguments:
        source: a folder, or a list of files. With a CSV file: the folder that its filenames start from.
        file_extension: which files of a folder are images, see `extractFilenames`. A list or a CSV file names all of them.
        class_csv: a CSV file with the columns `filename` and `class`; None: the folder that holds a file names its class.
        class_names: all classes in the order of their numbers; None: those that are found, sorted.

    Raises:
        ValueError: a file lies in no folder of a class, a class is not one of `class_names`, a file is listed twice, or the
            CSV file is not as described.
        FileNotFoundError: a file or folder does not exist, or there is no image.
    """
    if class_csv is not None:
        found = _from_csv(source, class_csv)
    else:
        found = {path: os.path.basename(os.path.dirname(os.path.abspath(path))) for path in _files(source, file_extension)}
    is_list = class_csv is None and not isinstance(source, (str, os.PathLike))
    files = list(found) if is_list else sorted(found)
    if class_names is None:
        class_names = sorted(set(found.values()))
    number_of = _numbered(class_names, found)
    return LabelledImages(files, [number_of[found[path]] for path in files], list(class_names))


def _files(source: Source, file_extension: str | Sequence[str]) -> list[str]:
    if not isinstance(source, (str, os.PathLike)):
        files = file_list(source)
        _check_unique(files, "the list of files")
        return files
    files = extractFilenames(source, file_extension)
    loose = [path for path in files if os.path.dirname(path) == os.fspath(source).rstrip(os.sep)]
    if loose:
        raise ValueError(f"{len(loose)} files, such as {loose[0]!r}, lie in no folder of a class. Move them into folders "
                         "named after the classes, or list the classes in class_csv.")
    _warn_of_empty_folders(os.fspath(source), files, file_extension)
    return files


def _warn_of_empty_folders(source: str, files: Sequence[str], file_extension: str | Sequence[str]) -> None:
    """Tells of folders that look like classes and hold no image: they become none."""
    with_images = {os.path.dirname(path) for path in files}
    empty = [os.path.basename(folder) for folder, subfolders, _ in visible_folders(source)
             if not subfolders and folder not in with_images]
    if empty:
        _LOG.warning("%s: %d folders hold no file that fits %r, and are no classes: %s.", source, len(empty), file_extension,
                     ", ".join(map(repr, sorted(empty))))


def _from_csv(folder: Source, class_csv: str | os.PathLike[str]) -> dict[str, str]:
    """Path → name of the class."""
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError("sourceFolder must be the folder that the filenames of class_csv start from. Got a list of files.")
    table = _checked_table(class_csv)
    files = existing_files([os.path.join(folder, name) for name in table["filename"]])
    _check_unique(files, f"class_csv: {os.fspath(class_csv)}")
    return dict(zip(files, table["class"]))


def _checked_table(class_csv: str | os.PathLike[str]) -> pd.DataFrame:
    place = f"class_csv: {os.fspath(class_csv)}"
    try:
        table = pd.read_csv(class_csv, dtype=str, keep_default_na=False, encoding="utf-8-sig")  # a class may be called NA
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: {error}") from error
    if not set(_COLUMNS) <= set(table.columns):
        raise ValueError(f"{place} must have the columns {' and '.join(_COLUMNS)}, separated by commas. Its first line names: "
                         f"{', '.join(table.columns)}.")
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"{place} has lines with more values than its first line. Put values that hold commas in quotes.")
    for column in _COLUMNS:
        empty = table.index[table[column].fillna("").str.strip() == ""]
        if len(empty):
            raise ValueError(f"{place}: entry {empty[0] + 1} after the first line has no {column}.")
    return table


def _check_unique(files: list[str], place: str) -> None:
    path, count = Counter(files).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{place} names {path!r} {count} times. Remove all but one.")


def _numbered(class_names: Sequence[str], found: dict[str, str]) -> dict[str, int]:
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"class_names must be a list of str. Got {class_names!r}.")
    number_of = {name: number for number, name in enumerate(class_names)}
    if len(number_of) < len(class_names):
        raise ValueError(f"class_names must be distinct. Got {class_names!r}.")
    unknown = [path for path in sorted(found) if found[path] not in number_of]
    if unknown:
        names, path, name = sorted({found[path] for path in unknown}), unknown[0], found[unknown[0]]
        raise ValueError(f"class_names lacks {', '.join(map(repr, names))}: {path!r} is of the class {name!r}. "
                         f"Add the class, or remove its files. Got {list(class_names)!r}.")
    return number_of
