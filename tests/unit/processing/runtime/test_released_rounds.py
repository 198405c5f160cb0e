"""The records of a round leave memory with its end, so that the next fetch can use the same memory."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


class Value:
    """A decoded value; the test sees whether it is still in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def read_from(*names: str) -> tuple[sc.App, Any, list[weakref.ref[Value]]]:
    """Return an application, the stream of its topics' values, and references to all decoded values."""
    app = sc.App("released")
    decoded: list[weakref.ref[Value]] = []

    def decode(data: bytes) -> Value:
        value = Value(data)
        decoded.append(weakref.ref(value))
        return value

    serde = sc.Serde(encode=lambda value: value.data, decode=decode)
    first, *others = [app.topic(name, key=str, value=serde) for name in names]
    return app, first.merge(*others, name="all") if others else first, decoded


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
@pytest.mark.parametrize("step", ["to", "window"])
def test_the_values_of_a_round_are_free_after_it(names: tuple[str, ...], step: str) -> None:
    app, stream, decoded = read_from(*names)
    if step == "to":
        stream.map(lambda value: value.data.decode(), value=str).to("out")
    else:
        stream.tumbling("10s").count("counts").updates().to("out")

    with TopologyDriver(app) as driver:
        for at in (1_000, 2_000):
            for name in names:
                driver.send(name, key="k", value=Value(b"v"), at=at)
            assert driver.read("out")
            assert decoded
            assert [reference for reference in decoded if reference() is not None] == []
            decoded.clear()
