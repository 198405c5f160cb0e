"""The header with the source time of a record in a repartition topic."""

from __future__ import annotations

import pytest

from streamcore.model import Headers
from streamcore.processing.topology.marks import Mark, headers_of, marks_in
from streamcore.processing.topology.source_times import (
    HEADER_OF_SOURCE_TIME,
    headers_with_source_times,
    with_source_time,
    without_source_time,
)
from streamcore.processing.topology.times import NO_TIME

FORGED: Headers = ((HEADER_OF_SOURCE_TIME, b"7"),)


def test_a_record_in_order_carries_no_header() -> None:
    assert with_source_time((("a", b"1"),), 5, 5) == (("a", b"1"),)
    assert headers_with_source_times(None, [1, 2], [1, 2]) is None


@pytest.mark.parametrize("headers", [(), (("a", b"1"),), FORGED])
def test_a_record_out_of_order_carries_its_source_time_as_its_last_header(headers: Headers) -> None:
    written = with_source_time(headers, 5, 9)

    assert without_source_time(written, 5) == (9, headers)


def test_a_header_of_the_user_with_that_name_is_not_taken_for_a_source_time() -> None:
    assert without_source_time(with_source_time(FORGED, 5, 5), 5) == (5, FORGED)


@pytest.mark.parametrize("source_time_ms", [5, 9, NO_TIME])
@pytest.mark.parametrize("forged", [FORGED, headers_of([Mark("task-0", 99, is_idle=False)])])
def test_a_record_of_the_user_is_never_taken_for_a_mark_or_a_source_time(
    forged: Headers, source_time_ms: int
) -> None:
    written = with_source_time(forged, 5, source_time_ms)

    assert marks_in(written) == ()
    assert without_source_time(written, 5) == (5 if source_time_ms == NO_TIME else source_time_ms, forged)


def test_a_record_whose_source_has_no_time_carries_none() -> None:
    assert with_source_time((), 5, NO_TIME) == ()
    assert without_source_time((), 5) == (5, ())


def test_only_the_records_of_a_batch_that_need_it_get_the_header() -> None:
    found = headers_with_source_times(None, [1, 2, 3], [1, 4, 4])

    assert found == [(), ((HEADER_OF_SOURCE_TIME, b"4"),), ((HEADER_OF_SOURCE_TIME, b"4"),)]
