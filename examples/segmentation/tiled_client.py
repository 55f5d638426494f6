"""A `Client_IO` that predicts images of any size by overlapping tiles, and shows and scores what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from frame_sources import Frame, open_source
from label_pictures import Colours, grey_levels, overlay, save_comparison, video_frame
from label_scores import LabelScores

from DataProvider_input_pipeline import ImageFitting, assemble_patches, check_field_of_view, grid_patches
from expman.client import to_numpy

_TILES_PER_REQUEST = 8


class TiledClient:
    """Cuts each image of a source into tiles, asks for their classes, and puts the answers together.

    A folder gives one picture an image, with the truth where there is one; a video or a webcam gives a video. They lie in the
    folder `predictions` of the experiment.

    Arguments:
        model_dir: the experiment's folder.
        source: a folder of images, one image, a video file, or the index of a webcam.
        truth_of: what tells the true label map, integers `[height, width]`, of an image file, or None when there is none.
        class_names, colours: a name, and red, green, blue (0 … 255), for each class.
        num_bands: of the images that the model was trained on, 1 (grey) or 3 (red, green, blue); others are converted.
        tile: the side of a tile, in pixels; where an image is smaller, the image's.
        field_of_view: of the network, in pixels: tiles overlap by it, so that borders of tiles cannot be seen in the result.
        most_frames: of a video or webcam.
        output_name: the served output that holds the classes, integers `[batch, height, width]`.
        debug: whether each request is told.

    Raises:
        ValueError, FileNotFoundError: the source or the tiles are not as they must be.
    """

    def __init__(self, model_dir: str, *, source: str | int, truth_of: Callable[[Path], np.ndarray | None],
                 class_names: Sequence[str], colours: Colours, num_bands: int, tile: int, field_of_view: int,
                 most_frames: int | None = None, output_name: str = "classes", debug: bool = False) -> None:
        check_field_of_view(field_of_view, (tile, tile))
        self.source = open_source(source, most_frames=most_frames)
        self.folder = Path(model_dir) / "predictions"
        self.folder.mkdir(exist_ok=True)
        self.truth_of = truth_of
        self.legend = {"class_names": class_names, "colours": colours}
        self.fitting = ImageFitting(image_size=None, resize_mode="none", num_channels=num_bands)
        self.tile = tile
        self.field_of_view = field_of_view
        self.output_name = output_name
        self.debug = debug
        self.scores = LabelScores(len(class_names))
        self.num_finished = 0
        self.video: cv2.VideoWriter | None = None
        self.written: Path | None = None
        self.answer: np.ndarray | None = None
        self.requests = self._requests()

    def getInputData(self, idx: int) -> np.ndarray:
        """The next tiles, float32 `[at most 8, tile, tile, num_bands]`."""
        return next(self.requests)

    def decodeResponse(self, result: Any) -> None:
        self.answer = to_numpy(result.outputs[self.output_name])
        if self.debug:
            print(f"{len(self.answer)} tiles, classes {np.unique(self.answer).tolist()}")

    def finalize(self) -> None:
        self.requests.close()
        if self.video is not None:
            self.video.release()
        if not self.num_finished:
            print("no image was predicted completely: --predict_stream -1 sends all its tiles")
            return
        print(f"{self.num_finished} images predicted, the last one: {self.written}")
        if self.scores.num_pixels:
            print(f"accuracy of the served model: {self.scores.accuracy:.4f} ({self.scores.num_pixels} pixels)")
            print(f"mean IoU of the served model: {self.scores.mean_iou:.4f}")

    def _requests(self) -> Iterator[np.ndarray]:
        """The tiles of all images; an image is finished when the answers for its last tiles are there."""
        for frame in self.source.frames():
            size = frame.image.shape[:2]
            tiles = grid_patches(self._as_trained_on(frame), [min(self.tile, side) for side in size],
                                 field_of_view=self.field_of_view)
            answers = []
            for start in range(0, len(tiles), _TILES_PER_REQUEST):
                yield tiles[start:start + _TILES_PER_REQUEST]
                answers.append(self.answer)
            self._finish(frame, assemble_patches(np.concatenate(answers), size, field_of_view=self.field_of_view))

    def _as_trained_on(self, frame: Frame) -> np.ndarray:
        try:
            return self.fitting.fitted(frame.image.astype(np.float32))
        except ValueError as error:
            raise ValueError(f"{frame.name}: {error}. Choose another client_source.") from error

    def _finish(self, frame: Frame, predicted: np.ndarray) -> None:
        self.num_finished += 1
        if frame.file is None:
            self._add_to_video(video_frame(frame.image, predicted, **self.legend))
            return
        panels = {frame.file.name: grey_levels(frame.image)}
        title = "prediction"
        truth = self.truth_of(frame.file)
        if truth is not None:
            self.scores.add(truth, predicted)
            one = LabelScores(len(self.legend["class_names"]))
            one.add(truth, predicted)
            panels["truth"] = overlay(frame.image, truth, self.legend["colours"])
            title = f"prediction: accuracy {one.accuracy:.3f}, mean IoU {one.mean_iou:.3f}"
        panels[title] = overlay(frame.image, predicted, self.legend["colours"])
        self.written = self.folder / f"{self.num_finished:04d}_{frame.name}.png"  # files of several folders may share a name
        save_comparison(self.written, panels, **self.legend)

    def _add_to_video(self, image: np.ndarray) -> None:
        if self.video is None:
            self.written = self.folder / "prediction.avi"
            height, width = image.shape[:2]
            # Motion JPEG: the one codec that every build of OpenCV writes.
            self.video = cv2.VideoWriter(str(self.written), cv2.VideoWriter.fourcc(*"MJPG"), self.source.frames_per_second,
                                         (width, height))
            if not self.video.isOpened():
                raise OSError(f"OpenCV cannot write {self.written}. Free disk space, or make the folder writable.")
        self.video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
