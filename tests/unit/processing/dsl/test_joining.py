"""Declarations of joins: former names."""

from __future__ import annotations

import pytest

from streamcore.errors import TopologyError
from streamcore.processing.dsl.app import App


def test_the_former_name_of_the_joined_table_still_works_with_a_warning() -> None:
    app = App("app")
    values = app.topic("values", key=str, value=int)
    newest = app.topic("others", key=str, value=int).table("newest")

    with pytest.warns(DeprecationWarning, match="other="):
        joined = values.join(table=newest, function=lambda value, other: value)  # type: ignore[call-overload]

    assert joined.node.table is newest.node


def test_a_join_without_a_stream_or_table_is_refused() -> None:
    values = App("app").topic("values", key=str, value=int)

    with pytest.raises(TopologyError, match="a stream joins a stream, a table"):
        values.join(how="left")  # type: ignore[call-overload]
