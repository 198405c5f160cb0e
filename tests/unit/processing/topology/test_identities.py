"""Identities of values: the bytes are equal exactly if the values are one."""

from __future__ import annotations

import enum
import itertools
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from streamcore.errors import UsageError
from streamcore.processing.topology.identities import different_identities, identities, identity_of


class Name(str):
    pass


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: int
    y: int


NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
ONE_EACH: list[list[Any]] = [
    [1, 1.0],
    [True],
    [False],
    [0, 0.0, -0.0],
    [1.5],
    [2**80, float(2**80)],
    [2**80 + 1],
    [math.nan, float("nan")],
    [math.inf],
    ["1", Name("1")],
    [b"1"],
    [None],
    [()],
    [(1, "a"), (1.0, "a")],
    [(True, "a")],
    [(math.nan, "a")],
    [Decimal("1.50"), Decimal("1.5")],
    [date(2025, 3, 1)],
    [NOON, NOON.astimezone(timezone(timedelta(hours=2)))],
    [timedelta(1)],
    [Point(1, 2)],
]
"""Values of one list are one, values of two lists are not."""


@pytest.mark.parametrize("group", ONE_EACH, ids=str)
def test_values_that_are_one_have_one_identity(group: list[Any]) -> None:
    assert len(set(map(identity_of, group))) == 1


def test_values_that_are_not_one_have_different_identities() -> None:
    found = [identity_of(group[0]) for group in ONE_EACH]

    for (first, one), (second, other) in itertools.combinations(enumerate(found), 2):
        assert one != other, (ONE_EACH[first], ONE_EACH[second])


@pytest.mark.parametrize("group", ONE_EACH, ids=str)
def test_many_values_have_the_identities_of_each(group: list[Any]) -> None:
    mixed = [*group, "text", 7, *group, 2**90]

    assert identities(mixed) == [identity_of(value) for value in mixed]
    assert identities(iter(group)) == [identity_of(value) for value in group]
    assert set(different_identities(mixed)) == set(identities(mixed))
    assert set(different_identities(group * 3)) == set(identities(group))


@pytest.mark.parametrize("value", [{"a": 1}, {1}, (1, {}), object()])
def test_values_that_are_no_keys_have_none(value: Any) -> None:
    with pytest.raises(UsageError, match="compared by their bytes"):
        identity_of(value)
