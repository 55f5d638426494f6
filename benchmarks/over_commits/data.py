"""How long a pass over data takes that pipelines read."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NUM_ROWS = 50_000


class TimeSeries:
    """Blocks of rows from a CSV file."""

    timeout = 120

    def setup(self) -> None:
        """Writes the file and builds the pipeline."""
        import numpy as np
        import pandas as pd

        from DataProvider_input_pipeline import FileListProcessor_csv_time_series
        table = pd.DataFrame(np.random.default_rng(0).normal(20, 5, [NUM_ROWS, 8]).round(4)).add_prefix("sensor_")
        table.insert(0, "timestamp", pd.date_range("2020-01-01", periods=NUM_ROWS, freq="min").astype(str))
        table.to_csv("series.csv", index=False)
        self._dataset = FileListProcessor_csv_time_series(["series.csv"], nblines_per_block=100, batch_size=32)

    def time_pass(self) -> None:
        """Once through the file."""
        for _ in self._dataset:
            pass
