"""The fetch state of a partition: which records are returned next, and the position behind them."""

from __future__ import annotations

from streamcore.log.client.consumer.fetch_state import FetchState
from streamcore.model import FetchedColumns, TopicPartition

PARTITION = TopicPartition("t", 0)


def fetched(*offsets: int, next_offset: int) -> FetchedColumns:
    count = len(offsets)
    return FetchedColumns(
        partition=PARTITION,
        offsets=list(offsets),
        keys=[None] * count,
        values=[b"v"] * count,
        timestamps_ms=[0] * count,
        headers=[()] * count,
        next_offset=next_offset,
    )


def offsets_of(state: FetchState, count_max: int) -> list[int]:
    return [record.offset for record in state.hand_out(count_max)]


def test_the_position_is_behind_the_records_that_were_returned() -> None:
    state = FetchState(10)
    state.keep(fetched(10, 12, 15, next_offset=20))

    assert state.position == 10
    assert (offsets_of(state, 2), state.position) == ([10, 12], 13)
    assert (offsets_of(state, 2), state.position) == ([15], 20)
    assert (offsets_of(state, 2), state.position) == ([], 20)


def test_records_that_are_returned_at_once_move_the_position_to_the_end_of_the_fetch() -> None:
    state = FetchState(0)
    state.keep(fetched(0, 1, next_offset=9))

    assert (offsets_of(state, 2), state.position) == ([0, 1], 9)


def test_a_fetch_without_records_moves_the_position() -> None:
    state = FetchState(5)

    state.keep(fetched(next_offset=8))

    assert state.position == state.fetched_to == 8


def test_a_move_drops_what_was_fetched() -> None:
    state = FetchState(0)
    state.keep(fetched(0, 1, 2, next_offset=3))
    state.hand_out(1)

    state.move(40)

    assert (offsets_of(state, 5), state.position, state.fetched_to) == ([], 40, 40)
