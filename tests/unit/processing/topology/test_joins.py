"""The span of a join of streams: which records meet, how long rows are kept, and when no match can come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.processing.topology.joins import BUCKET_MS_MIN, JoinSpan

SPANS = st.builds(JoinSpan, st.integers(0, 9_000), st.integers(0, 9_000), st.integers(0, 5_000))
TIMES = st.integers(0, 50_000)


@given(SPANS, TIMES, TIMES)
def test_each_side_reaches_the_other_in_the_same_cases(span: JoinSpan, left_ms: int, right_ms: int) -> None:
    meet = left_ms - span.before_ms <= right_ms <= left_ms + span.after_ms

    assert meet == (
        left_ms - span.reach_back_ms(is_right=False)
        <= right_ms
        <= left_ms + span.reach_ahead_ms(is_right=False)
    )
    assert meet == (
        right_ms - span.reach_back_ms(is_right=True)
        <= left_ms
        <= right_ms + span.reach_ahead_ms(is_right=True)
    )


@given(SPANS, TIMES, TIMES, st.booleans())
def test_a_row_is_given_up_only_when_no_record_in_time_can_meet_it(
    span: JoinSpan, time_ms: int, watermark_ms: int, is_right: bool
) -> None:
    # A record of the other side is in time while its time, its own reach and the grace are not before the
    # watermark.
    others_reach_ms = span.reach_ahead_ms(is_right=not is_right)
    first_in_time_ms = watermark_ms - others_reach_ms - span.grace_ms
    last_partner_ms = time_ms + span.reach_ahead_ms(is_right=is_right)

    if time_ms < span.unmatched_before(watermark_ms):
        assert last_partner_ms < first_in_time_ms


@given(SPANS, TIMES)
def test_a_row_is_given_up_at_the_watermark_that_is_named(span: JoinSpan, time_ms: int) -> None:
    at_ms = span.unmatched_at(time_ms)

    assert not time_ms < span.unmatched_before(at_ms - 1)
    assert time_ms < span.unmatched_before(at_ms)


@given(SPANS, TIMES, st.booleans())
def test_the_partners_of_a_record_lie_in_three_buckets_at_most(
    span: JoinSpan, time_ms: int, is_right: bool
) -> None:
    first_ms = max(0, time_ms - span.reach_back_ms(is_right=is_right))
    last_ms = time_ms + span.reach_ahead_ms(is_right=is_right)

    assert last_ms // span.bucket_ms - first_ms // span.bucket_ms <= 2
    assert span.bucket_ms >= BUCKET_MS_MIN
