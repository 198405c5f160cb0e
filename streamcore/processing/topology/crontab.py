"""Cron expressions: minute, hour, day of the month, month, day of the week; croniter reads them.

croniter is imported at the first expression. With dateutil it takes 20 ms, and most applications have none.
"""

from __future__ import annotations

from datetime import datetime


def is_crontab(text: str) -> bool:
    """Whether the text is a cron expression."""
    from croniter import croniter

    valid: bool = croniter.is_valid(text)
    return valid


def next_time(expression: str, after: datetime) -> datetime:
    """Return the first time of the expression after a time, in the time zone of that time.

    Raises:
        ValueError: the expression has no such time, as the 30th of February.
    """
    from croniter import croniter

    time: datetime = croniter(expression, after).get_next(datetime)
    return time
