"""The classes of Cityscapes: names, label ids in the files, ids for training, colours.

Source: M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016; numbers and colours as in the
data set's own scripts, github.com/mcordts/cityscapesScripts, cityscapesscripts/helpers/labels.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

VOID = 255
"""The label of pixels that neither the loss nor the score counts."""

# In the order of the ids for training, 0 … 18: name → label id in *_labelIds.png; red, green, blue.
CLASSES = {
    "road": (7, (128, 64, 128)), "sidewalk": (8, (244, 35, 232)), "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)), "fence": (13, (190, 153, 153)), "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)), "traffic sign": (20, (220, 220, 0)), "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)), "sky": (23, (70, 130, 180)), "person": (24, (220, 20, 60)), "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)), "truck": (27, (0, 0, 70)), "bus": (28, (0, 60, 100)), "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)), "bicycle": (33, (119, 11, 32)),
}


def train_ids() -> np.ndarray:
    """What each label id becomes: int32 `[256]`, 0 … 18 for the evaluated classes, `VOID` for all others."""
    table = np.full(256, VOID, np.int32)
    for train_id, (label_id, _) in enumerate(CLASSES.values()):
        table[label_id] = train_id
    return table


def label_file_of(image_file: str | Path) -> str:
    """`…/leftImg8bit/val/ulm/X_leftImg8bit.png` → `…/gtFine/val/ulm/X_gtFine_labelIds.png`.

    Raises:
        ValueError: the file does not lie in the data set's layout.
    """
    image_file = Path(image_file)
    ending = "_leftImg8bit.png"
    if len(image_file.parts) < 4 or image_file.parts[-4] != "leftImg8bit" or not image_file.name.endswith(ending):
        raise ValueError(f"images must lie in leftImg8bit/PART/CITY/ and end with {ending}. Got {str(image_file)!r}.")
    *_, part, city, name = image_file.parts
    return str(image_file.parents[3] / "gtFine" / part / city / f"{name.removesuffix(ending)}_gtFine_labelIds.png")
