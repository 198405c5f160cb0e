"""Tables made of tables equal what plain Python computes from the newest rows, whatever was cut or crashed.

The rows of two topics change in random order; the application runs in between, in rounds of random size, and
its machine fails. At the end every derived table must be that of the rows which are left.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.testing import TopologyDriver

Rows = dict[str, int]
KEYS = ("a", "b", "c", "d")
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["left", "right"]),
        st.sampled_from(KEYS),
        st.none() | st.integers(0, 9),
        st.integers(0, 5),
    ),
    max_size=40,
)
"""Topic, key, new value or ``None``, time in seconds."""


def bucket(value: int) -> str | None:
    """The group of a row; some rows are in none."""
    return None if value == 9 else f"g{value % 3}"


def pair(left: int | None, right: int | None) -> str:
    return f"{left}-{right}"


def application(partitions: int) -> sc.App:
    app = sc.App("derived", on_error=sc.skip)
    left = app.topic("left", key=str, value=int, partitions=partitions).table("lefts")
    right = app.topic("right", key=str, value=int, partitions=partitions).table("rights")
    even = left.filter(lambda value: value % 2 == 0, name="even")
    left.filter_not(lambda value: value % 2 == 0, name="odd")
    squares = even.map(lambda value: value * value or None, name="squares", value=int)
    for how in ("inner", "left", "outer"):
        left.join(right, pair, how=how, name=f"{how}-join", value=str)
    squares.join(left, pair, how="left", name="with-itself", value=str)
    counts = left.group_by(bucket).count("counts").filter(bool, name="groups")
    sizes = (
        right.group_by(lambda value: f"g{value % 3}", key=str)
        .count("sizes")
        .filter(bool, name="other-groups")
    )
    counts.join(sizes, pair, how="outer", name="both-counts", value=str)
    return app


def expected(left: Rows, right: Rows) -> dict[str, dict[Any, Any]]:
    """The tables, computed from the rows that are there at the end."""
    both, all_keys = left.keys() & right.keys(), left.keys() | right.keys()
    even = {key: value for key, value in left.items() if value % 2 == 0}
    squares = {key: value * value for key, value in even.items() if value}
    groups: dict[str, list[int]] = defaultdict(list)
    for value in left.values():
        if value != 9:
            groups[f"g{value % 3}"].append(value)
    sizes: dict[str, int] = defaultdict(int)
    for value in right.values():
        sizes[f"g{value % 3}"] += 1
    return {
        "even": even,
        "odd": {key: value for key, value in left.items() if value % 2},
        "squares": squares,
        "inner-join": {key: pair(left[key], right[key]) for key in both},
        "left-join": {key: pair(left[key], right.get(key)) for key in left},
        "outer-join": {key: pair(left.get(key), right.get(key)) for key in all_keys},
        "with-itself": {key: pair(square, left[key]) for key, square in squares.items()},
        "groups": {key: len(values) for key, values in groups.items()},
        "both-counts": {
            key: pair(len(groups[key]) if key in groups else None, sizes.get(key))
            for key in groups.keys() | sizes.keys()
        },
    }


def found_in(driver: TopologyDriver, table: str) -> dict[Any, Any]:
    return {answer.key: answer.value for answer in driver.table(table).all()}


@pytest.mark.slow
@settings(phases=[Phase.generate, Phase.explicit])
@given(CHANGES, st.data())
def test_derived_tables_are_those_of_the_newest_rows(
    changes: list[tuple[str, str, int | None, int]], data: st.DataObject
) -> None:
    app = application(data.draw(st.integers(1, 2), label="partitions"))
    slice_records = data.draw(st.integers(1, 12), label="records in a slice")
    rows: dict[str, Rows] = {"left": {}, "right": {}}
    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        rest = changes
        while rest:
            count = data.draw(st.integers(1, len(rest)), label="sent together")
            sent, rest = rest[:count], rest[count:]
            for topic, key, value, seconds in sent:
                driver.send(topic, key=key, value=value, at=seconds * 1_000)
                rows[topic].pop(key, None)
                if value is not None:
                    rows[topic][key] = value
            fault = data.draw(st.sampled_from(["none", "crash", "crash later"]), label="fault")
            if fault == "crash":
                driver.crash()
            elif fault == "crash later":
                driver.crash_at(data.draw(st.integers(1, 60), label="operations until the crash"))
            driver.process()

        for table, wanted in expected(rows["left"], rows["right"]).items():
            assert found_in(driver, table) == wanted, table
