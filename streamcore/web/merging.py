"""Makes one answer of the answers of several workers; without I/O.

Answers are JSON as ``questions`` makes them: rows in the order of their keys, or one row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from streamcore.errors import UsageError, fact_text
from streamcore.processing.runtime.table_query import TableQuery
from streamcore.state.position import Position
from streamcore.state.text_forms import encoded_key, key_text, parse_key, position_json
from streamcore.web.questions import Json


def merged_rows(view: TableQuery, replies: Sequence[Json], limit: int) -> Json:
    """Return the first rows of several answers with rows of different partitions, in order.

    Each answer has at most ``limit`` rows, so a row that one of them leaves out is behind as many others.
    """
    rows = list(
        islice(
            heapq.merge(*(reply["rows"] for reply in replies), key=lambda row: _place(view, row)), limit + 1
        )
    )
    merged: Json = {
        "table": view.name,
        "rows": rows[:limit],
        "more": len(rows) > limit or any(reply["more"] for reply in replies),
        "position": merged_position(reply["position"] for reply in replies),
    }
    if merged["more"] and not view.is_windowed:
        left_out = [encoded_key(view.keys, row["key"]) for row in rows[limit:]]
        left_out += [
            view.keys.encode(parse_key(view.keys, reply["next"])) for reply in replies if reply["more"]
        ]
        merged["next"] = key_text(view.keys, view.keys.decode(min(left_out)))
    return merged


def only_answer(view: TableQuery, text: str, replies: Iterable[Json]) -> Json | None:
    """Return the answer for a key that one of several groups of partitions has, or ``None``.

    Raises:
        UsageError: an agent wrote the key in several partitions.
    """
    found = list(replies)
    if len(found) > 1:
        raise UsageError(
            "the key has values in several partitions: the agent's topic has another key than the table; let "
            "the agent follow topic.group_by(...), or ask for all rows: "
            + fact_text(
                table=view.name, key=text[:100], partitions=",".join(str(each["partition"]) for each in found)
            )
        )
    return found[0] if found else None


def merged_position(positions: Iterable[Any]) -> Json:
    """Return the least position, as JSON, that covers all these."""
    merged = Position()
    for position in positions:
        merged = merged.merge(Position.from_json(position))
    return position_json(merged)


def _place(view: TableQuery, row: Json) -> tuple[int, bytes]:
    return row.get("start_ms", 0), encoded_key(view.keys, row["key"])
