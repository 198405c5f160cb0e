"""What a reader holds of a partition: any cut of messages gives the records back, and the end is known."""

from __future__ import annotations

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.client.kafka.buffer import PartitionBuffer
from streamcore.model import TopicPartition

SOURCE = TopicPartition("t", 0)


def message(
    offset: int, value: bytes | None = b"v", headers: list[tuple[str, bytes]] | None = None
) -> Message:
    return Message(
        topic="t", partition=0, offset=offset, key=b"k", value=value, headers=headers, timestamp=(1, offset)
    )


@pytest.mark.slow
@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    cuts=st.lists(st.integers(1, 7), min_size=20, max_size=20),
    bytes_max=st.integers(1, 40),
)
def test_records_come_back_in_order_however_they_came_and_are_taken(
    gaps: list[int], cuts: list[int], bytes_max: int
) -> None:
    offsets = [index + sum(gaps[: index + 1]) for index in range(len(gaps))]
    messages = [
        message(offset, b"%d" % offset * 3, [("h", b"1")] if offset % 5 == 0 else None) for offset in offsets
    ]
    buffer = PartitionBuffer(SOURCE, 0)
    left = list(messages)
    for cut in cuts:
        if left:
            buffer.add(left[:cut])
            left = left[cut:]

    taken = []
    positions = [buffer.position]
    while (run := buffer.take(bytes_max)) is not None:
        taken += run.records()
        positions.append(run.next_offset)

    assert [(record.offset, record.value) for record in taken] == [
        (offset, b"%d" % offset * 3) for offset in offsets
    ]
    assert [record.headers for record in taken] == [
        (("h", b"1"),) if offset % 5 == 0 else () for offset in offsets
    ]
    assert positions == sorted(positions)
    assert buffer.position == offsets[-1] + 1
    assert buffer.size_bytes == 0


def test_the_end_moves_the_position_past_what_is_not_delivered() -> None:
    buffer = PartitionBuffer(SOURCE, 0)
    buffer.add([message(0), message(1)])
    buffer.see_end(5)

    run = buffer.take(1_000)

    assert run is not None
    assert (run.offsets, run.next_offset) == ([0, 1], 5)
    assert buffer.is_at_end()
    assert buffer.take(1_000) is None


def test_columns_may_be_empty_and_move_the_position() -> None:
    buffer = PartitionBuffer(SOURCE, 3)
    buffer.see_end(4)

    run = buffer.take(1_000)

    assert run is not None
    assert (len(run), run.next_offset, buffer.position) == (0, 4, 4)


def test_more_records_after_the_end_was_seen_mean_that_it_is_not_known_any_more() -> None:
    buffer = PartitionBuffer(SOURCE, 0)
    buffer.see_end(0)
    assert buffer.is_at_end()

    buffer.add([message(0)])
    buffer.take(1_000)

    assert not buffer.is_at_end()
