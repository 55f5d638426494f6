"""Resizes images by filters that give the same picture from OpenCV, Pillow, TensorFlow and Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data_pipelines.checks import one_of, whole_number

if TYPE_CHECKING:
    import tensorflow as tf

ENGINES = {"antialias": ("pillow", "tensorflow", "keras"), "bilinear": ("opencv", "tensorflow"), "area": ("opencv", "tensorflow")}
_OF_GRAPHS = ("tensorflow", "keras")
_DTYPES = ("uint8", "int8", "uint16", "int16", "float16", "float32")
_KNOWN_TO_ALL = ("uint8", "uint16", "float32")  # float32 holds the values of the others
_LAYOUTS = ("channels_last", "channels_first")


def resize(image: np.ndarray | tf.Tensor, size: tuple[int, int], filter: str = "antialias",
           engine: str = "auto", *, data_format: str = "channels_last") -> np.ndarray | tf.Tensor:
    """Resizes an image or a batch; all engines of a filter agree within one level of the image's type.

    The three filters give different pictures: use the same one in training and in the client. Whole numbers are rounded.

    Arguments:
        image: `[height, width]`, `[height, width, bands]` or `[batch, height, width, bands]`, or with the bands before the
            height; uint8, int8, uint16, int16, float16 or float32; an array, or a tensor, also of a graph. Each band, opacity
            among them, is resized on its own.
        size: (height, width).
        filter: 'antialias': a triangle as wide as the step between pixels, as Pillow's BILINEAR and TensorFlow's and Keras'
            bilinear with antialias; 'bilinear': the four nearest pixels, as OpenCV's INTER_LINEAR and TensorFlow's bilinear;
            'area': the mean over the pixel's area, as OpenCV's INTER_AREA (where both sides shrink) and TensorFlow's area.
        engine: 'pillow' or 'keras' ('antialias'), 'opencv' ('bilinear', 'area') or 'tensorflow'. 'auto': tensors by
            TensorFlow, arrays by Pillow or OpenCV.
        data_format: 'channels_last' or 'channels_first'.

    Returns:
        The type of `image`, its dtype and layout.

    Raises:
        ValueError: an argument is wrong, the engine has no such filter, or it cannot work in a graph.
    """
    one_of("filter", filter, ENGINES)
    one_of(f"engine for filter={filter!r}", engine, ("auto", *ENGINES[filter]))
    one_of("data_format", data_format, _LAYOUTS)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size must be (height, width). Got {size!r}.")
    for side in size:
        whole_number("size", side, 1)
    _check_image(image)
    if len(image.shape) == 2:
        return resize(image[..., None], size, filter, engine)[..., 0]
    is_array = isinstance(image, np.ndarray)
    if engine == "auto":
        engine = ENGINES[filter][0] if is_array else "tensorflow"
    if engine in _OF_GRAPHS:
        from data_pipelines.images.resizing_in_graph import resized_tensor
        resized = resized_tensor(image, size, filter, engine, data_format)
        return resized.numpy() if is_array else resized
    if is_array:
        return _resized_array(image, size, filter, data_format)
    if not hasattr(image, "numpy"):
        raise ValueError(f"engine={engine!r} cannot resize a tensor of a graph. Use engine='tensorflow', which gives the "
                         "same picture.")
    import tensorflow as tf
    return tf.constant(_resized_array(image.numpy(), size, filter, data_format))


def _check_image(image: Any) -> None:
    dtype = getattr(image, "dtype", None)
    if getattr(dtype, "name", None) not in _DTYPES:
        raise ValueError(f"image must be an array or a tensor of {', '.join(_DTYPES)}. "
                         f"Got {getattr(dtype, 'name', type(image).__name__)}. Convert it before.")
    if len(image.shape) not in (2, 3, 4) or 0 in tuple(image.shape):
        raise ValueError("image must be [height, width], [height, width, bands] or [batch, height, width, bands], none 0. "
                         f"Its shape is {list(image.shape)}.")


def _resized_array(image: np.ndarray, size: tuple[int, int], filter: str, data_format: str) -> np.ndarray:
    """Resizes an array by Pillow or OpenCV: bands together where the library can take them so, else each on its own."""
    if data_format == "channels_last" and _takes_bands(image, filter):
        return np.stack([_resized(picture, size, filter) for picture in image.reshape(-1, *image.shape[-3:])]).reshape(
            *image.shape[:-3], *size, image.shape[-1])
    if data_format == "channels_last":
        image = np.moveaxis(image, -1, -3)
    planes = image.reshape(-1, *image.shape[-2:])
    resized = np.stack([_resized(plane, size, filter) for plane in planes]).reshape(*image.shape[:-2], *size)
    return np.ascontiguousarray(np.moveaxis(resized, -3, -1)) if data_format == "channels_last" else resized


def _takes_bands(image: np.ndarray, filter: str) -> bool:
    """Tells whether the library resizes `[height, width, bands]` as it would each band: Pillow multiplies by a fourth, opacity."""
    return image.dtype == np.uint8 and image.shape[-1] == 3 if filter == "antialias" else 2 <= image.shape[-1] <= 4


def _resized(picture: np.ndarray, size: tuple[int, int], filter: str) -> np.ndarray:
    known_dtype = picture.dtype if picture.dtype.name in _KNOWN_TO_ALL else np.float32
    one = _by_pillow if filter == "antialias" else _by_opencv
    return _as_dtype(one(np.ascontiguousarray(picture, known_dtype), size, filter), picture.dtype)


def _by_pillow(picture: np.ndarray, size: tuple[int, int], _: str) -> np.ndarray:
    from PIL import Image
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _by_opencv(picture: np.ndarray, size: tuple[int, int], filter: str) -> np.ndarray:
    import cv2
    height, width = size
    if filter == "bilinear":
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    if (height > picture.shape[0]) == (width > picture.shape[1]):
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    # OpenCV averages areas only where both sides shrink: the shrinking side goes first, on its own.
    values = picture.astype(np.float32)
    shrunk = (min(width, picture.shape[1]), min(height, picture.shape[0]))
    values = cv2.resize(cv2.resize(values, shrunk, interpolation=cv2.INTER_AREA), (width, height),
                        interpolation=cv2.INTER_AREA)
    return _as_dtype(values, picture.dtype)


def _as_dtype(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if values.dtype == dtype:
        return values
    return np.rint(values).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)
