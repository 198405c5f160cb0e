"""Which group is woken when: never too late, and putting off costs nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.broker.deadlines import NEVER_S, Deadlines


def test_the_earliest_moment_of_a_group_counts() -> None:
    deadlines = Deadlines()
    deadlines.wake("g", 5.0)
    deadlines.wake("g", 3.0)
    deadlines.wake("g", 9.0)

    assert deadlines.next_s == 3.0
    assert deadlines.take_due(2.9) == []
    assert deadlines.take_due(3.0) == ["g"]
    assert deadlines.next_s == NEVER_S


def test_groups_are_called_in_the_order_of_their_deadlines() -> None:
    deadlines = Deadlines()
    for name, moment_s in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        deadlines.wake(name, moment_s)

    assert deadlines.take_due(2.0) == ["a", "b"]
    assert deadlines.next_s == 3.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=60))
def test_every_group_is_called_once_at_its_earliest_deadline(wishes: list[tuple[str, int]]) -> None:
    deadlines = Deadlines()
    for name, moment_s in wishes:
        deadlines.wake(name, moment_s)
    expected: dict[str, int] = {}
    for name, moment_s in wishes:
        expected[name] = min(moment_s, expected.get(name, moment_s))

    woken = {name: now_s for now_s in range(21) for name in deadlines.take_due(now_s)}

    assert woken == expected


def test_a_group_that_is_brought_forward_again_and_again_leaves_no_heap_behind() -> None:
    deadlines = Deadlines()

    for moment_s in range(100_000, 0, -1):
        deadlines.wake("g", moment_s)

    assert len(deadlines._heap) < 200
    assert deadlines.next_s == 1
