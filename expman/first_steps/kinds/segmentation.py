"""Images with label maps, whose pixels name classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expman.errors import UsageError
from expman.first_steps.image_files import (
    ImageLook,
    existing_images,
    look_at_images,
    patterns_of,
    spread,
    training_and_validation,
)
from expman.first_steps.kind import Found, Kind
from expman.first_steps.rendering import python_path
from expman.first_steps.training_length import training_length

_RAW_NAMES = ("raw", "images", "image", "imgs", "img", "photos", "jpegimages")
_LABEL_NAMES = ("labels", "label", "masks", "mask", "annotations", "gt", "ground_truth", "segmentation", "segmentationclass",
                "targets")
_LARGEST_PATCH, _LEAST_PATCH, _PATCH_STEP = 128, 16, 8  # pixels; the network halves them three times
_VALIDATED_EACH = 5
_MOST_LABEL_MAPS = 60
_MOST_CLASSES = 64
_PATCHES_AN_IMAGE = 16
_START_SECONDS, _SECONDS_A_PIXEL = 10, 2e-6


@dataclass(frozen=True, kw_only=True)
class Part:
    """The files of training or validation.

    Attributes:
        names: of the folders of images and of label maps, below that of the part.
        raw_files, label_files: the pairs, in one order.
    """

    names: tuple[str, str]
    raw_files: list[Path]
    label_files: list[Path]


def look(data: Path, target: str | None) -> Found:
    """Looks at a folder with one of images and one of label maps, or at train/ and val/ with such."""
    existing_images("--data", data)
    training_folder, validation_folder = training_and_validation(data)
    training = _part(training_folder)
    validation = _part(validation_folder) if validation_folder is not None else None
    place = f"--data {data}"
    if validation is None and len(training.raw_files) < 2:
        raise UsageError(f"{place}: there is a single image. One to train on and one to validate on are needed at least.")
    if validation is not None and training.names != validation.names:
        raise UsageError(f"{place}: the folders of images and label maps are {' and '.join(training.names)} in "
                         f"{training_folder}, {' and '.join(validation.names)} in {validation_folder}. Name them alike.")
    raw_files = [*training.raw_files, *(validation.raw_files if validation else ())]
    label_files = [*training.label_files, *(validation.label_files if validation else ())]
    images = _look_at_images(place, raw_files)
    class_values = _label_values(place, raw_files, label_files)
    patch = _patch(place, images)
    num_training = len(training.raw_files) if validation else len(training.raw_files) - len(training.raw_files[::_VALIDATED_EACH])
    num_patches = num_training * _PATCHES_AN_IMAGE
    length = training_length(num_patches, largest_batch=8)
    values = {
        "training_path": python_path(training_folder), "validation_path": python_path(validation_folder or training_folder),
        "has_validation": validation is not None, "validated_each": _VALIDATED_EACH, "raw_name": training.names[0],
        "label_name": training.names[1], "raw_patterns": patterns_of(raw_files), "label_patterns": patterns_of(label_files),
        "look": images, "class_values": class_values, "is_dense": class_values == list(range(len(class_values))), "patch": patch,
        "patches_an_image": _PATCHES_AN_IMAGE, "length": length, "num_training": num_training,
        "num_validation": len(raw_files) - num_training}
    return Found(sentences=_sentences(raw_files, values), decisions=_decisions(values), values=values, zoo_model="unet_2d",
                 seconds=_START_SECONDS + _SECONDS_A_PIXEL * patch ** 2 * num_patches * length.num_epochs)


def _look_at_images(place: str, files: Sequence[Path]) -> ImageLook:
    """Returns what the images are like, which must be alike but for their sizes."""
    images = look_at_images(place, files)
    if images.unreadable:
        file, reason = next(iter(images.unreadable.items()))
        raise UsageError(f"{place}: {len(images.unreadable)} images cannot be read, e.g. {file}: {reason.rstrip('.')}. Remove "
                         "them with their label maps.")
    if len(images.bands) > 1:
        raise UsageError(f"{place}: the images have {' and '.join(map(str, sorted(images.bands)))} bands. Convert them to grey "
                         "(1) or colour (3) alike.")
    return images


def _patch(place: str, images: ImageLook) -> int:
    """Returns the side of the patches, in pixels."""
    smallest = min(min(size) for size in images.sizes)
    patch = min(_LARGEST_PATCH, smallest // _PATCH_STEP * _PATCH_STEP)
    if patch < _LEAST_PATCH:
        raise UsageError(f"{place}: the smallest image has a side of {smallest} pixels; at least {_LEAST_PATCH} are needed. "
                         "Leave it out.")
    return patch


def _part(folder: Path) -> Part:
    """Returns the pairs in a folder.

    Raises:
        UsageError: there are not two folders, or files without a partner.
    """
    names = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")}
    raw = next((names[name] for name in _RAW_NAMES if name in names), None)
    labels = next((names[name] for name in _LABEL_NAMES if name in names), None)
    if raw is None or labels is None:
        lacking = " and ".join([*(["images/"] if raw is None else []), *(["labels/"] if labels is None else [])])
        raise UsageError(f"--data {folder}: it must hold a folder images/ and a folder labels/ with the label maps (or "
                         f"{', '.join(_LABEL_NAMES[2:5])}), "
                         f"and lacks {lacking}. It holds: {', '.join(path.name for path in names.values()) or 'no folder'}.")
    raw_files, label_files = existing_images("--data", raw), existing_images("--data", labels)
    from data_pipelines.patches.pairing import paired_references
    try:
        paired = paired_references([str(file) for file in raw_files], [str(file) for file in label_files])
    except ValueError as error:
        raise UsageError(f"--data {folder}: {error}") from error
    if paired != [str(file) for file in label_files]:
        raise UsageError(f"--data {folder}: sorted by name, images and label maps come in different orders, e.g. "
                         f"{raw_files[0].name} and {label_files[0].name}. Give the label maps the names of the images.")
    return Part(names=(raw.name, labels.name), raw_files=raw_files, label_files=label_files)


def _label_values(place: str, raw_files: Sequence[Path], label_files: Sequence[Path]) -> list[int]:
    """Returns the values of the pixels in the label maps, sorted.

    Raises:
        UsageError: a label map has several bands or another size than its image, or the values are no classes.
    """
    from data_pipelines.images.reading import read_image
    counts: Counter[int] = Counter()
    size_of = dict(zip(label_files, raw_files, strict=True))
    for file in spread(label_files, _MOST_LABEL_MAPS):
        try:
            labels, image = read_image(str(file), palette="indices"), read_image(str(size_of[file]))
        except (ValueError, OSError) as error:
            raise UsageError(f"{place}: {file} cannot be read: {str(error).rstrip('.')}.") from error
        if labels.shape[-1] > 1:
            raise UsageError(f"{place}: the label map {file} has {labels.shape[-1]} bands. Label maps have one, which holds the "
                             "class of each pixel: 0, 1, 2 … Convert colours to such numbers.")
        if labels.shape[:2] != image.shape[:2]:
            raise UsageError(f"{place}: {file} has {labels.shape[0]} × {labels.shape[1]} pixels, its image {image.shape[0]} × "
                             f"{image.shape[1]}. Both must have the same size.")
        counts.update(map(int, np.unique(labels)))
    if len(counts) < 2:
        raise UsageError(f"{place}: all label maps hold the value {next(iter(counts))} only: with a single class there is "
                         "nothing to tell apart.")
    if len(counts) > _MOST_CLASSES:
        raise UsageError(f"{place}: the label maps hold {len(counts)} different values, which are no classes. Are they in JPEG, "
                         "which changes values, or are they grey pictures? Write one number a class, in PNG.")
    return sorted(counts)


def _sentences(files: Sequence[Path], values: dict) -> list[str]:
    colour = "grey" if values["look"].num_bands == 1 else "in colour"
    return [f"There are {len(files)} images with label maps, {colour}, {values['look'].sizes_text}.",
            f"The label maps hold {len(values['class_values'])} values: {', '.join(map(str, values['class_values']))}."]


def _decisions(values: dict) -> list[str]:
    decisions = ["`CLASSES`: names for the values of the label maps.",
                 f"`PATCH`: the network is trained on squares of {values['patch']} pixels; what tells a class must fit in.",
                 "flips and brightness: keep those after which a picture could still be real."]
    if not values["has_validation"]:
        decisions.append(f"each {_VALIDATED_EACH}th image validates; pictures of one series belong into one part: make folders "
                         "train/ and val/.")
    return decisions


KIND = Kind(name="segmentation", other_names=("semantic_segmentation",), takes_target=False, look=look,
            summary="images with label maps: FOLDER/images/ and FOLDER/labels/, or FOLDER/train/ and FOLDER/val/ with such",
            data_is="the folder that holds images/ and labels/, or train/ and val/ with such")
