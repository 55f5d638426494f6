"""Where a client's images come from: a folder, one image, a video file or a webcam."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from DataProvider_input_pipeline import extractFilenames, read_image

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_DEFAULT_FRAMES_PER_SECOND = 10.0


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        name: tells it from the others, and serves as a file's name.
        image: `[height, width, bands]`, red first, in the source's own type.
        file: where it comes from; None for frames of a video or a webcam.
    """

    name: str
    image: np.ndarray
    file: Path | None = None


class FileSource:
    """Images in files, one after the other.

    Arguments:
        path: an image, or a folder of such (with those below it); other files in it are left out.

    Raises:
        FileNotFoundError: there is no such image.
    """

    frames_per_second = None  # no video

    def __init__(self, path: str) -> None:
        self.files = [path]
        if os.path.isdir(path):
            self.files = [file for file in extractFilenames(path, "*", raiseOnEmpty=False) if _is_image(file)]
        if not self.files:
            raise FileNotFoundError(f"no image ({', '.join(IMAGE_ENDINGS)}) in the folder client_source = {path!r}.")

    def frames(self) -> Iterator[Frame]:
        """Reads the images when they are asked for."""
        for file in map(Path, self.files):
            yield Frame(file.stem, read_image(str(file)), file)


class VideoSource:
    """Frames of a video file or of a webcam.

    Arguments:
        source: the file, or the webcam's index, 0 for the first one.
        most_frames: how many are read at most; None: to the end, which a webcam has not.

    Raises:
        ValueError: OpenCV cannot open it.
    """

    def __init__(self, source: str | int, *, most_frames: int | None) -> None:
        self.capture = cv2.VideoCapture(source)
        self.most_frames = most_frames
        if not self.capture.isOpened():
            what = f"the webcam {source}" if isinstance(source, int) else f"the video {source!r}"
            raise ValueError(f"client_source: OpenCV cannot open {what}. Give a folder of images, one image, a video file or "
                             "the index of a webcam.")
        told = self.capture.get(cv2.CAP_PROP_FPS)  # 0 or NaN of some webcams
        self.frames_per_second = told if told > 0 else _DEFAULT_FRAMES_PER_SECOND

    def frames(self) -> Iterator[Frame]:
        """Reads frame by frame and closes the video at its end."""
        try:
            for index in itertools.count() if self.most_frames is None else range(self.most_frames):
                is_read, image = self.capture.read()
                if not is_read:
                    return
                yield Frame(f"frame_{index:06d}", cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        finally:
            self.capture.release()


def open_source(source: str | int, *, most_frames: int | None = None) -> FileSource | VideoSource:
    """Opens what a settings file names as `client_source`.

    Arguments:
        source: a folder of images, one image, a video file, or the index of a webcam.
        most_frames: see `VideoSource`.

    Raises:
        FileNotFoundError: there is no such file or folder, or no image in it.
        ValueError: it is of another type, or a video or webcam that cannot be opened.
    """
    if isinstance(source, bool) or not isinstance(source, (str, int)) or source == "":
        raise ValueError("client_source must be a folder of images, one image, a video file, or the index of a webcam (an int). "
                         f"Got {source!r}.")
    if isinstance(source, int):
        return VideoSource(source, most_frames=most_frames)
    if not os.path.exists(source):
        raise FileNotFoundError(f"client_source = {source!r} does not exist. Relative paths start in the current folder, "
                                f"now {os.getcwd()!r}.")
    if os.path.isdir(source) or _is_image(source):
        return FileSource(source)
    return VideoSource(source, most_frames=most_frames)


def _is_image(file: str) -> bool:
    return file.lower().endswith(IMAGE_ENDINGS)
