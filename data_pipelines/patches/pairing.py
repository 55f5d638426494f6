"""Finds the reference file of each raw file by their names: what is left of a name when the parts that all have are removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

PAIRINGS = ("name", "order")
_NAMED_FILES = 3
_LOG = logging.getLogger(__name__)


def paired_references(raw_files: Sequence[str], reference_files: Sequence[str], *, pair_by: str = "name") -> list[str]:
    """The reference file of each raw file.

    `0_photo.jpg` and `0_labels.png` belong together, among others named alike, as do `raw/a.png` and `labels/a.png`: each name
    is compared without folder, extension, and the beginning and end that all names of its list share; where files of several
    folders have one name, with the folders.

    Arguments:
        raw_files, reference_files: the paths, none of the lists empty.
        pair_by: 'name': by the names where these tell, else by the order, with a warning. 'order': by the order alone.

    Raises:
        ValueError: the lists are not equally long, or the names tell that some files have no partner.
    """
    raw_names, reference_names = _distinct_parts(raw_files), _distinct_parts(reference_files)
    has_partners = pair_by == "name" and not set(raw_names).isdisjoint(reference_names)
    missing = ""
    if has_partners:
        missing = "; ".join(part for part in (_without_partner("raw_files without reference", raw_files, raw_names,
                                                               reference_names),
                                              _without_partner("reference_files without raw file", reference_files,
                                                               reference_names, raw_names)) if part)
    if len(raw_files) != len(reference_files):
        raise ValueError(f"reference_files must be as many as raw_files. Got {len(reference_files)} and {len(raw_files)}: "
                         f"{missing or f'{reference_files[0]} …, {raw_files[0]} …'}.")
    if pair_by == "order" or raw_names == reference_names:
        return list(reference_files)
    if missing:
        raise ValueError(f"raw_files and reference_files do not belong together by their names: {missing}. Remove these, or "
                         "set pair_by='order' if the lists are in the same order.")
    if not has_partners or len(set(raw_names)) < len(raw_names):
        _LOG.warning("The names of raw_files and reference_files do not tell which belong together; they are paired by their "
                     "order: %s … pair_by='order' says that this is right.", _shown_pairs(raw_files, reference_files))
        return list(reference_files)
    reference_of = dict(zip(reference_names, reference_files, strict=True))
    paired = [reference_of[name] for name in raw_names]
    _LOG.warning("raw_files and reference_files are in different orders; they are paired by their names: %s …",
                 _shown_pairs(raw_files, paired))
    return paired


def _distinct_parts(paths: Sequence[str]) -> list[str]:
    """Returns the parts that tell the names of files apart."""
    names = [os.path.splitext(os.path.basename(os.path.normpath(path)))[0] for path in paths]
    if len(set(names)) < len(names):
        folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
        common = os.path.commonpath(folders)
        names = [f"{os.path.relpath(folder, common)}/{name}" for folder, name in zip(folders, names, strict=True)]
    start = len(os.path.commonprefix(names))
    rests = [name[start:] for name in names]
    end = len(os.path.commonprefix([rest[::-1] for rest in rests]))
    return [rest[:len(rest) - end] for rest in rests]


def _without_partner(title: str, files: Sequence[str], names: Sequence[str], others: Sequence[str]) -> str:
    known = set(others)
    lonely = [path for path, name in zip(files, names, strict=True) if name not in known]
    if not lonely:
        return ""
    return f"{len(lonely)} {title}: {', '.join(lonely[:_NAMED_FILES])}{' …' if len(lonely) > _NAMED_FILES else ''}"


def _shown_pairs(raw_files: Sequence[str], reference_files: Sequence[str]) -> str:
    pairs = list(zip(raw_files, reference_files, strict=True))
    return ", ".join(f"{os.path.basename(raw)} with {os.path.basename(reference)}" for raw, reference in pairs[:_NAMED_FILES])
