"""Nexmark's events: how many of each kind, which ids, prices and times, and the same for the same seed."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import pytest

import streamcore as sc
from apps.nexmark.events import Auction, Bid, Person
from apps.nexmark.generator import BASE_MS, LATE_MAX_MS, LATE_MIN_MS, Recipe, event_lines

COUNT = 20_000


def events_of(recipe: Recipe, count: int, *, first: int = 0) -> list[Any]:
    return [msgspec.json.decode(line) for line in event_lines(recipe, count, first=first)]


def without_arrival(events: list[Any]) -> list[Any]:
    return sorted(
        ({name: value for name, value in event.items() if name != "seq"} for event in events), key=str
    )


@pytest.fixture(scope="module")
def events() -> list[Any]:
    return events_of(Recipe(seed=5), COUNT)


@pytest.fixture(scope="module")
def bids(events: list[Any]) -> list[Any]:
    return [event for event in events if event["event_type"] == 2]


def test_of_fifty_events_one_is_a_person_three_are_auctions_and_the_others_bids(events: list[Any]) -> None:
    kinds = [event["event_type"] for event in events]

    assert kinds == [0, 1, 1, 1, *[2] * 46] * (COUNT // 50)


def test_lines_have_the_fields_of_the_records_in_order() -> None:
    for line in event_lines(Recipe(), 60):
        event = msgspec.json.decode(line)
        kind = (Person, Auction, Bid)[event["event_type"]]

        assert list(event) == list(kind.__struct_fields__)
        assert msgspec.json.encode(msgspec.json.decode(line, type=kind)).decode() == line


def test_ids_start_at_1000_and_have_no_gaps(events: list[Any]) -> None:
    persons = [event["id"] for event in events if event["event_type"] == 0]
    auctions = [event["id"] for event in events if event["event_type"] == 1]

    assert persons == list(range(1000, 1000 + COUNT // 50))
    assert auctions == list(range(1000, 1000 + 3 * COUNT // 50))


def test_times_advance_by_the_rate_from_the_base(events: list[Any]) -> None:
    assert [event["dateTime"] for event in events] == [BASE_MS + number // 10 for number in range(COUNT)]
    assert [event["seq"] for event in events] == list(range(COUNT))


def test_a_part_that_is_made_apart_equals_the_same_part_of_the_whole() -> None:
    for recipe in (Recipe(seed=3), Recipe(seed=3, out_of_order=70, late=0.1)):
        whole = list(event_lines(recipe, 1_000))

        assert list(event_lines(recipe, 333, first=417)) == whole[417:750]


def test_another_seed_gives_other_events_of_the_same_kinds() -> None:
    one, two = events_of(Recipe(seed=1), 500), events_of(Recipe(seed=2), 500)

    assert [event["event_type"] for event in one] == [event["event_type"] for event in two]
    assert [event.get("price") for event in one] != [event.get("price") for event in two]


def test_half_of_the_bids_are_for_the_hot_auction_and_the_others_for_near_ones(bids: list[Any]) -> None:
    hot = 0
    for number, bid in enumerate(bids):
        newest = 1000 + 3 * (number // 46) + 2
        if bid["auction"] == newest - (newest - 1000) % 100:
            hot += 1
        else:
            assert max(1000, newest - 99) <= bid["auction"] <= newest + 10

    assert 0.48 < hot / len(bids) < 0.53  # an even draw also meets the hot one


def test_three_quarters_of_the_bidders_are_hot_and_the_others_near(bids: list[Any]) -> None:
    hot = 0
    for number, bid in enumerate(bids):
        newest = 1000 + number // 46
        if bid["bidder"] == newest - (newest - 1000) % 100 + 1:
            hot += 1
        else:
            assert max(1000, newest - 999) <= bid["bidder"] <= newest + 10

    assert 0.73 < hot / len(bids) < 0.77


def test_three_quarters_of_the_sellers_are_hot(events: list[Any]) -> None:
    auctions = [event for event in events if event["event_type"] == 1]
    hot = 0
    for number, auction in enumerate(auctions):
        newest = 1000 + number // 3
        hot += auction["seller"] == newest - (newest - 1000) % 100
        assert max(1000, newest - 999) <= auction["seller"] <= newest + 10

    assert 0.70 < hot / len(auctions) < 0.80
    assert set(Counter(auction["category"] for auction in auctions)) == {10, 11, 12, 13, 14}
    assert all(auction["dateTime"] < auction["expires"] for auction in auctions)


def test_prices_have_evenly_spread_logarithms(bids: list[Any]) -> None:
    decades = Counter(int(math.log10(bid["price"] / 100)) for bid in bids)

    assert set(decades) == {0, 1, 2, 3, 4, 5}
    assert all(0.15 < count / len(bids) < 0.185 for count in decades.values())


def test_half_of_the_bids_come_by_a_large_channel_and_small_ones_are_in_the_url(bids: list[Any]) -> None:
    channels = Counter(bid["channel"] for bid in bids)
    large = [channels[name] for name in ("Google", "Facebook", "Baidu", "Apple")]
    small = [bid for bid in bids if bid["channel"].startswith("channel-")]
    named = [bid for bid in small if "&channel_id=" in bid["url"]]

    assert all(0.115 < count / len(bids) < 0.135 for count in large)
    assert sum(large) + len(small) == len(bids)
    assert 0.87 < len(named) / len(small) < 0.93
    assert all(bid["url"].endswith("channel_id=" + bid["channel"].partition("-")[2]) for bid in named)
    assert all(len(bid["url"].split("/")) == 7 for bid in bids)


def test_the_average_sizes_are_200_500_and_100_bytes(events: list[Any]) -> None:
    not_counted = ("event_type", "seq", "channel", "url")
    sizes: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for event in events:
        counted = [value for name, value in event.items() if name not in not_counted]
        size = sum(len(value) if isinstance(value, str) else 8 for value in counted)
        sizes[event["event_type"]].append(size)

    for kind, wanted in ((0, 200), (1, 500), (2, 100)):
        assert wanted * 0.98 < sum(sizes[kind]) / len(sizes[kind]) < wanted * 1.02


def test_groups_permute_the_arrival_and_nothing_else() -> None:
    ordered = events_of(Recipe(seed=4), 1_200)

    found = events_of(Recipe(seed=4, out_of_order=120), 1_200)

    assert [event["seq"] for event in found] == list(range(1_200))
    for first in range(0, 1_200, 120):
        group = slice(first, first + 120)
        assert without_arrival(found[group]) == without_arrival(ordered[group])
        assert [event["dateTime"] for event in found[group]] != [
            event["dateTime"] for event in ordered[group]
        ]


def test_late_events_keep_all_but_their_times() -> None:
    in_time = events_of(Recipe(seed=4), 10_000)

    found = events_of(Recipe(seed=4, late=0.05), 10_000)

    delays = [one["dateTime"] - two["dateTime"] for one, two in zip(in_time, found, strict=True)]
    late = [delay for delay in delays if delay]
    assert 0.04 < len(late) / 10_000 < 0.06
    assert all(LATE_MIN_MS <= delay <= LATE_MAX_MS for delay in late)
    prices = [[event.get("price") for event in events] for events in (in_time, found)]
    assert prices[0] == prices[1]


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"out_of_order": 0}, {"out_of_order": 1906}, {"late": 1.5}])
def test_a_recipe_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(sc.UsageError):
        Recipe(**wrong)
