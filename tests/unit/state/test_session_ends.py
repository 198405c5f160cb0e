"""Sessions are found when they are to close: by their present end, each once, however far they went on."""

from __future__ import annotations

import random

import pytest

from streamcore.state.session_ends import SessionEnds
from streamcore.state.sessions import Session


def session(name: str, end_ms: int) -> Session:
    return Session(name, 0, end_ms, None, None)


def names(sessions: list[Session]) -> list[str]:
    return sorted(found.identity for found in sessions)


def test_sessions_that_end_before_a_time_are_removed_once() -> None:
    ends: SessionEnds[Session] = SessionEnds(10)
    for each in (session("a", 19), session("b", 20), session("c", 21), session("d", 400)):
        ends.add(each)

    assert names(ends.before(20)) == ["a"]
    assert names(ends.before(21)) == ["b"]
    assert names(ends.before(400)) == ["c"]
    assert names(ends.before(401)) == ["d"]
    assert ends.before(10_000) == []


@pytest.mark.parametrize("later_ms", [16, 18, 25, 95])
def test_a_session_that_went_on_is_found_at_its_present_end(later_ms: int) -> None:
    ends: SessionEnds[Session] = SessionEnds(10)
    going_on = session("a", 15)
    ends.add(going_on)
    going_on.end_ms = later_ms

    assert ends.before(later_ms) == []
    assert ends.before(later_ms + 1) == [going_on]


def test_a_session_that_goes_on_while_its_span_is_due_is_found_at_its_present_end() -> None:
    ends: SessionEnds[Session] = SessionEnds(10)
    going_on = session("a", 15)
    ends.add(going_on)
    assert ends.before(12) == []
    going_on.end_ms = 17

    assert ends.before(17) == []
    assert ends.before(18) == [going_on]


def test_a_session_that_begins_in_a_span_that_was_due_is_found() -> None:
    ends: SessionEnds[Session] = SessionEnds(10)
    ends.add(session("a", 15))
    assert ends.before(18) != []
    ends.add(session("b", 18))
    ends.add(session("c", 3))

    assert names(ends.before(19)) == ["b", "c"]


def test_a_session_that_is_not_open_any_more_is_not_returned() -> None:
    ends: SessionEnds[Session] = SessionEnds(10)
    united = session("a", 15)
    ends.add(united)
    assert ends.before(11) == []
    united.is_open = False

    assert ends.before(100) == []


@pytest.mark.parametrize("span_ms", [1, 7, 1_000])
def test_the_sessions_found_are_those_that_a_look_at_all_of_them_finds(span_ms: int) -> None:
    chance = random.Random(span_ms)
    ends: SessionEnds[Session] = SessionEnds(span_ms)
    live: list[Session] = []
    for now_ms in range(0, 2_000, 5):
        for number in range(chance.randrange(3)):
            live.append(session(f"{now_ms}-{number}", now_ms + chance.randrange(200)))
            ends.add(live[-1])
        for each in chance.sample(live, min(4, len(live))):
            each.end_ms += chance.choice([0, 1, 30, 400])

        assert names(ends.before(now_ms)) == names([each for each in live if each.end_ms < now_ms])

        live = [each for each in live if each.end_ms >= now_ms]
