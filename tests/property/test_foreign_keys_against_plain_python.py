"""Foreign-key joins equal what plain Python computes from the newest rows, whatever was cut or crashed.

Rows of three topics of different numbers of partitions change in random order, and refer to each other. The
application runs in between, in rounds of random size, and its machine fails. Results that are stale within a
run are allowed; at the end every join must be that of the rows which are left.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.testing import TopologyDriver

KEYS = ("a", "b", "c")
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["left", "left", "right", "third"]),
        st.sampled_from(KEYS),
        st.none() | st.integers(0, 9),
        st.integers(0, 5),
    ),
    max_size=40,
)
"""Topic, key, new value or ``None``, time in seconds."""


def referred(value: int) -> str | None:
    """The key that a row refers to; some refer to none, some to one that never has a row."""
    return None if value == 9 else "abcx"[value % 4]


def pair(value: Any, other: Any) -> str:
    return f"{value}-{other}"


def referred_by_text(text: str) -> str | None:
    return referred(int(text[0]))


def application(partitions: int) -> sc.App:
    app = sc.App("foreign")
    left = app.topic("left", key=str, value=int, partitions=partitions).table("lefts")
    right = app.topic("right", key=str, value=int, partitions=3 - partitions).table("rights")
    third = app.topic("third", key=str, value=int, partitions=3).table("thirds")
    inner = left.join(right, pair, on=referred, name="inner-join")
    left.join(right, pair, on=referred, how="left", name="left-join")
    left.join(left, pair, on=referred, how="left", name="own-join")
    right.join(left, pair, on=referred, name="back-join")
    inner.join(third, pair, on=referred_by_text, how="left", name="chained")
    inner.group_by(len, key=int).count("counts")
    return app


def joined(left: dict[str, Any], right: dict[str, Any], on: Any, how: str) -> dict[str, str]:
    found = {key: (value, right.get(on(value))) for key, value in left.items()}
    return {key: pair(*row) for key, row in found.items() if how == "left" or row[1] is not None}


def expected(rows: dict[str, dict[str, int]]) -> dict[str, dict[Any, Any]]:
    left, right, third = rows["left"], rows["right"], rows["third"]
    inner = joined(left, right, referred, "inner")
    return {
        "inner-join": inner,
        "left-join": joined(left, right, referred, "left"),
        "own-join": joined(left, left, referred, "left"),
        "back-join": joined(right, left, referred, "inner"),
        "chained": joined(inner, third, referred_by_text, "left"),
        "counts": Counter(map(len, inner.values())),
    }


@pytest.mark.slow
@settings(phases=[Phase.generate, Phase.explicit], max_examples=25)
@given(CHANGES, st.data())
def test_foreign_key_joins_are_those_of_the_newest_rows(
    changes: list[tuple[str, str, int | None, int]], data: st.DataObject
) -> None:
    app = application(data.draw(st.integers(1, 2), label="partitions"))
    slice_records = data.draw(st.integers(1, 12), label="records in a slice")
    rows: dict[str, dict[str, int]] = {"left": {}, "right": {}, "third": {}}
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

        for table, wanted in expected(rows).items():
            found = {answer.key: answer.value for answer in driver.table(table).all()}
            if table == "counts":
                found = {key: count for key, count in found.items() if count}
            assert found == wanted, table
