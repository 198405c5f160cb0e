"""Make the events of the benchmark as lines of JSON, in the order of arrival.

Of each 50 events (a block) the first is a person, the next three are auctions, 46 are bids. All fields of
event ``n`` depend on the seed and the block ``n // 50`` only, so parts of one sequence can be made apart.

* Ids start at 1000. Event ``n`` has the time ``BASE_MS + n * 1000 // rate``.
* Half of the bids are for the hot auction, the first of the current 100 auction ids; the other half are
  spread evenly over the last 100 auctions and 10 ids that are not created yet. Three of four sellers are the
  first of the current 100 persons, three of four bidders the second; the others are spread evenly over the
  last 1,000 persons and 10 ids that are not created yet.
* A price is ``round(100 * 10**U)`` with ``U`` even in [0, 6).
* Half of the bids come by one of four large channels, the others by one of 10,000 small ones; the url names
  the number of a small channel, unless the number ends in 0.
* An auction is open for up to twice the time in which 100 auctions are created.
* ``extra`` pads a person to 200 bytes, an auction to 500, a bid to 100, each within a fifth of the missing
  length. A number counts as 8 bytes; ``seq``, ``event_type``, and a bid's channel and url are not counted.

``out_of_order=g`` permutes the arrival within each ``g`` events: arrival ``a`` of a group is event
``a * 953 % g`` of it. ``late=share`` moves the times of this share of events back by 1 to 60 seconds.
``seq`` is the number of the arrival.

A line is built by formatting texts, without objects: numbers and texts that repeat are converted once, and
the random numbers of a bid are 16 random bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from struct import Struct
from typing import Final

from apps.nexmark.events import AUCTION, BID, PERSON
from streamcore.errors import UsageError, fact_text

BASE_MS: Final = 1_436_918_400_000
"""2015-07-15T00:00:00Z, the time of event 0."""

BLOCK: Final = 50
AUCTIONS: Final = 3
BIDS: Final = 46
FIRST_ID: Final = 1000
HOT_IDS: Final = 100
"""One id of each hundred is hot."""

NEW_AUCTIONS: Final = 100
NEW_PERSONS: Final = 1000
LEAD: Final = 10
"""How many ids that are not created yet are used."""

CATEGORIES: Final = (10, 11, 12, 13, 14)
CHANNELS: Final = ("Google", "Facebook", "Baidu", "Apple")
SMALL_CHANNELS: Final = 10_000
STATES: Final = ("AZ", "CA", "ID", "OR", "WA", "WY")
LATE_MIN_MS: Final = 1_000
LATE_MAX_MS: Final = 60_000

_STRIDE: Final = 953  # a prime: its multiples meet each place of a group once
_CITIES = (
    "Tucson",
    "Oakland",
    "Fresno",
    "Nampa",
    "Salem",
    "Eugene",
    "Tacoma",
    "Spokane",
    "Everett",
    "Laramie",
)
_FIRST_NAMES = (
    "Ada",
    "Alan",
    "Barbara",
    "Edgar",
    "Edsger",
    "Grace",
    "Jim",
    "John",
    "Leslie",
    "Margaret",
    "Niklaus",
)
_LAST_NAMES = ("Backus", "Codd", "Dijkstra", "Gray", "Hamilton", "Hopper", "Lamport", "Liskov", "Wirth")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_fixed = Random(0)
_TEXT = "".join(_fixed.choices(_LETTERS + " ", k=(1 << 16) + 512))
"""Texts are cut out of this one."""

_TEXT_STARTS: Final = 1 << 16
_PATHS = ["/".join("".join(_fixed.choices(_LETTERS, k=5)) for _ in range(3)) for _ in range(1 << 12)]
_BID_PADDING: Final = 100 - 4 * 8
_AUCTION_PADDING: Final = 500 - 7 * 8 - 20 - 100


_CHANNEL_DRAWS: Final = 2 * SMALL_CHANNELS
_CHANNEL_TEXTS: Final = [
    (name, "item.htm?query=1") for name in CHANNELS for _ in range(SMALL_CHANNELS // len(CHANNELS))
] + [
    (f"channel-{number}", f"item.htm?query=1&channel_id={number}" if number % 10 else "item.htm?query=1")
    for number in range(SMALL_CHANNELS)
]
"""The name of a bid's channel and the end of its url: half of them of large channels."""

_NUMBERS: Final = Struct("<IIIHH")
"""The random numbers of a bid: for auction, bidder, channel, price and texts."""

_HALF: Final = 1 << 31
_QUARTER: Final = 1 << 30
_PRICES: Final = [str(round(100 * 10 ** (6 * number / (1 << 16)))) for number in range(1 << 16)]

_Draw = Callable[[], float]
Event = tuple[int, str]
"""The kind of an event, and its fields as JSON without those that say kind and arrival."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides about all events: the seed, and the options of time and order."""

    seed: int = 0
    rate: int = 10_000
    """Events a second of event time."""
    out_of_order: int = 1
    """The length of the groups in which the arrival is permuted."""
    late: float = 0.0
    """The share of events whose time is moved back."""

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise UsageError(f"there is at least one event a second: {fact_text(rate=self.rate)}")
        if self.out_of_order < 1 or (self.out_of_order % _STRIDE == 0):
            raise UsageError(
                f"a group has at least one event, and its length is no multiple of {_STRIDE}: "
                + fact_text(out_of_order=self.out_of_order)
            )
        if not 0 <= self.late <= 1:
            raise UsageError(f"the share of late events is between 0 and 1: {fact_text(late=self.late)}")


def event_lines(recipe: Recipe, count: int, *, first: int = 0) -> Iterator[str]:
    """Yield the lines of the arrivals ``first`` to ``first + count``, without line ends."""
    group = recipe.out_of_order
    group_first = first - first % group
    blocks = _blocks(recipe, group_first)
    if group > 1:
        blocks = _permuted(blocks, group)
    return islice(_lines(blocks, group_first), first - group_first, first - group_first + count)


def _lines(parts: Iterable[list[Event]], seq: int) -> Iterator[str]:
    for events in parts:
        yield from [
            f'{{"event_type":{kind},"seq":{number},{fields}'
            for number, (kind, fields) in enumerate(events, seq)
        ]
        seq += len(events)


def _permuted(blocks: Iterator[list[Event]], group: int) -> Iterator[list[Event]]:
    """Yield groups of events in the order of arrival."""
    order = [arrival * _STRIDE % group for arrival in range(group)]
    events: list[Event] = []
    for block in blocks:
        events += block
        while len(events) >= group:
            yield [events[number] for number in order]
            del events[:group]


def _blocks(recipe: Recipe, first: int) -> Iterator[list[Event]]:
    """Yield the events from ``first`` on, block after block, without end."""
    block = first // BLOCK
    yield _block(recipe, block)[first % BLOCK :]
    while True:
        block += 1
        yield _block(recipe, block)


def _block(recipe: Recipe, block: int) -> list[Event]:
    """Return kind and fields of the 50 events of a block."""
    chance = Random((recipe.seed << 64) + block)
    draw = chance.random
    times = _times(recipe, block)

    # Persons and auctions that exist: this block's person comes first, so all its events may name the person.
    hot_seller = FIRST_ID + block // HOT_IDS * HOT_IDS
    hot_bidder = str(hot_seller + 1)
    known_persons = min(block + 1, NEW_PERSONS)
    first_person = FIRST_ID + block + 1 - known_persons
    near_persons = known_persons + LEAD

    events = [(PERSON, _person(draw, FIRST_ID + block, times[0]))]
    last = block * AUCTIONS - 1
    for place in range(1, AUCTIONS + 1):
        last += 1
        chosen = draw()
        seller = hot_seller if chosen < 0.75 else first_person + int((chosen - 0.75) * 4 * near_persons)
        events.append((AUCTION, _auction(draw, FIRST_ID + last, times[place], seller, recipe.rate)))

    known_auctions = min(last + 1, NEW_AUCTIONS)
    hot_auction = str(FIRST_ID + last // HOT_IDS * HOT_IDS)
    first_auction = FIRST_ID + last + 1 - known_auctions
    near_auctions = known_auctions + LEAD
    texts, paths, prices, channels = _TEXT, _PATHS, _PRICES, _CHANNEL_TEXTS
    least, spread = _padding(_BID_PADDING)
    numbers = _NUMBERS.iter_unpack(chance.randbytes(BIDS * _NUMBERS.size))
    time_texts = _texts_of(times[AUCTIONS + 1 :])
    for time_text, (for_auction, for_bidder, for_channel, for_price, start) in zip(
        time_texts, numbers, strict=True
    ):
        if for_auction < _HALF:
            auction = hot_auction
        else:
            auction = str(first_auction + ((for_auction - _HALF) * near_auctions >> 31))
        if for_bidder >= _QUARTER:
            bidder = hot_bidder
        else:
            bidder = str(first_person + (for_bidder * near_persons >> 30))
        channel, item = channels[for_channel * _CHANNEL_DRAWS >> 32]
        events.append(
            (
                BID,
                f'"auction":{auction},"bidder":{bidder},"price":{prices[for_price]},"channel":"{channel}",'
                f'"url":"https://www.nexmark.com/{paths[start & 4095]}/{item}","dateTime":{time_text},'
                f'"extra":"{texts[start : start + least + start % spread]}"}}',
            )
        )
    return events


def _times(recipe: Recipe, block: int) -> list[int]:
    """Return the times of a block's events. Late events are drawn apart: other fields stay the same."""
    rate, number = recipe.rate, block * BLOCK
    times = [BASE_MS + n * 1000 // rate for n in range(number, number + BLOCK)]
    if recipe.late:
        chance = Random(-1 - (recipe.seed << 64) - block)
        for place in range(BLOCK):
            if chance.random() < recipe.late:
                times[place] -= chance.randint(LATE_MIN_MS, LATE_MAX_MS)
    return times


def _texts_of(times: list[int]) -> list[str]:
    """Return times as texts; most are equal to the one before."""
    texts: list[str] = []
    before, text = -1, ""
    for time in times:
        if time != before:
            before, text = time, str(time)
        texts.append(text)
    return texts


def _padding(missing: int) -> tuple[int, int]:
    """Return the least length of ``extra``, and how many lengths there are from there on."""
    missing = max(missing, 0)
    delta = round(missing * 0.2)
    return missing - delta, 2 * delta + 1


def _person(draw: _Draw, person: int, date_time: int) -> str:
    name = f"{_FIRST_NAMES[int(draw() * len(_FIRST_NAMES))]} {_LAST_NAMES[int(draw() * len(_LAST_NAMES))]}"
    start = int(draw() * _TEXT_STARTS)
    email = f"{_PATHS[start & 4095][:5]}{person}@{_PATHS[start >> 4][:5]}.com"
    card = f"{int(draw() * 10**16):016}"
    card = f"{card[:4]} {card[4:8]} {card[8:12]} {card[12:]}"
    city = _CITIES[int(draw() * len(_CITIES))]
    state = STATES[int(draw() * len(STATES))]
    least, spread = _padding(200 - 2 * 8 - len(name) - len(email) - len(card) - len(city) - len(state))
    end = start + least + int(draw() * spread)
    return (
        f'"id":{person},"name":"{name}","emailAddress":"{email}","creditCard":"{card}","city":"{city}",'
        f'"state":"{state}","dateTime":{date_time},"extra":"{_TEXT[start:end]}"}}'
    )


def _auction(draw: _Draw, auction: int, date_time: int, seller: int, rate: int) -> str:
    initial_bid = round(100 * 10 ** (draw() * 6))
    reserve = initial_bid + round(100 * 10 ** (draw() * 6))
    horizon_ms = NEW_AUCTIONS * BLOCK // AUCTIONS * 1000 // rate
    expires = date_time + 1 + int(draw() * max(1, 2 * horizon_ms))
    category = CATEGORIES[int(draw() * len(CATEGORIES))]
    name, description, extra = (int(draw() * _TEXT_STARTS) for _ in range(3))
    least, spread = _padding(_AUCTION_PADDING)
    end = extra + least + int(draw() * spread)
    return (
        f'"id":{auction},"itemName":"{_TEXT[name : name + 20]}",'
        f'"description":"{_TEXT[description : description + 100]}","initialBid":{initial_bid},'
        f'"reserve":{reserve},"dateTime":{date_time},"expires":{expires},"seller":{seller},'
        f'"category":{category},"extra":"{_TEXT[extra:end]}"}}'
    )
