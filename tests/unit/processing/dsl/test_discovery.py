"""Which tables a function is seen to use."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from streamcore.processing.dsl.app import App
from streamcore.processing.dsl.discovery import tables_used_by

app = App("app")
seen = app.table("seen", key=str, value=int)
other = app.table("other", key=str, value=int)
hidden = {"table": app.table("hidden", key=str, value=int)}


def names(function: Callable[..., Any]) -> list[str]:
    return [store.name for store in tables_used_by(function)]


def count(word: str) -> None:
    seen[word] += 1


def test_a_table_in_the_module_is_found_by_its_name_in_the_code() -> None:
    assert names(count) == ["seen"]


def test_a_table_that_a_called_function_uses_is_found() -> None:
    def outer(word: str) -> None:
        count(word)
        other[word] = 1

    assert names(outer) == ["other", "seen"]


def test_a_table_of_an_enclosing_function_is_found() -> None:
    local = App("local").table("local", key=str, value=int)

    def function(word: str) -> None:
        local[word] = 1

    assert names(function) == ["local"]


def test_a_table_used_in_a_function_inside_is_found() -> None:
    async def function(events: Any) -> None:
        def inner(word: str) -> int:
            return sum(seen[each] for each in word)

        async for event in events:
            inner(event)

    assert names(function) == ["seen"]


def test_wrapped_and_partial_functions_are_looked_through() -> None:
    @functools.wraps(count)
    def wrapped(*arguments: Any) -> None:
        count(*arguments)

    assert names(wrapped) == ["seen"]
    assert names(functools.partial(count, "a")) == ["seen"]


def test_functions_that_call_each_other_end() -> None:
    def ping(left: int) -> None:
        if left:
            pong(left - 1)

    def pong(left: int) -> None:
        seen["x"] = left
        ping(left)

    assert names(ping) == ["seen"]


def test_a_table_reached_through_an_object_is_not_seen() -> None:
    def function(word: str) -> None:
        hidden["table"][word] = 1

    assert names(function) == []


def test_functions_without_code_of_their_own_use_nothing() -> None:
    assert names(len) == []
    assert names(str.upper) == []


def test_a_module_that_is_named_unites_only_the_attribute_that_is_used() -> None:
    tables = types.ModuleType("tables")
    tables.used = app.table("used")  # type: ignore[attr-defined]
    tables.unused = app.table("unused")  # type: ignore[attr-defined]

    def function(word: str) -> None:
        tables.used[word] = 1
        tables.helper()

    assert names(function) == ["used"]


def test_a_function_of_a_module_is_looked_through() -> None:
    helpers = types.ModuleType("helpers")
    helpers.count = count  # type: ignore[attr-defined]

    assert names(lambda word: helpers.count(word)) == ["seen"]


def test_an_attribute_that_is_called_like_a_table_is_none() -> None:
    def function(event: Any) -> Any:
        return event.seen

    assert names(function) == []


def test_a_table_that_is_imported_in_the_function_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tables_of_a_test")
    module.here, module.there = app.table("here"), app.table("there")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tables_of_a_test", module)

    def by_name(word: str) -> None:
        from tables_of_a_test import here  # type: ignore[import-not-found]

        here[word] = 1

    def by_module(word: str) -> None:
        import tables_of_a_test as tables

        tables.there[word] = 1

    assert names(by_name) == ["here"]
    assert names(by_module) == ["there"]


def test_tables_that_are_given_to_a_function_when_it_is_made_are_found() -> None:
    def function(word: str, table: Any = seen, *, more: Any = other) -> None: ...

    assert names(function) == ["other", "seen"]
    assert names(functools.partial(lambda table, word: None, seen)) == ["seen"]


def test_aggregations_are_named_like_tables_of_agents() -> None:
    local = App("local")
    words = local.topic("words", key=str, value=str)
    total, hourly, whole = (
        words.count("total"),
        words.tumbling("1h").count("hourly"),
        words.global_table("whole"),
    )

    def function(word: str) -> None:
        print(total.get(word), hourly.get(word), whole.get(word))

    assert names(function) == ["hourly", "total"]


def test_an_object_that_can_be_called_is_looked_through() -> None:
    class Counter:
        async def __call__(self, events: Any) -> None:
            seen["word"] += 1

    assert names(Counter()) == ["seen"]


def test_agents_that_share_a_module_do_not_share_a_task() -> None:
    local = App("local")
    tables = types.ModuleType("tables")
    tables.a, tables.b = local.table("a"), local.table("b")  # type: ignore[attr-defined]

    @local.agent(local.topic("one", partitions=2))
    async def first(events: Any) -> None:
        tables.a["word"] = 1

    @local.agent(local.topic("two", partitions=3))
    async def second(events: Any) -> None:
        tables.b["word"] = 1

    assert [sub_topology.name for sub_topology in local.plan().sub_topologies] == ["a", "b"]
