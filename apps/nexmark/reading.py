"""What the queries read in a value: the rank of a price, the day and the minute of a time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def rank(price: int) -> int:
    """Return the rank of a price in cents: 1 below 10,000, 2 below 1,000,000, else 3."""
    return 1 if price < 10_000 else 2 if price < 1_000_000 else 3


def day(time_ms: int) -> str:
    """Return the day in UTC, ``YYYY-MM-DD``."""
    return _text_of_minute(time_ms // MINUTE_MS)[0]


def minute(time_ms: int) -> str:
    """Return hour and minute in UTC, ``HH:MM``."""
    return _text_of_minute(time_ms // MINUTE_MS)[1]


@lru_cache(maxsize=1024)
def _text_of_minute(number: int) -> tuple[str, str]:
    text = f"{datetime.fromtimestamp(number * 60, UTC):%Y-%m-%d %H:%M}"
    return text[:10], text[11:]
