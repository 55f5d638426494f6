"""Times several ways to read the same data, in turn, and prints how they compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pipeline beside others that read the same data, or, if they are slow, a part of it.

    Arguments:
        title: what is read.
        unit: what is counted.
        contestants: name → a function that makes one pass and returns how many were read; the first is the pipeline.
        bars: name of another contestant → how many times as fast as it the pipeline must be at least.
    """

    title: str
    unit: str
    contestants: dict[str, Callable[[], int]]
    bars: dict[str, float]


def seconds_of(one_pass: Callable[[], int]) -> float:
    start = time.perf_counter()
    one_pass()
    return time.perf_counter() - start


def compare(comparison: Comparison, repeats: int) -> None:
    """Prints the table of a comparison."""
    counts = {name: one_pass() for name, one_pass in comparison.contestants.items()}
    rows = [{name: seconds_of(one_pass) / counts[name] for name, one_pass in comparison.contestants.items()}
            for _ in range(repeats)]
    print(comparison.title)
    ours = next(iter(comparison.contestants))
    for name, count in counts.items():
        seconds = statistics.median(row[name] for row in rows)
        line = f"  {name:32s} {count:8,} {comparison.unit} in {seconds * count:7.3f} s {1 / seconds:12,.0f} {comparison.unit}/s"
        if name != ours:
            ratios = [row[name] / row[ours] for row in rows]
            line += f"   {ours} is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
            line += f", bar {comparison.bars[name]}" if name in comparison.bars else ""
        print(line, flush=True)
