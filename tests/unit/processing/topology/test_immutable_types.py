"""Which declared types have values that a table can give to a reader without a copy."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import msgspec
import pytest

import streamcore as sc
from streamcore.processing.topology.immutable_types import is_immutable
from streamcore.testing import TopologyDriver


@dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    parent: Frozen | None = None


@dataclass(frozen=True)
class WithList:
    names: list[str]


@dataclass
class Open:
    name: str


class Struct(msgspec.Struct, frozen=True):
    number: int
    inner: Frozen


class OpenStruct(msgspec.Struct):
    number: int


class Pair(NamedTuple):
    left: int
    right: tuple[str, ...]


class Colour(enum.Enum):
    RED = "red"


OrderId = NewType("OrderId", int)


@pytest.mark.parametrize(
    "found",
    [
        *(int, str, bytes, bool, date, Decimal, UUID, Path, Colour, Frozen, Struct, Pair, OrderId),
        *(tuple[int, str], tuple[Frozen, ...], frozenset[int], Literal["a", 1], int | None),
        Annotated[int, msgspec.Meta(ge=0)],
    ],
)
def test_values_without_a_part_that_can_change_are_immutable(found: Any) -> None:
    assert is_immutable(found)


@pytest.mark.parametrize(
    "found",
    [
        *(None, Any, object, list, dict, set, tuple, frozenset, bytearray, float, datetime),
        *(list[int], dict[str, int], tuple[list[int], ...], tuple[float], Sequence[int], int | list[int]),
        *(WithList, Open, OpenStruct, sc.Serde(encode=bytes, decode=bytes)),
    ],
)
def test_values_that_can_change_or_come_back_otherwise_are_not(found: Any) -> None:
    assert not is_immutable(found)


@pytest.mark.parametrize(("kind", "is_shared"), [(Frozen, True), (Open, False)])
def test_an_agent_reads_the_object_that_it_wrote_only_if_that_cannot_change(
    kind: Any, is_shared: bool
) -> None:
    app = sc.App("app")
    names = app.topic("names", key=str, value=str)
    table = app.table("kept", key=str, value=kind)
    seen: list[bool] = []

    @app.agent(names)
    async def keep(events: Any) -> None:
        async for name in events:
            written = kind(name)
            table["k"] = written
            seen.append(table["k"] is written)
            assert table["k"] == written

    with TopologyDriver(app) as driver:
        driver.send(names, key="k", value="a")
        driver.process()

    assert seen == [is_shared]
