"""The place of a row of `metrics.csv` in a training."""

from __future__ import annotations

from collections.abc import Mapping

EPOCHS_DONE = "epochs_done"  # the column that there is where epochs have several rows


def epochs_done(row: Mapping[str, str]) -> float | None:
    """Returns after how many epochs a row was written, 1.25 for a quarter of the second.

    Arguments:
        row: column → cell.

    Returns:
        The number; None within an epoch of unknown length.

    Raises:
        ValueError: the cell is no number.
    """
    if EPOCHS_DONE not in row:
        return int(row["epoch"])
    return float(row[EPOCHS_DONE]) if row[EPOCHS_DONE] else None
