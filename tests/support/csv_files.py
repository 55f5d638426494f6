"""CSV files for tests, written by pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def sensor_table(num_rows: int, *, num_sensors: int = 3, first: int = 0) -> pd.DataFrame:
    """A column `time` of texts, and numbers that tell their row and column apart."""
    columns = {f"sensor_{k}": np.round(first + np.arange(num_rows) + (k + 1) / 8, 3) for k in range(num_sensors)}
    return pd.DataFrame({"time": [f"2020-01-01 {first + row:06d}" for row in range(num_rows)], **columns})


def write_table(path: Path, table: pd.DataFrame, **options: object) -> Path:
    table.to_csv(path, index=False, **options)
    return path


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def windows(array: np.ndarray, size: int, shift: int) -> np.ndarray:
    """All whole windows over the rows, one by one."""
    return np.array([array[start:start + size] for start in range(0, len(array) - size + 1, shift)])
