"""Draws label maps over images: overlays, pictures that compare truth and prediction, frames of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np

Colours = Sequence[tuple[int, int, int]]

_LEGEND_ROW_PIXELS = 26
_TEXT_PIXELS = 8  # of the width of a letter in the legend of a video


def grey_levels(image: np.ndarray) -> np.ndarray:
    """An image `[height, width, bands]` of any type as uint8 `[height, width, 3]`; other types than uint8 are stretched."""
    if image.dtype != np.uint8:
        values = np.nan_to_num(image.astype(np.float32))
        low, high = values.min(), values.max()
        image = ((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    return np.repeat(image[..., :1], 3, axis=-1) if image.shape[-1] < 3 else image[..., :3]


def overlay(image: np.ndarray, labels: np.ndarray, colours: Colours, *, opacity: float = 0.5) -> np.ndarray:
    """Lays the colour of each pixel's class over the image, which shows through.

    Arguments:
        image: `[height, width, bands]`.
        labels: integers `[height, width]`; what is no class stays as it is.
        colours: red, green, blue, 0 … 255, of each class.
        opacity: 0: the image alone, 1: the colours alone.

    Returns:
        uint8 `[height, width, 3]`.
    """
    shown = grey_levels(image)
    is_class = (labels >= 0) & (labels < len(colours))
    painted = np.asarray(colours, np.float32)[np.where(is_class, labels, 0)]
    return np.where(is_class[..., None], (1 - opacity) * shown + opacity * painted, shown).round().astype(np.uint8)


def save_comparison(file: str | Path, panels: Mapping[str, np.ndarray], *, class_names: Sequence[str],
                    colours: Colours) -> None:
    """Writes pictures of equal size side by side, below them the legend.

    Arguments:
        file: of the picture, PNG.
        panels: title → uint8 `[height, width, 3]`.
        class_names, colours: of the legend.
    """
    matplotlib.use("Agg")  # into a file; a server may have no screen
    import matplotlib.pyplot as plt
    height, width = next(iter(panels.values())).shape[:2]
    panel_inches = 6.0
    figure, axes = plt.subplots(1, len(panels), figsize=(panel_inches * len(panels), panel_inches * height / width + 0.8),
                                squeeze=False, layout="constrained")
    for axis, (title, panel) in zip(axes[0], panels.items(), strict=True):
        axis.imshow(panel, interpolation="nearest")
        axis.set_title(title)
        axis.axis("off")
    add_legend(figure, class_names=class_names, colours=colours)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def add_legend(figure: matplotlib.figure.Figure, *, class_names: Sequence[str], colours: Colours) -> None:
    """Names the colours below a figure of constrained layout."""
    from matplotlib.patches import Patch
    handles = [Patch(color=np.asarray(colour) / 255, label=name) for name, colour in zip(class_names, colours, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 10), frameon=False)


def video_frame(image: np.ndarray, labels: np.ndarray, *, class_names: Sequence[str], colours: Colours) -> np.ndarray:
    """The image beside its overlay, below them the legend: uint8 `[height, 2 · width, 3]`, red first."""
    pair = np.hstack([grey_levels(image), overlay(image, labels, colours)])
    return np.vstack([pair, _legend_rows(pair.shape[1], class_names, colours)])


def _legend_rows(width: int, class_names: Sequence[str], colours: Colours) -> np.ndarray:
    """White rows with a coloured square before each name, as many as the width asks for."""
    cell = _LEGEND_ROW_PIXELS + _TEXT_PIXELS * (max(map(len, class_names)) + 1)
    num_columns = max(1, width // cell)
    rows = np.full([_LEGEND_ROW_PIXELS * -(-len(class_names) // num_columns), width, 3], 255, np.uint8)
    for index, (name, colour) in enumerate(zip(class_names, colours, strict=True)):
        left, top = index % num_columns * cell, index // num_columns * _LEGEND_ROW_PIXELS
        rows[top + 6:top + 20, left + 6:left + 20] = colour
        cv2.putText(rows, name, (left + _LEGEND_ROW_PIXELS, top + 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return rows
