"""Columns are cut into parts that fit, in order and without a loss."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.client.producer.batch_cuts import cut_into_parts, cut_to_fit
from streamcore.model import Headers, RecordColumns

ROWS = st.lists(
    st.tuples(st.none() | st.binary(max_size=30), st.none() | st.binary(max_size=60), st.booleans()),
    min_size=1,
    max_size=30,
)


def columns_of(rows: list[tuple[bytes | None, bytes | None, bool]], *, with_headers: bool) -> RecordColumns:
    headers: list[Headers] = [(("h", b"x"),) if marked else () for _, _, marked in rows]
    return RecordColumns(
        [key for key, _, _ in rows],
        [value for _, value, _ in rows],
        list(range(len(rows))),
        headers if with_headers else None,
    )


@given(rows=ROWS, bytes_max=st.integers(1, 300), with_headers=st.booleans())
def test_parts_fit_or_are_one_record_and_give_the_columns_back(
    rows: list[tuple[bytes | None, bytes | None, bool]], bytes_max: int, with_headers: bool
) -> None:
    columns = columns_of(rows, with_headers=with_headers)

    parts = list(cut_to_fit(columns, bytes_max))

    assert all(part.measure() <= bytes_max or len(part) == 1 for part in parts)
    assert joined(parts) == columns


@given(rows=ROWS, bytes_wanted=st.integers(1, 300))
def test_parts_of_equal_counts_give_the_columns_back(
    rows: list[tuple[bytes | None, bytes | None, bool]], bytes_wanted: int
) -> None:
    columns = columns_of(rows, with_headers=False)

    parts = cut_into_parts(columns, bytes_wanted)

    assert joined(parts) == columns
    assert len({len(part) for part in parts[:-1]}) <= 1


def joined(parts: list[RecordColumns]) -> RecordColumns:
    whole = RecordColumns()
    for part in parts:
        whole.extend(part)
    return whole


def test_the_size_of_columns_grows_with_them_and_is_not_that_of_their_parts() -> None:
    grown = RecordColumns([b"k"], [b"value"], [1])
    before = grown.measure()
    more = RecordColumns([None, b"key"], [b"v", None], [2, 3], [(("h", b"1"),), ()])

    grown.extend(more)

    assert grown.measure() == RecordColumns(grown.keys, grown.values, [1, 2, 3], grown.headers).measure()
    assert grown.slice(0, 1).measure() == before
    assert grown.take([1, 2]).measure() == more.measure()
