"""Where preprocessing should be done: how long each way to resize takes, and how far its picture is from the others.

    python benchmarks/preprocessing.py [--repeats N] [--threads N …]

Prints a Markdown table for a photograph in colour, uint8, from interleaved repetitions. Of each filter all ways are compared with
the first one, by itself on a NumPy array: the median of the ratios of their times, and the greatest difference in grey levels. The
ways: each engine of `resize` outside a graph and, for TensorFlow and Keras, in a `tf.function`, which is how a served model and a
`tf.data` pipeline run it; and the library's own function for all bands at once. A batch is 8 images, one after another where the
library takes one. Each number of threads is measured in a process of its own, since TensorFlow's cannot be changed later; Pillow
always uses one.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import tensorflow as tf
from interleaved_comparison import seconds_of
from PIL import Image
from sklearn.datasets import load_sample_images

from data_pipelines.images.resizing import ENGINES, resize

CHANGES = (((1080, 1920), (224, 224)), ((480, 640), (224, 224)), ((112, 112), (224, 224)))
BATCH_SIZE = 8
OF_OPENCV = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
Way = Callable[[], np.ndarray]


def photographs(sides: tuple[int, int], batch_size: int | None) -> np.ndarray:
    """`[height, width, 3]` or `[batch, height, width, 3]`, with the noise of a camera."""
    smooth = cv2.resize(load_sample_images().images[0], sides[::-1], interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (batch_size or 1, *smooth.shape))
    batch = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return batch if batch_size else batch[0]


def ways_of(images: np.ndarray, size: tuple[int, int], name: str) -> dict[str, Way]:
    """Engine, with where it runs → a function that resizes once; the first one is what the others are compared with."""
    ways: dict[str, Way] = {}
    for engine in ENGINES[name]:
        ways[f"`resize`, {engine}"] = functools.partial(resize, images, size, name, engine)
        if engine in ("tensorflow", "keras"):
            graph = tf.function(functools.partial(resize, size=size, filter=name, engine=engine))
            tensor = tf.constant(images)
            ways[f"`resize`, {engine}, in the graph"] = lambda graph=graph, tensor=tensor: graph(tensor).numpy()
    one = functools.partial(_all_bands, size=size, name=name)
    ways["Pillow itself" if name == "antialias" else "OpenCV itself"] = (
        lambda: np.stack([one(image) for image in images]) if images.ndim == 4 else one(images))
    return ways


def _all_bands(image: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    if name == "antialias":
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
    return cv2.resize(image, size[::-1], interpolation=OF_OPENCV[name])


def print_rows(old: tuple[int, int], new: tuple[int, int], *, batch_size: int | None, repeats: int, num_threads: int) -> None:
    images = photographs(old, batch_size)
    for name in ENGINES:
        ways = ways_of(images, new, name)
        results = {way: one_pass().astype(int) for way, one_pass in ways.items()}  # also traces the graphs
        rows = [{way: seconds_of(one_pass) for way, one_pass in ways.items()} for _ in range(repeats)]
        reference = next(iter(ways))
        for way in ways:
            ratio = statistics.median(row[way] / row[reference] for row in rows)
            difference = np.abs(results[way] - results[reference]).max()
            milliseconds = 1000 * statistics.median(row[way] for row in rows) / (batch_size or 1)
            print(f"| {old[0]} × {old[1]} → {new[0]} × {new[1]} | {batch_size or 1} | {num_threads} | {name} | {way} | "
                  f"{milliseconds:.2f} | {ratio:.2f} | {difference} |", flush=True)


def measure(num_threads: int, repeats: int) -> None:
    """Prints the rows of one number of threads; for a process that has not used TensorFlow yet."""
    cv2.setNumThreads(num_threads)
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    for old, new in CHANGES:
        for batch_size in (None, BATCH_SIZE):
            print_rows(old, new, batch_size=batch_size, repeats=repeats, num_threads=num_threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, len(os.sched_getaffinity(0))}))
    arguments = parser.parse_args()
    if len(arguments.threads) == 1:
        measure(arguments.threads[0], arguments.repeats)
        return
    print("| height × width | images | threads | filter | way | ms an image | time ratio | greatest difference |", flush=True)
    print("| --- | ---: | ---: | --- | --- | ---: | ---: | ---: |", flush=True)
    for num_threads in arguments.threads:
        subprocess.run([sys.executable, __file__, "--repeats", str(arguments.repeats), "--threads", str(num_threads)], check=True)


if __name__ == "__main__":
    main()
