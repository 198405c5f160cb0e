"""The steps that run ahead of an agent: those without state, if there is one agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.before_agents import steps_before_agent

Declare = Callable[[sc.App, Any], None]


async def follow(events: Any) -> None:
    async for _ in events:
        pass


def mapped(app: sc.App, numbers: Any) -> None:
    app.agent(numbers.map(abs, name="positive").filter(bool, name="some"))(follow)


def counted(app: sc.App, numbers: Any) -> None:
    app.agent(numbers.count("counts").updates())(follow)


def of_two(app: sc.App, numbers: Any) -> None:
    app.agent(numbers)(follow)
    app.agent(numbers.map(abs, name="positive"), name="second")(follow)


def counted_beside(app: sc.App, numbers: Any) -> None:
    app.agent(numbers.map(abs, name="positive"))(follow)
    numbers.count("counts")


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (mapped, {"positive", "some"}),
        (counted_beside, {"positive"}),
        (counted, None),
        (of_two, None),
    ],
)
def test_steps_run_ahead_if_they_keep_nothing_and_lead_to_one_agent(
    declare: Declare, expected: set[str] | None
) -> None:
    app = sc.App("app")
    declare(app, app.topic("numbers", key=str, value=int))
    (sub_topology,) = app.plan().sub_topologies

    found = steps_before_agent(sub_topology)

    assert (None if found is None else {node.name for node in found}) == expected
