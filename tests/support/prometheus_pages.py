"""Reads pages of metrics for the tests, with Prometheus' official parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def scraped(page: bytes) -> dict[tuple[str, ...], float]:
    """Returns (name, then the labels' values in the order of the labels' names) -> value.

    The parser follows OpenMetrics, where the names of counters end in `_total`, whatever they are called on the page; here they
    are as on the page.
    """
    values = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            name = family.name if family.type == "counter" else sample.name
            key = (name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in values, f"{key} stands twice on the page"
            values[key] = sample.value
    return values
