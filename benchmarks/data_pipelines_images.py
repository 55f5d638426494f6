"""The image part of `data_pipelines.py`: crops of photographs and of their label maps."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from interleaved_comparison import Comparison
from sklearn.datasets import load_sample_images

from DataProvider_input_pipeline import FileListProcessor_Semantic_Segmentation

HEIGHT, WIDTH = 1000, 1500
NUM_FILES, TIMES_EACH = 24, 4
PATCH, PATCHES_PER_IMAGE, BATCH_SIZE = 256, 8, 8


def write_files(folder: Path) -> tuple[list[str], list[str]]:
    """Photographs as JPEG, enlarged and with the noise of a camera, and label maps of smooth areas as PNG."""
    generator = np.random.default_rng(0)
    photographs = load_sample_images().images
    raw_files = [str(folder / f"{number}.jpg") for number in range(NUM_FILES)]
    reference_files = [str(folder / f"{number}.png") for number in range(NUM_FILES)]
    for number, (raw_file, reference_file) in enumerate(zip(raw_files, reference_files, strict=True)):
        enlarged = cv2.resize(photographs[number % len(photographs)], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(enlarged + generator.normal(0, 4, enlarged.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(raw_file, noisy[..., ::-1])
        cv2.imwrite(reference_file, cv2.GaussianBlur(noisy[..., 0], (0, 0), 9) // 40)
    return raw_files * TIMES_EACH, reference_files * TIMES_EACH


def crops_by_hand(raw_file: str, reference_file: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Reads by OpenCV and copies random crops by NumPy, as they are in the file."""
    raw, labels = cv2.imread(raw_file, cv2.IMREAD_UNCHANGED), cv2.imread(reference_file, cv2.IMREAD_UNCHANGED)
    generator = np.random.default_rng()
    crops = []
    for _ in range(PATCHES_PER_IMAGE):
        row, column = generator.integers([HEIGHT - PATCH + 1, WIDTH - PATCH + 1])
        window = slice(row, row + PATCH), slice(column, column + PATCH)
        crops.append((raw[window].copy(), labels[window].copy()))
    return crops


def crop_comparisons(folder: Path) -> list[Comparison]:
    raw_files, reference_files = write_files(folder)
    num_threads = len(os.sched_getaffinity(0))

    def pass_by_hand() -> int:
        with ThreadPoolExecutor(num_threads) as threads:
            return sum(len(crops) for crops in threads.map(crops_by_hand, raw_files, reference_files))

    def pass_over(**options: object) -> Callable[[], int]:
        dataset = FileListProcessor_Semantic_Segmentation(
            raw_files, reference_files, batch_size=BATCH_SIZE, shuffle_samples=True, patch_ratio_vs_input=PATCH,
            max_patches_per_image=PATCHES_PER_IMAGE, image_area_coverage_factor=np.inf, seed=0, **options)
        return lambda: sum(len(raw) for raw, _ in dataset)

    contestants = {"segmentation": pass_over(), f"OpenCV and NumPy, {num_threads} threads": pass_by_hand,
                   "segmentation, all flips and turns": pass_over(
                       apply_random_flip_left_right=True, apply_random_flip_up_down=True, apply_random_rotate_90=True),
                   "segmentation, cached": pass_over(cache=True)}
    return [Comparison(title=f"{PATCHES_PER_IMAGE} crops of {PATCH} × {PATCH} from each of {len(raw_files)} photographs of "
                             f"{WIDTH} × {HEIGHT} and their label maps", unit="crops", contestants=contestants,
                       bars={f"OpenCV and NumPy, {num_threads} threads": 0.85})]
