"""The rules of ``rate_limit``, ``dedupe`` and ``sample``, against their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.model import Record
from streamcore.processing.topology.limits import HEADER_OF_KEY, SampleOf, has_room, without_key_header

RECORD = Record[bytes | None, bytes | None](b"k", b"v", 1, topic="t", partition=0, offset=0)


@given(
    st.lists(st.integers(0, 30), max_size=8).map(sorted),
    st.integers(0, 30),
    st.integers(1, 4),
    st.integers(1, 9),
)
def test_a_record_has_room_if_no_span_that_holds_it_has_too_many(
    times_ms: list[int], timestamp_ms: int, count: int, size_ms: int
) -> None:
    with_it = [*times_ms, timestamp_ms]
    # What passed before may be too much itself; only spans with the new record are looked at.
    starts = range(timestamp_ms - size_ms + 1, timestamp_ms + 1)
    fits = all(sum(start <= time < start + size_ms for time in with_it) <= count for start in starts)

    if fits:
        assert has_room(times_ms, timestamp_ms, count, size_ms)
    if all(
        sum(start <= time < start + size_ms for time in times_ms) <= count for start in range(-size_ms, 40)
    ):
        assert has_room(times_ms, timestamp_ms, count, size_ms) == fits


def test_the_newest_header_with_a_key_is_taken_off() -> None:
    headers = (("a", b"1"), (HEADER_OF_KEY, b"old"), (HEADER_OF_KEY, b"new"), ("b", b"2"))

    assert without_key_header(headers) == (b"new", (("a", b"1"), (HEADER_OF_KEY, b"old"), ("b", b"2")))
    assert without_key_header((("a", b"1"),)) == (None, (("a", b"1"),))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_a_sample_keeps_its_fraction(fraction: float) -> None:
    sample = SampleOf("step", fraction, ())

    kept = sum(sample.keeps(_at(offset), 0) for offset in range(4_000))

    assert kept == pytest.approx(4_000 * fraction, abs=150)


def test_two_samples_are_independent_and_each_repeats_itself() -> None:
    first, second = SampleOf("first", 0.5, ()), SampleOf("second", 0.5, ())
    chosen = [first.keeps(_at(offset), 0) for offset in range(2_000)]

    assert chosen == [SampleOf("first", 0.5, ()).keeps(_at(offset), 0) for offset in range(2_000)]
    both = sum(kept and second.keeps(_at(offset), 0) for offset, kept in enumerate(chosen))
    assert both == pytest.approx(500, abs=100)


def test_the_offset_in_an_internal_topic_does_not_decide() -> None:
    sample = SampleOf("step", 0.5, {"t"})

    assert len({sample.keeps(_at(offset), 0) for offset in range(50)}) == 1


def _at(offset: int) -> Record[bytes | None, bytes | None]:
    return Record(b"k", b"v", 1, topic="t", partition=0, offset=offset)
