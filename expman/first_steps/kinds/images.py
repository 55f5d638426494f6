"""Images in folders named after their classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from expman.errors import UsageError
from expman.first_steps.image_files import (
    ImageLook,
    existing_images,
    fitting_size,
    look_at_images,
    patterns_of,
    training_and_validation,
)
from expman.first_steps.kind import Found, Kind
from expman.first_steps.rendering import python_path
from expman.first_steps.training_length import training_length

_LARGEST_SIDE = 96  # pixels, of what the small network is given
_LEAST_BATCH = 8  # smaller ones often hold a single class
_VALIDATED_EACH = 5  # without a folder of its own, one image in so many validates
_START_SECONDS, _SECONDS_A_PIXEL = 8, 8e-7  # and pass, with 16 filters
_CACHED_BYTES = 2e9
_SHOWN = 8


def look(data: Path, target: str | None) -> Found:
    """Looks at a folder of classes, or at one with a folder for training and one for validation."""
    option = "--data"
    existing_images(option, data)
    training, validation = training_and_validation(data)
    files = existing_images(option, training)
    validation_files = existing_images(option, validation) if validation else []
    classes = _classes(training, files)
    _check_validation_classes(validation, validation_files, classes)
    every = [*files, *validation_files]
    found = look_at_images(f"{option} {data}", every)
    size = fitting_size(found.sizes, largest_side=_LARGEST_SIDE)
    num_training = len(files) if validation else len(files) - len(files[::_VALIDATED_EACH])
    length = training_length(num_training, largest_batch=32, least_batch=_LEAST_BATCH)
    num_pixels = size[0] * size[1]
    values = {
        "training_path": python_path(training), "validation_path": python_path(validation or training),
        "has_validation": validation is not None, "validated_each": _VALIDATED_EACH, "patterns": patterns_of(every),
        "classes": sorted(classes), "size": size, "is_resized": set(found.sizes) != {size}, "look": found, "length": length,
        "num_training": num_training, "num_validation": len(every) - num_training,
        "is_cached": len(every) * num_pixels * found.num_bands * 4 < _CACHED_BYTES}
    return Found(sentences=_sentences(every, classes, found), decisions=_decisions(classes, found, size, validation),
                 values=values, zoo_model="small_cnn_classifier",
                 seconds=_START_SECONDS + _SECONDS_A_PIXEL * num_pixels * num_training * length.num_epochs)


def _classes(folder: Path, files: list[Path]) -> Counter[str]:
    """Returns the classes, which the folders of the files name, with the number of images of each."""
    loose = [file for file in files if file.parent == folder]
    if loose:
        raise UsageError(f"--data {folder}: {len(loose)} images, such as {loose[0].name}, lie in no folder of a class. Move "
                         f"them into folders named after the classes: {folder}/CLASS/{loose[0].name}.")
    classes = Counter(file.parent.name for file in files)
    if len(classes) < 2:
        raise UsageError(f"--data {folder}: all {len(files)} images lie in one folder, '{next(iter(classes))}': with a single "
                         "class there is nothing to tell apart. Add a folder with images of what it is not.")
    if len(files) < 2 * len(classes):
        raise UsageError(f"--data {folder}: {len(files)} images of {len(classes)} classes are too few. Each class needs several.")
    return classes


def _check_validation_classes(folder: Path | None, files: list[Path], classes: Counter[str]) -> None:
    unknown = sorted({file.parent.name for file in files} - set(classes))
    if unknown:
        raise UsageError(f"--data {folder}: the classes {', '.join(map(repr, unknown[:_SHOWN]))} have no training image. "
                         "Training has: "
                         f"{', '.join(map(repr, sorted(classes)[:_SHOWN]))}. Rename the folders, or move some of their images.")


def _sentences(files: list[Path], classes: Counter[str], found: ImageLook) -> list[str]:
    shown = ", ".join(f"{name} ({count})" for name, count in sorted(classes.items())[:_SHOWN])
    colour = "grey" if found.num_bands == 1 else "in colour"
    return [f"There are {len(files)} images, {colour}, {found.sizes_text}.",
            f"{len(classes)} classes to train on: {shown}{' …' if len(classes) > _SHOWN else ''}."]


def _decisions(classes: Counter[str], found: ImageLook, size: tuple[int, int], validation: Path | None) -> list[str]:
    decisions = ["flips and brightness: keep those after which the class is still the same."]
    if set(found.sizes) != {size}:
        decisions.append(f"`IMAGE_SIZE`: the images become {size[0]} × {size[1]} pixels; small things need more, speed wants "
                         "less.")
    if validation is None:
        decisions.append(f"each {_VALIDATED_EACH}th image of the sorted list validates; images of one series belong into one "
                         "part: make folders train/ and val/.")
    if found.unreadable:
        file, reason = next(iter(found.unreadable.items()))
        decisions.append(f"`on_unreadable_file`: {len(found.unreadable)} of the images that were looked at cannot be read and "
                         f"are left out, e.g. {Path(file).name}: {reason.rstrip('.')}.")
    if max(classes.values()) > 3 * min(classes.values()):
        decisions.append('`class_weights`: the classes differ much in their numbers; "balanced" makes each count as much.')
    return decisions


KIND = Kind(name="images", other_names=("image_classification",), takes_target=False, look=look,
            summary="images in folders named after their classes: FOLDER/CLASS/*.jpg, or FOLDER/train/CLASS/ and "
                    "FOLDER/val/CLASS/",
            data_is="the folder that holds a folder for each class, or train/ and val/ with such")
