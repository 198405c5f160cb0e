"""Queries of tables from the parameters of a request, and their answers as rows; without I/O.

A query is for one key (``key_answer``) or for a range of keys or windows (``span_answer``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from streamcore.durations import duration_ms, time_ms
from streamcore.errors import SerdeError, UsageError, fact_text, with_facts
from streamcore.processing.runtime.table_query import TableQuery
from streamcore.state.position import Position
from streamcore.state.queries import Answer
from streamcore.state.text_forms import (
    answer_row,
    key_text,
    parse_key,
    parse_prefix,
    position_json,
    table_json,
)
from streamcore.web.errors import HttpError

LIMIT_DEFAULT = 1_000
LIMIT_MAX = 10_000
TIMEOUT_DEFAULT_MS = 10_000
TIMEOUT_MAX_MS = 60_000

_LIMIT = re.compile(r"[0-9]{1,5}")
_TIME_MAX_MS = 2**63 - 1

NO_VALUE = "no value"

Words = Mapping[str, str]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The position that an answer must reflect, and how long to wait for it."""

    position: Position
    timeout_ms: int


def freshness_of(words: Words) -> Freshness | None:
    """Parse ``at_least`` and ``timeout``.

    Raises:
        HttpError: ``at_least`` is not a position.
        UsageError: ``timeout`` is not a duration.
    """
    text = words.get("at_least")
    if text is None:
        return None
    timeout_ms = duration_ms(words["timeout"]) if "timeout" in words else TIMEOUT_DEFAULT_MS
    try:
        position = Position.from_text(text)
    except SerdeError as error:
        raise HttpError(400, str(error)) from error
    return Freshness(position, min(timeout_ms, TIMEOUT_MAX_MS))


def limit_of(words: Words) -> int:
    """Return the most rows that an answer may have.

    Raises:
        UsageError: the limit is not a number, or out of bounds.
    """
    text = words.get("limit", str(LIMIT_DEFAULT))
    if not (_LIMIT.fullmatch(text) and 1 <= int(text) <= LIMIT_MAX):
        raise UsageError(with_facts(f"limit is a number from 1 to {LIMIT_MAX}", limit=repr(text)[:50]))
    return int(text)


def ensure_known(words: Words, *known: str) -> None:
    """Refuse unknown parameters: ignoring a typing error would give another answer.

    Raises:
        UsageError: a parameter is not known.
    """
    for word in words:
        if word not in known:
            raise UsageError(
                with_facts("this question has no such parameter", parameter=word, known=",".join(known))
            )


def key_answer(view: TableQuery, text: str, words: Words) -> Json:
    """Answer for one key: its value, or, for a windowed table without ``at``, its windows.

    Raises:
        HttpError: the text is not a key of this table, or the key has no value.
        SerdeError: the stored value does not decode.
        UsageError: the parameters do not fit the table.
    """
    codec = view.keys
    key = parsed_key(view, text)
    if view.is_windowed and "at" not in words:
        ensure_known(words, "since", "until", "limit", "at_least", "timeout")
        since, until = _time(words, "since"), _time(words, "until")
        return _rows(view, lambda: view.windows(key, since, until), limit_of(words))
    ensure_known(words, "at", "at_least", "timeout")
    answer = view.get(key, at=_time(words, "at"))
    if answer is None:
        raise no_value(view, text)
    return {"table": view.name, **answer_row(answer, codec, key)}


def span_answer(view: TableQuery, words: Words) -> Json:
    """Answer for a range: keys ``[from, to)``, keys with a prefix, or windows that start in ``[from, to)``.

    Raises:
        HttpError: a bound is not a key of this table.
        SerdeError: a stored key or value does not decode.
        UsageError: the parameters do not fit the table.
    """
    limit = limit_of(words)
    if view.is_windowed:
        ensure_known(words, "from", "to", "since", "until", "limit", "at_least", "timeout")
        since = _time(words, "since" if "since" in words else "from")
        until = _time(words, "until" if "until" in words else "to")
        return _rows(view, lambda: view.windows_between(since, until), limit)
    ensure_known(words, "from", "to", "prefix", "limit", "at_least", "timeout")
    if "prefix" in words:
        if "to" in words:
            raise UsageError(with_facts("give a prefix, or from and to", table=view.name))
        prefix = _prefix(view, words["prefix"])
        # The next page begins at ``from``.
        begin = max(prefix, parsed_key(view, words["from"])) if "from" in words else prefix
        return _rows(
            view, lambda: takewhile(lambda row: row.key.startswith(prefix), view.range(begin, None)), limit
        )
    start = parsed_key(view, words["from"]) if "from" in words else None
    end = parsed_key(view, words["to"]) if "to" in words else None
    return _rows(view, lambda: view.range(start, end), limit)


def parsed_key(view: TableQuery, text: str) -> Any:
    """Parse a key of the table; another text is the client's error, unlike stored bytes.

    Raises:
        HttpError: 400, the text is no key of the table.
    """
    try:
        return parse_key(view.keys, text)
    except SerdeError as error:
        raise HttpError(400, f"{error} {fact_text(table=view.name)}") from error


def _prefix(view: TableQuery, text: str) -> Any:
    codec = view.keys
    try:
        return parse_prefix(codec, text)
    except SerdeError as error:
        raise HttpError(400, f"{error} {fact_text(table=view.name)}") from error


def no_value(view: TableQuery, text: str) -> HttpError:
    """Return the error for a key without a value."""
    return HttpError(
        404, with_facts("the key has no value", table=view.name, key=text[:100]), reason=NO_VALUE
    )


def table_facts(view: TableQuery, *, is_global: bool) -> Json:
    """Return the description of a table."""
    return {
        "table": view.name,
        **table_json(view.description, is_global=is_global),
        "position": position_json(view.position()),
    }


def _rows(view: TableQuery, ask: Callable[[], Iterator[Answer[Any]]], limit: int) -> Json:
    """Return the first rows, and where the next page begins: ``next`` is the first key that is left out."""
    codec = view.keys
    # Read the position before the rows: the rows are then at least as fresh.
    position = view.position()
    found = ask()
    rows = [answer_row(answer, codec, with_position=False) for answer in islice(found, limit)]
    following = next(found, None)
    reply: Json = {
        "table": view.name,
        "rows": rows,
        "more": following is not None,
        "position": position_json(position),
    }
    if following is not None and not view.is_windowed:
        reply["next"] = key_text(codec, following.key)
    return reply


def _time(words: Words, name: str) -> int | None:
    if name not in words:
        return None
    found = time_ms(words[name])
    if abs(found) > _TIME_MAX_MS:
        raise UsageError(with_facts("a time has at most 64 bits of milliseconds", **{name: words[name][:50]}))
    return found
