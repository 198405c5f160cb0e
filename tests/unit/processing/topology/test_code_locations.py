"""Errors name the line of the user's program that declared or raised, not one of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.errors import TopologyError, UsageError
from streamcore.processing.topology.code_locations import (
    add_fact,
    caller_location,
    declares,
    error_location,
    shown,
)


def line_of(function: Callable[..., Any], offset: int) -> str:
    return f"test_code_locations.py:{function.__code__.co_firstlineno + offset}"


def test_the_place_of_a_declaration_is_the_line_that_made_the_call() -> None:
    found = caller_location()

    assert found.endswith(line_of(test_the_place_of_a_declaration_is_the_line_that_made_the_call, 1))


def fails(_: object) -> None:
    raise ValueError("on purpose")


def test_the_place_of_a_failure_is_the_innermost_line_of_the_user() -> None:
    with pytest.raises(ValueError, match="on purpose") as caught:
        list(map(fails, [1]))

    assert error_location(caught.value).endswith(line_of(fails, 1))


def test_a_failure_within_the_standard_library_is_placed_where_the_user_called_it() -> None:
    import json

    def parse() -> None:
        json.loads("{")

    with pytest.raises(ValueError, match="Expecting") as caught:
        parse()

    assert error_location(caught.value).endswith(line_of(parse, 1))


@declares
def declared(name: str, *, size: int = 0) -> str:
    if size < 0:
        raise UsageError("a size is not negative")
    if size > 9:
        raise TypeError("raised within the function")
    return name


def test_an_error_of_a_declaration_ends_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"not negative: step=sc.declared at=.*test_code_locations\.py:\d+$"):
        declared("a", size=-1)


def test_arguments_that_do_not_fit_are_an_error_of_the_declaration() -> None:
    with pytest.raises(
        TopologyError, match=r"do not fit: reason=.*declared\(\).*'other'.* at=.*test_code_locations"
    ):
        declared("a", other=1)  # type: ignore[call-arg]


def test_an_error_within_the_function_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="raised within the function"):
        declared("a", size=10)


def test_a_fact_is_added_once_and_behind_the_others() -> None:
    error = UsageError("something is wrong: first=1")
    add_fact(error, "at", "here")
    add_fact(error, "at", "there")

    assert str(error) == "something is wrong: first=1 at=here"


@pytest.mark.parametrize(
    ("value", "text"),
    [(len, "len"), (str, "str"), ("a\nb", "'a\\nb'"), ("x" * 200, "'" + "x" * 79 + "...")],
)
def test_a_wrong_argument_is_shown_short_and_on_one_line(value: Any, text: str) -> None:
    assert shown(value) == text
