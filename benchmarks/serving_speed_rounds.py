"""Rounds in which servers are asked in turn, and how their ratios are printed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_speed_servers import Sample, Server


@dataclass(frozen=True)
class Setup:
    """What all measures share.

    Attributes:
        models: the folder of the exported models and their requests.
        rounds: how often each server is asked.
        seconds: how long each time.
        rivals: the folder of the rivals' environments; None: they are left out.
    """

    models: Path
    rounds: int
    seconds: float
    rivals: Path | None


def interleaved(servers: Mapping[str, Server], setup: Setup, *, connections: int) -> dict[str, list[Sample]]:
    """Asks the servers in turn, every other round in the reverse order, and prints what each did."""
    samples: dict[str, list[Sample]] = {name: [] for name in servers}
    for number in range(setup.rounds):
        for name in list(servers)[::-1 if number % 2 else 1]:
            samples[name].append(servers[name].sample(connections=connections, seconds=setup.seconds))
    for name, rounds in samples.items():
        print(f"  {name:26s} {connections} connection{'s' if connections > 1 else ' '}"
              f"{median_of(rounds, requests_per_second):9.0f} requests/s   "
              f"p50 {median_of(rounds, p50_microseconds):6.0f} µs   "
              f"CPU {median_of(rounds, cpu_microseconds):5.0f} µs/request", flush=True)
    return samples


def requests_per_second(sample: Sample) -> float:
    return sample.requests_per_second


def p50_microseconds(sample: Sample) -> float:
    return sample.p50_microseconds


def cpu_microseconds(sample: Sample) -> float:
    return sample.cpu_microseconds


def median_of(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return statistics.median(map(value, samples))


def ratios(above: Sequence[Sample], below: Sequence[Sample], value: Callable[[Sample], float]) -> list[float]:
    """Round by round."""
    return [value(one) / value(other) for one, other in zip(above, below)]


def print_bar(title: str, values: Sequence[float], *, at_most: float | None = None, at_least: float | None = None,
              unit: str = "") -> None:
    """Prints the median of the rounds, their range, and whether it meets the bar."""
    median = statistics.median(values)
    is_met = median <= at_most if at_most is not None else median >= at_least
    bar = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
    print(f"  => {title}: {median:.3g}{unit} ({min(values):.3g} to {max(values):.3g}), bar {bar}{unit}: "
          f"{'met' if is_met else 'MISSED'}", flush=True)
