"""The formats of dates: their names and their patterns, for Python and TensorFlow alike."""

from __future__ import annotations

_TIME = r"(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
DATE_PATTERNS = {
    "YYYY-MM-DD": (r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _TIME, (1, 2, 3)),
    "DD.MM.YYYY": (r"(\d{1,2})\.(\d{1,2})\.(\d{4})" + _TIME, (3, 2, 1)),
    "DD/MM/YYYY": (r"(\d{1,2})/(\d{1,2})/(\d{4})" + _TIME, (3, 2, 1)),
    "MM/DD/YYYY": (r"(\d{1,2})/(\d{1,2})/(\d{4})" + _TIME, (3, 1, 2)),
}
"""Name of the format → pattern, and which of its groups are year, month and day; 4 to 6 are hour, minute and second."""
