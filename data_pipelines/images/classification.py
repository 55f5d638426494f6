"""Images in folders, each with its class."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.array_cache import ArrayCache
from data_pipelines.augmentation import Augmentation
from data_pipelines.batches import batched
from data_pipelines.checks import whole_number
from data_pipelines.images.class_balancing import balanced_indices
from data_pipelines.images.class_labels import LabelledImages, Source, labelled_images
from data_pipelines.images.decoder import ImageDecoder
from data_pipelines.images.fitting import ImageFitting
from data_pipelines.images.reading import check_reader
from data_pipelines.pass_seeds import with_seeds
from data_pipelines.unreadable_files import UnreadableFiles


def FileListProcessor_image_classification(  # noqa: N802  (users' interface)
        sourceFolder: Source, file_extension: str | Sequence[str] = "*.jpg", *, batch_size: int,  # noqa: N803
        shuffle_batches: bool,
        image_size: tuple[int, int] | None = None, resize_mode: str = "stretch", num_channels: int | None = None,
        class_csv: str | os.PathLike[str] | None = None, class_names: Sequence[str] | None = None,
        apply_random_flip_left_right: bool = False, apply_random_flip_up_down: bool = False,
        apply_random_rotate_90: bool = False, apply_random_brightness: float | None = None,
        apply_random_contrast: float | None = None, apply_random_saturation: float | None = None,
        value_range: float | None = None, apply_whitening: bool = False, balance_classes_distribution: bool = False,
        reader: str = "opencv", cache: bool | str | os.PathLike[str] = False, on_unreadable_file: str = "raise",
        drop_remainder: bool = False, seed: int | None = None) -> tf.data.Dataset:
    """Reads images and tells the class of each: the name of the folder that holds it, or what a CSV file says.

    The values are those of the files (0 … 255 for 8 bits, 0 … 65535 for 16 bits), so that a served model, which gets plain
    images, sees the same; bring them to another range in `data_preprocess`. The first file that can be read tells the type
    and, where they are not given, the bands and the size; a file that differs in them is an error that names it.

    Arguments:
        sourceFolder: a folder of folders named after the classes, or a list of files, each in a folder named after its class;
            with `class_csv` the folder that the filenames start from.
        file_extension: which files of a folder are images, see `extractFilenames`. A folder without such a file is no class,
            and a warning names it.
        batch_size: images of a batch.
        shuffle_batches: whether each pass has an order of its own; else the files come sorted by path, those of a list in its order.
        image_size: (height, width) of what is returned.
        resize_mode: 'stretch', 'crop', 'pad' or, for files that all have one size, 'none'; see `ImageFitting`.
        num_channels: 1, 3, or the number that the files have; see `ImageFitting`.
        class_csv: a CSV file with the columns `filename` and `class`, instead of folders of classes.
        class_names: the classes in the order of their numbers; None: those that are found, sorted. Pass the training data's
            (`class_names_of`) for the validation data, where a class may be missing.
        apply_random_flip_left_right, apply_random_flip_up_down, apply_random_rotate_90, apply_random_brightness,
            apply_random_contrast, apply_random_saturation, value_range: changes of `Augmentation`, drawn anew in each pass.
        apply_whitening: `tf.image.per_image_standardization`: mean 0 and deviation 1 over all values of an image. The served
            model needs it too: rather call it in `data_preprocess`.
        balance_classes_distribution: each class comes as often as the largest one has images: a pass has (number of classes) ·
            (images of the largest class) images. Which images of the smaller classes come once more than others is drawn anew
            in each pass, see `balanced_order`.
        reader: 'opencv' or 'rasterio', see `read_image`.
        cache: keeps what was decoded and resized, before all random changes, see `ArrayCache`: True: in memory; a path: in
            that folder.
        on_unreadable_file: 'raise', or 'skip': leaves out the files that cannot be read or brought to `num_channels`, and
            counts them in the log.
        drop_remainder: whether a last batch that is not full is left out.
        seed: of all random draws; None: derived from `tf.random.set_seed`.

    Returns:
        A dataset of (images float32 `[batch, height, width, bands]`, classes int64 `[batch]`).

    Raises:
        ValueError: an argument is wrong, or a file was unreadable or unfit when the dataset was made. While it is read: a
            `tf.errors.InvalidArgumentError` that names the file.
        FileNotFoundError: a file or folder does not exist, or there is no image.
        ImportError: the reader is not installed.
    """
    whole_number("batch_size", batch_size, 1)
    check_reader(reader)
    unreadable = UnreadableFiles(on_unreadable_file)
    fitting = ImageFitting(image_size=image_size, resize_mode=resize_mode, num_channels=num_channels)
    augmentation = Augmentation(
        flip_left_right=apply_random_flip_left_right, flip_up_down=apply_random_flip_up_down, rotate_90=apply_random_rotate_90,
        brightness=apply_random_brightness, contrast=apply_random_contrast, saturation=apply_random_saturation,
        value_range=value_range)
    images = labelled_images(sourceFolder, file_extension, class_csv=class_csv, class_names=class_names)
    if balance_classes_distribution:
        _check_all_present(images)
    decoder = ImageDecoder(images.files, reader=reader, fitting=fitting, cache=ArrayCache(cache), unreadable=unreadable)
    augmentation.check_sample(num_spatial_axes=2, num_bands=decoder.shape[-1])
    indices = _indices(images, shuffle=shuffle_batches, balance=balance_classes_distribution, seed=seed)
    samples = _samples(indices, images.classes, decoder=decoder, augmentation=augmentation, whiten=apply_whitening, seed=seed)
    if on_unreadable_file == "skip":
        samples = samples.filter(lambda image, label, is_there: is_there)
    return batched(samples.map(lambda image, label, is_there: (image, label)), batch_size=batch_size,
                   drop_remainder=drop_remainder)


def _check_all_present(images: LabelledImages) -> None:
    present = set(images.classes)
    missing = [name for number, name in enumerate(images.class_names) if number not in present]
    if missing:
        raise ValueError("balance_classes_distribution needs images of every class. There is none of "
                         f"{', '.join(map(repr, missing))}. Remove it from class_names, or add images.")


def _indices(images: LabelledImages, *, shuffle: bool, balance: bool, seed: int | None) -> tf.data.Dataset:
    if balance:
        return balanced_indices(images.classes, shuffle=shuffle, seed=seed)
    indices = tf.data.Dataset.range(len(images.files))
    return indices.shuffle(len(images.files), seed=seed, reshuffle_each_iteration=True) if shuffle else indices


def _samples(indices: tf.data.Dataset, classes: list[int], *, decoder: ImageDecoder, augmentation: Augmentation, whiten: bool,
             seed: int | None) -> tf.data.Dataset:
    """(image, class, whether the image could be read) of each index."""
    labels = np.array(classes, np.int64)

    def load(index: int, sample_seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
        image = decoder.image(index)
        if image is None:
            return np.zeros(decoder.shape, np.float32), labels[index], False
        rng = np.random.default_rng(sample_seed)
        image, = augmentation.geometric(rng, image)
        return augmentation.photometric(rng, image), labels[index], True

    def loaded(index: tf.Tensor, sample_seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, label, is_there = tf.numpy_function(load, [index, sample_seed], [tf.float32, tf.int64, tf.bool], stateful=False)
        image = tf.ensure_shape(image, decoder.shape)
        if whiten:
            image = tf.image.per_image_standardization(image)
        return image, tf.ensure_shape(label, []), tf.ensure_shape(is_there, [])

    return with_seeds(indices, seed=seed).map(loaded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
