"""When requests take too much memory nobody is read from, but for the one who can end it."""

from __future__ import annotations

from streamcore.log.server.request_memory import RequestMemory


class Reader:
    """A connection that notes whether it would be read from."""

    def __init__(self, memory: RequestMemory, *, is_inside_frame: bool = False) -> None:
        self.is_inside_frame = is_inside_frame
        self.is_read = True
        self._memory = memory
        memory.add(self)

    def read_or_not(self) -> None:
        self.is_read = self._memory.may_read(self)


def test_all_connections_are_read_while_there_is_memory() -> None:
    memory = RequestMemory(1000)
    one, other = Reader(memory), Reader(memory)

    memory.hold(one, 500)
    memory.hold(other, 500)

    assert one.is_read
    assert other.is_read
    assert memory.held_bytes == 1000


def test_no_connection_is_read_at_the_memory_limit_until_a_quarter_is_free() -> None:
    memory = RequestMemory(1000)
    one, other = Reader(memory), Reader(memory)
    memory.hold(one, 600)

    memory.hold(other, 500)
    both_stopped = not one.is_read and not other.is_read
    memory.hold(other, 300)
    still_stopped = not one.is_read
    memory.hold(other, 100)

    assert both_stopped
    assert still_stopped
    assert one.is_read
    assert other.is_read


def test_the_frame_that_began_first_is_read_on_and_then_the_next_one() -> None:
    memory = RequestMemory(1000)
    first, second = Reader(memory, is_inside_frame=True), Reader(memory, is_inside_frame=True)
    memory.hold(first, 600)
    memory.hold(second, 600)
    only_first = first.is_read and not second.is_read

    first.is_inside_frame = False
    memory.hold(first, 900)

    assert only_first
    assert second.is_read
    assert not first.is_read


def test_a_closed_connection_returns_its_memory_and_its_turn() -> None:
    memory = RequestMemory(1000)
    first, second = Reader(memory, is_inside_frame=True), Reader(memory, is_inside_frame=True)
    third = Reader(memory)
    memory.hold(second, 900)
    memory.hold(first, 900)

    memory.remove(first)

    assert memory.held_bytes == 900
    assert second.is_read
    assert not third.is_read
