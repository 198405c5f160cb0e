"""Operations on one name go on as they came, whatever each waits for and whoever gives up."""

from __future__ import annotations

from streamcore.log.broker.operations import Operation, OperationFuture
from streamcore.log.broker.serial_queue import SerialQueue


def worker(turns: SerialQueue, name: str, mark: str, trace: list[str]) -> Operation[None]:
    turn = yield from turns.take(name)
    trace.append(mark)
    turns.end(name, turn)


def finish(operation: Operation[None]) -> bool:
    """Go on with an operation; whether it has come to its end."""
    return next(operation, None) is None


def holder(turns: SerialQueue, name: str) -> OperationFuture[object]:
    """Somebody whose turn it is."""
    taking = turns.take(name)
    try:
        next(taking)
    except StopIteration as stop:
        promise: OperationFuture[object] = stop.value
        return promise
    raise AssertionError("somebody else has the turn")


def test_tickets_complete_in_their_order_although_the_last_is_waited_for_first() -> None:
    turns, trace = SerialQueue(), list[str]()
    first = holder(turns, "x")
    operations = [worker(turns, "x", mark, trace) for mark in "abc"]
    for operation in operations:
        assert not finish(operation)

    turns.end("x", first)
    assert not finish(operations[2])
    assert not finish(operations[1])
    done = [finish(operation) for operation in operations]

    assert (done, trace) == ([True] * 3, ["a", "b", "c"])


def test_other_names_do_not_wait() -> None:
    turns, trace = SerialQueue(), list[str]()
    holder(turns, "x")

    assert finish(worker(turns, "y", "a", trace))


def test_a_caller_that_gives_up_leaves_the_order_of_the_others() -> None:
    turns, trace = SerialQueue(), list[str]()
    first = holder(turns, "x")
    operations = [worker(turns, "x", mark, trace) for mark in "abcd"]
    for operation in operations:
        next(operation)

    operations[0].close()
    operations[2].close()
    is_early = finish(operations[1])
    turns.end("x", first)
    operations_left = [finish(operations[1]), finish(operations[3])]

    assert not is_early
    assert (operations_left, trace) == ([True, True], ["b", "d"])


def test_a_caller_that_gives_up_at_its_turn_passes_the_turn_on() -> None:
    turns, trace = SerialQueue(), list[str]()
    first = holder(turns, "x")
    operations = [worker(turns, "x", mark, trace) for mark in "ab"]
    for operation in operations:
        next(operation)

    turns.end("x", first)
    operations[0].close()

    assert finish(operations[1])
    assert trace == ["b"]
    assert finish(worker(turns, "x", "c", trace))
