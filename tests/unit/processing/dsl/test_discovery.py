"""Which tables a function is seen to use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

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
