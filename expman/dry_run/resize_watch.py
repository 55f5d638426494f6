"""Notices calls that resize images: TensorFlow's (which Keras calls, too), OpenCV's, Pillow's and the project's own."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import tensorflow as tf
from PIL import Image

from data_pipelines.images import resizing_in_graph
from data_pipelines.images.fitting import ImageFitting
from expman.dry_run.resize_record import Filters, ResizeRecord
from expman.settings.user_traceback import is_user_file

_FITTING = "area to shrink and bilinear to enlarge (ImageFitting)"
_OF_OPENCV = {cv2.INTER_LINEAR: "bilinear", cv2.INTER_LINEAR_EXACT: "bilinear", cv2.INTER_AREA: "area",
              cv2.INTER_CUBIC: "OpenCV's bicubic", cv2.INTER_LANCZOS4: "OpenCV's Lanczos"}
_OF_PILLOW = {Image.Resampling.BILINEAR: "antialias", Image.Resampling.BICUBIC: "bicubic with antialias", Image.Resampling.BOX: "box",
              Image.Resampling.LANCZOS: "lanczos3 with antialias", Image.Resampling.HAMMING: "hamming"}
_BY_TRIANGLE = frozenset({"antialias", "bilinear"})
Sides = tuple[int | None, ...]


@contextlib.contextmanager
def watched_resizing(record: ResizeRecord) -> Iterator[None]:
    """Replaces the functions while the block lasts; modules that import them within it get the watched ones.

    Label maps are resized by the nearest pixel, and do not count.
    """
    inside = threading.local()
    watched = [(tf.image, "resize", _of_tensorflow), (tf.image, "resize_with_pad", _of_padding), (cv2, "resize", _of_opencv),
               (Image.Image, "resize", _of_pillow), (ImageFitting, "fitted", _of_fitting),
               (resizing_in_graph, "resized_tensor", _of_own_tensor)]
    with contextlib.ExitStack() as stack:
        for owner, name, filters_of in watched:
            original = getattr(owner, name)
            setattr(owner, name, _watched(original, filters_of, record, inside))
            stack.callback(setattr, owner, name, original)
        yield


def _watched(function: Callable[..., Any], filters_of: Callable[..., Filters], record: ResizeRecord,
             inside: threading.local) -> Callable[..., Any]:
    @tf.autograph.experimental.do_not_convert
    @functools.wraps(function)
    def watched(*arguments: Any, **named: Any) -> Any:
        if getattr(inside, "is_so", False):  # the outer function was asked for, and says what this is for
            return function(*arguments, **named)
        inside.is_so = True
        try:
            resized = function(*arguments, **named)
        finally:
            inside.is_so = False
        filters = filters_of(resized, *arguments, **named)
        if filters and record.is_new(filters):
            record.add(filters, _user_place(resized))
        return resized

    return watched


def _user_place(resized: Any) -> str | None:
    """`file:line` of the user's innermost code; of a graph, from its operation, which knows the lines before rewriting."""
    frames = traceback.extract_stack()
    if tf.is_tensor(resized) and not hasattr(resized, "numpy"):
        frames = resized.op.traceback
    return next((f"{frame.filename}:{frame.lineno}" for frame in reversed(frames) if is_user_file(frame.filename)), None)


def _filters(name: str | None, before: Sides, after: Sides) -> Filters:
    """Returns those that make the same picture as the named one of these two sides; none where nothing changes."""
    if name is None or (before == after and None not in before):
        return frozenset()
    enlarges = all(old is not None and new is not None and old <= new for old, new in zip(before, after, strict=True))
    return _BY_TRIANGLE if name in _BY_TRIANGLE and enlarges else frozenset({name})


def _of_tensorflow(resized: tf.Tensor, images: Any, size: Any, method: str = "bilinear", preserve_aspect_ratio: bool = False,
                   antialias: bool = False, name: str | None = None) -> Filters:
    del size, preserve_aspect_ratio, name
    return _filters(_tensorflow_name(method, antialias), _sides(tf.convert_to_tensor(images)), _sides(resized))


def _of_padding(resized: tf.Tensor, image: Any, target_height: Any, target_width: Any, method: str = "bilinear",
                antialias: bool = False) -> Filters:
    del resized, target_height, target_width
    before = _sides(tf.convert_to_tensor(image))
    return _filters(_tensorflow_name(method, antialias), before, (None, None))


def _of_own_tensor(resized: tf.Tensor, image: Any, size: tuple[int, int], filter: str, engine: str,
                   data_format: str) -> Filters:
    del resized, engine
    shape = tuple(image.shape)
    return _filters(filter, shape[-2:] if data_format == "channels_first" else shape[-3:-1], tuple(size))


def _of_opencv(resized: Any, src: Any, *arguments: Any, interpolation: int = cv2.INTER_LINEAR, **_: Any) -> Filters:
    if len(arguments) == len(("dsize", "dst", "fx", "fy", "interpolation")):
        interpolation = arguments[-1]
    return _filters(_OF_OPENCV.get(interpolation), src.shape[:2], resized.shape[:2])


def _of_pillow(resized: Image.Image, image: Image.Image, *arguments: Any, **named: Any) -> Filters:
    asked = inspect.signature(Image.Image.resize).bind(image, *arguments, **named).arguments
    resample = asked.get("resample")
    if resample is None:  # what Pillow itself takes then
        resample = Image.Resampling.NEAREST if image.mode in ("1", "P") else Image.Resampling.BICUBIC
    return _filters(_OF_PILLOW.get(resample), image.size, resized.size)


def _of_fitting(fitted: Any, fitting: ImageFitting, image: Any) -> Filters:
    ratios = [new / old for old, new in zip(image.shape, fitted.shape[:2], strict=False)]
    if fitting.resize_mode == "none":
        return frozenset()
    if fitting.resize_mode != "stretch":
        ratios = [max(ratios) if fitting.resize_mode == "crop" else min(ratios)]
    if all(ratio == 1 for ratio in ratios):
        return frozenset()
    if max(ratios) <= 1:
        return frozenset({_FITTING, "area"})
    return frozenset({_FITTING, *_BY_TRIANGLE}) if min(ratios) >= 1 else frozenset({_FITTING})


def _tensorflow_name(method: str, antialias: bool) -> str | None:
    if method == "nearest":
        return None
    if method == "bilinear":
        return "antialias" if antialias else "bilinear"
    return method if method == "area" or not antialias else f"{method} with antialias"


def _sides(images: tf.Tensor) -> Sides:
    """Height and width, None where they are unknown."""
    return tuple(images.shape[-3:-1]) if images.shape.rank else (None, None)
