"""The CSV part of `data_pipelines.py`: blocks of rows of a time series."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from interleaved_comparison import Comparison

from DataProvider_input_pipeline import FileListProcessor_csv_time_series

NUM_FILES, NUM_ROWS, NUM_SENSORS = 8, 100_000, 8
ROWS_PER_BLOCK, BATCH_SIZE = 100, 32


def write_files(folder: Path) -> list[str]:
    """Files as a logger writes them: a time each minute and the values of some sensors, with four decimals."""
    generator = np.random.default_rng(0)
    paths = [str(folder / f"{2010 + number}.csv") for number in range(NUM_FILES)]
    for number, path in enumerate(paths):
        table = pd.DataFrame(generator.normal(20, 5, [NUM_ROWS, NUM_SENSORS]).round(4)).add_prefix("sensor_")
        times = pd.date_range(f"{2010 + number}-01-01", periods=NUM_ROWS, freq="min")
        table.insert(0, "timestamp", times.strftime("%Y-%m-%d %H:%M:%S"))
        table.to_csv(path, index=False)
    return paths


def num_rows_of(dataset: tf.data.Dataset) -> int:
    """Makes a pass over batches of (blocks, labels)."""
    return sum(int(np.prod(blocks.shape[:2])) for blocks, _ in dataset)


def decoded(*lines: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    time, *values = tf.io.decode_csv(*lines, record_defaults=[""] + [0.0] * NUM_SENSORS)
    return tf.stack(values, axis=-1), time


def decoded_line_by_line(paths: list[str]) -> tf.data.Dataset:
    lines = tf.data.Dataset.from_tensor_slices(paths).flat_map(lambda path: tf.data.TextLineDataset(path).skip(1))
    rows = lines.map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
    return rows.batch(ROWS_PER_BLOCK, drop_remainder=True).batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def decoded_block_by_block(paths: list[str]) -> tf.data.Dataset:
    blocks = tf.data.Dataset.from_tensor_slices(paths).flat_map(
        lambda path: tf.data.TextLineDataset(path).skip(1).batch(ROWS_PER_BLOCK, drop_remainder=True))
    return blocks.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def num_rows_of_tables(paths: list[str], *, text: str) -> int:
    """Reads all files by pandas alone, columns of text into one of its two kinds of storage."""
    with pd.option_context("mode.string_storage", text):
        return sum(len(pd.read_csv(path)) for path in paths)


def block_comparisons(folder: Path) -> list[Comparison]:
    paths = write_files(folder)
    arguments = {"nblines_per_block": ROWS_PER_BLOCK, "batch_size": BATCH_SIZE}
    datasets = {
        "csv_time_series": FileListProcessor_csv_time_series(paths, **arguments),
        "decode_csv, each line": decoded_line_by_line(paths[:1]),
        "decode_csv, lines of a block": decoded_block_by_block(paths),
        "csv_time_series, shuffled": FileListProcessor_csv_time_series(paths, **arguments, shuffle_batches=True, seed=0)}
    contestants = {name: lambda dataset=dataset: num_rows_of(dataset) for name, dataset in datasets.items()}
    contestants["pandas.read_csv alone"] = lambda: num_rows_of_tables(paths, text="python")
    if importlib.util.find_spec("pyarrow"):  # with it, pandas reads text faster; this project does not ask for it
        contestants["pandas.read_csv, pyarrow"] = lambda: num_rows_of_tables(paths, text="pyarrow")
    megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
    title = (f"blocks of {ROWS_PER_BLOCK} rows from {NUM_FILES} CSV files of together {megabytes:.0f} MB (decode_csv of each "
             "line: from one)")
    return [Comparison(title=title, unit="rows", contestants=contestants,
                       bars={"decode_csv, each line": 10, "pandas.read_csv alone": 0.7})]
