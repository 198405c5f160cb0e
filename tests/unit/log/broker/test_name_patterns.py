"""Subscriptions by regular expression: RE2's syntax, whole names, and a bound on what is compiled."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.name_patterns import PATTERN_LENGTH_MAX, compile_pattern

NAMES = st.text("aAbB01._-", min_size=1, max_size=6)


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    """Expressions that Python and RE2 read alike."""
    atoms = ["a", "B", "1", r"\.", "-", ".", "[ab]", "[^a0-9]", r"\d", r"\w", r"[\d_]", "[a-c1]"]
    if depth:
        parts = st.lists(patterns(depth - 1), min_size=1, max_size=2)
        atoms.append("(" + "|".join(draw(parts)) + ")")
        atoms.append("(?:" + "".join(draw(parts)) + ")")
    return "".join(
        draw(st.sampled_from(atoms)) + draw(st.sampled_from(["", "", "*", "+", "?", "{1,2}", "{2}", "+?"]))
        for _ in range(draw(st.integers(1, 3)))
    )


@given(pattern=patterns(), name=NAMES)
def test_names_match_as_they_do_in_python(pattern: str, name: str) -> None:
    assert compile_pattern(pattern).matches(name) == bool(re.fullmatch(pattern, name, re.ASCII))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("orders-.*", "orders-eu", "my-orders-eu"),
        ("^orders$", "orders", "orders2"),
        (r"\Aa\z", "a", "aa"),
        ("(?i)orders", "ORDERS", "order"),
        ("(?i:o)rders", "Orders", "ORDERS"),
        ("(?P<which>a|b)1", "a1", "c1"),
        ("(?<which>a|b)1", "b1", "1"),
        ("[[:alpha:]]+", "abc", "a1"),
        ("[[:^digit:]]+", "abc", "a1"),
        (r"\pL\p{N}", "a1", "11"),
        (r"\P{L}+", "1-2", "a"),
        (r"\Qa.b\E.*", "a.b-c", "axb"),
        (r"\x61\x{62}", "ab", "ba"),
        ("[]a]+", "aa", "b"),
        ("[a-]+", "a-a", "b"),
        ("a{2", "a{2", "aa"),
        ("a|", "a", "b"),
        ("", "", "a"),
    ],
)
def test_the_syntax_of_re_2_is_accepted(pattern: str, matching: str, other: str) -> None:
    compiled = compile_pattern(pattern)

    assert compiled.matches(matching)
    assert not compiled.matches(other)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "(((", "[", "[b-a]", "*a", "a**", "a{3,2}", "a{2000}", "a\\"),
        *(r"\1", "(?=a)", "(?!a)", "(?<=a)", "(?P<a-b>a)", "(?x)a"),
        *("[[:nonsense:]]", r"\p{Klingon}", r"\x{110000}", "a" * (PATTERN_LENGTH_MAX + 1)),
    ],
)
def test_an_expression_outside_the_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(ApiError, match="INVALID_REGULAR_EXPRESSION"):
        compile_pattern(pattern)


@pytest.mark.parametrize("pattern", ["((){1000}){1000}", "((a{100}){100}){100}"])
def test_expressions_that_would_grow_without_end_are_refused(pattern: str) -> None:
    with pytest.raises(ApiError, match="INVALID_REGULAR_EXPRESSION"):
        compile_pattern(pattern)
