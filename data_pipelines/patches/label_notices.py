"""Tells of doubtful labels: masks painted in 0 and 255, JPEG files, and label maps that stand otherwise than their images."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import numpy as np

from data_pipelines.images.orientation import orientation_if_any
from data_pipelines.patches.labelled_files import LabelledFiles
from data_pipelines.patches.positions import grid_positions

_JPEG_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif")
_MOST_PATCHES, _SHOWN_VALUES, _MOST_LOOKED_AT = 16, 8, 50
_LOG = logging.getLogger(__name__)


def warn_of_doubtful_labels(files: LabelledFiles, patch: Sequence[int], *, are_changed: bool) -> None:
    """Looks at the labels of a few files, first, middle and last, and warns of what is hardly meant as classes.

    Arguments:
        files: with labels.
        patch: the lengths of a patch; of files that are larger, some patches are looked at.
        are_changed: whether the user's own function changes the labels before they are used, so that their values tell nothing.
    """
    label_files = files.references or files.paths
    num_jpeg = sum(map(_is_jpeg, label_files))
    if are_changed and not num_jpeg:
        return
    values = _values_in(files, patch)
    if num_jpeg:
        _LOG.warning("%d of %d label files are JPEG, such as %s: JPEG changes values, above all at borders. Those looked at "
                     "hold %d different labels: %s. Save the labels anew, as PNG.", num_jpeg, len(label_files),
                     next(filter(_is_jpeg, label_files)), len(values), _shown(values))
    elif 255 in values and values <= {0, 255}:
        _LOG.warning("The labels are %s, as in %s: as masks are often painted, but losses and metrics take them for the numbers "
                     "of classes. Make 0 and 1 of them: crops_postprocess=lambda raw, labels: (raw, labels // 255).",
                     _shown(values), label_files[0])


def warn_of_other_orientations(files: LabelledFiles) -> None:
    """Warns when a raw file notes another orientation than its label map and their sizes do not tell whether that is right.

    Files that are evenly spread over the list are looked at.
    """
    references = files.references or []
    for index in range(0, len(references), max(1, len(references) // _MOST_LOOKED_AT)):
        raw, reference = files.paths[index], references[index]
        of_raw, of_reference = orientation_if_any(raw), orientation_if_any(reference)
        if of_raw != of_reference and not ((of_raw >= 5) != (of_reference >= 5) and _sizes_tell(files, index)):
            _LOG.warning("%s is turned as it notes (orientation %d), its label map %s notes %d. That is right if the label map "
                         "was drawn on the upright picture; else save the image anew without the note.", raw, of_raw, reference,
                         of_reference)
            return


def _sizes_tell(files: LabelledFiles, index: int) -> bool:
    """Tells whether image and label map would not fit together if one more of them were turned on its side."""
    try:
        height, width = files.opened(index).size[-2:]
    except (OSError, ValueError):  # a pass will name the file, and both orientations if the sizes do not fit
        return True
    return height != width


def _values_in(files: LabelledFiles, patch: Sequence[int]) -> set[float]:
    values: set[float] = set()
    for index in sorted({0, len(files) // 2, len(files) - 1}):
        try:
            source = files.opened(index)
            positions = grid_positions(source.size, patch)
            for position in positions[::max(1, len(positions) // _MOST_PATCHES)]:
                values.update(np.unique(source.cut(position, patch)[1]).tolist())
        except (OSError, ValueError):  # a pass will name the file, or skip it
            continue
    return values


def _is_jpeg(path: str) -> bool:
    names = os.listdir(path) if os.path.isdir(path) else [path]
    return any(name.lower().endswith(_JPEG_EXTENSIONS) for name in names)


def _shown(values: set[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in sorted(values)[:_SHOWN_VALUES])
    return f"{shown} …" if len(values) > _SHOWN_VALUES else shown
