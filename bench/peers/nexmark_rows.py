"""Nexmark's queries as functions of one bid, for peers whose programs are written in Python.

``ROWS`` has the queries that need nothing but the bid: a function returns the columns of the result, or
``None`` if the bid has no row. ``FOLDS`` has those that keep something of earlier bids.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

Event: TypeAlias = dict[str, Any]
Row: TypeAlias = list[Any]

SIDE_ROWS: Final = 10_000
DAY_MS: Final = 86_400_000

_LARGE_CHANNELS: Final = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
_find_channel_id: Final = re.compile(r"[?&]channel_id=([^&#]*)").search
_TEXTS: Final = {number: str(number) for number in range(SIDE_ROWS)}


def q0(bid: Event) -> Row:
    """Return the bid."""
    return [bid["auction"], bid["bidder"], bid["price"], bid["dateTime"], bid["extra"]]


def q1(bid: Event) -> Row:
    """Return the bid in another currency."""
    return [bid["auction"], bid["bidder"], bid["price"] * 908, bid["dateTime"], bid["extra"]]


def q2(bid: Event) -> Row | None:
    """Return a bid in some of the auctions."""
    return [bid["auction"], bid["price"]] if bid["auction"] % 123 == 0 else None


def q10(bid: Event) -> Row:
    """Return the bid with its day and minute."""
    time = datetime.fromtimestamp(bid["dateTime"] / 1000, UTC)
    day, minute = f"{time:%Y-%m-%d}", f"{time:%H:%M}"
    return [day, minute, bid["auction"], bid["bidder"], bid["price"], bid["dateTime"], bid["extra"]]


def q13(bid: Event) -> Row:
    """Return the bid with the text of a side table in memory."""
    text = _TEXTS[bid["auction"] % SIDE_ROWS]
    return [bid["auction"], bid["bidder"], bid["price"], bid["dateTime"], text]


def q14(bid: Event) -> Row | None:
    """Return a bid of a certain size with the time of day."""
    price = bid["price"] * 908
    if not 1_000_000_000 < price < 50_000_000_000:
        return None
    hour = bid["dateTime"] // 3_600_000 % 24
    time = "dayTime" if 8 <= hour <= 18 else "nightTime" if hour <= 6 or hour >= 20 else "otherTime"
    extra = bid["extra"]
    return [bid["auction"], bid["bidder"], price, time, bid["dateTime"], extra, extra.count("c")]


def q21(bid: Event) -> Row | None:
    """Return the bid with the number of its channel."""
    channel_id = _LARGE_CHANNELS.get(bid["channel"].lower())
    if channel_id is None:
        found = _find_channel_id(bid["url"])
        if found is None:
            return None
        channel_id = found[1]
    return [bid["auction"], bid["bidder"], bid["price"], bid["channel"], channel_id]


def q22(bid: Event) -> Row:
    """Return the bid with the directories of its url."""
    parts = [*bid["url"].split("/"), "", "", ""]
    return [bid["auction"], bid["bidder"], bid["price"], bid["channel"], *parts[3:6]]


ROWS: Final[dict[str, Callable[[Event], Row | None]]] = {
    query.__name__: query for query in (q0, q1, q2, q10, q13, q14, q21, q22)
}


def q17(known: Row | None, bid: Event) -> tuple[Row, Row]:
    """Add a bid to the numbers of its auction and day; return what is known and the row."""
    price = bid["price"]
    count, ranks, low, high, total = known or [0, [0, 0, 0], price, price, 0]
    count, total, low, high = count + 1, total + price, min(low, price), max(high, price)
    rank = 0 if price < 10_000 else 1 if price < 1_000_000 else 2
    ranks = [number + (index == rank) for index, number in enumerate(ranks)]
    day = f"{datetime.fromtimestamp(bid['dateTime'] / 1000, UTC):%Y-%m-%d}"
    row = [bid["auction"], day, count, *ranks, low, high, total // count, total]
    return [count, ranks, low, high, total], row


def q18(known: Event | None, bid: Event) -> tuple[Event, Row]:
    """Return the later one of the last bid of a bidder in an auction and another one, and the row."""
    last = bid
    if known is not None and (known["dateTime"], known["seq"]) > (bid["dateTime"], bid["seq"]):
        last = known
    columns = [last["auction"], last["bidder"], last["price"], last["channel"], last["url"]]
    return last, [*columns, last["dateTime"], last["extra"]]


FOLDS: Final[dict[str, Callable[[Any, Event], tuple[Any, Row]]]] = {"q17": q17, "q18": q18}


def key_within_auction(query: str, bid: Event) -> str:
    """Return what the bids of an auction are told apart by: the day for q17, the bidder for q18."""
    return str(bid["dateTime"] // DAY_MS if query == "q17" else bid["bidder"])
