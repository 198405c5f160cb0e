"""Positions are compared partition by partition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import SerdeError
from streamcore.model import TopicPartition
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position, position_note, task_position

SOURCES = st.builds(TopicPartition, st.sampled_from(["a", "b", 'q"ö']), st.integers(0, 3))
POSITIONS = st.builds(Position, st.dictionaries(SOURCES, st.integers(0, 10), max_size=5))


@given(POSITIONS)
def test_text_gives_the_position_back(position: Position) -> None:
    assert Position.from_text(position.to_text()) == position
    assert hash(Position.from_text(position.to_text())) == hash(position)


@given(POSITIONS, POSITIONS)
def test_a_merge_is_the_least_that_covers_both(first: Position, second: Position) -> None:
    merged = first.merge(second)

    assert merged.covers(first)
    assert merged.covers(second)
    assert merged == second.merge(first)
    assert all(offset in (first.get(source), second.get(source)) for source, offset in merged.items())


@given(POSITIONS, POSITIONS)
def test_covering_each_other_is_being_equal_but_for_zeros(first: Position, second: Position) -> None:
    both = first.covers(second) and second.covers(first)

    assert both == all(
        first.get(source, 0) == second.get(source, 0) for source in {*first.keys(), *second.keys()}
    )


def test_a_position_after_a_record_reflects_it() -> None:
    source = TopicPartition("a", 0)

    assert Position({source: 5}).covers(Position.after(source, 4))
    assert not Position({source: 5}).covers(Position.after(source, 5))


@pytest.mark.parametrize("text", ["", "[]", '{"a":1}', '{"a":{"x":1}}', '{"a":{"0":"1"}}'])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(SerdeError, match="not a position"):
        Position.from_text(text)


def test_a_task_has_no_position_before_its_first_commit() -> None:
    engine = MemoryEngine()
    assert task_position(engine) == Position()

    engine.apply([], {}, position_note(Position({TopicPartition("a", 0): 7})))

    assert task_position(engine) == Position({TopicPartition("a", 0): 7})
