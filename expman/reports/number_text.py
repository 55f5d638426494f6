"""Numbers for the eyes: four significant digits, and durations in the unit that fits."""

from __future__ import annotations

_SIGNIFICANT_DIGITS = 4
_LEAST_WITH_EXPONENT = 1e9


def number_text(value: float) -> str:
    """Four significant digits, an exponent only where the number would be long: 0.01056, 12346, 1.2e-07."""
    if 10**_SIGNIFICANT_DIGITS - 0.5 <= abs(value) < _LEAST_WITH_EXPONENT:
        return f"{value:.0f}"
    return f"{value:.{_SIGNIFICANT_DIGITS}g}"


def duration_text(seconds: float | None) -> str:
    """'0.73s', '12s', '3m 05s', '2h 07m', '4d 03h'; '' for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.2g}s"
    whole = round(seconds)
    for size, unit, smaller, smaller_size in ((86_400, "d", "h", 3_600), (3_600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller_size:02d}{smaller}"
    return f"{whole}s"


def bytes_text(num_bytes: float) -> str:
    """'512 B', '3.4 kB', '12 MB'."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:  # what is rounded to 1000 is 1 of the next
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{max(size, 1.0):.4g} TB"
