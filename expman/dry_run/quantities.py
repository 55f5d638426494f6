"""Writes durations and sizes for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A duration with two or three digits and a unit that fits."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size(num_bytes: int) -> str:
    """A number of bytes in KiB, MiB or GiB."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes / 2**10:.1f} KiB"
