"""The note beside a committed offset."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.processing.runtime.notes import NOTE_LENGTH_MAX, InputNote, note_in
from streamcore.processing.topology.marks import Mark
from streamcore.processing.topology.times import NO_TIME

NOW_MS = 1_700_000_000_000


def test_times_are_read_back() -> None:
    note = InputNote(-5, NOW_MS)

    assert note.text() == f"1 -5 {NOW_MS}"
    assert note_in(note.text()) == note
    assert note_in("") == InputNote(NO_TIME, NO_TIME)


def test_marks_are_read_back_with_the_writers_that_have_none() -> None:
    marks = (
        Mark("orders-0", NOW_MS + 7, is_idle=False),
        Mark("orders-2", NO_TIME, is_idle=True),
        Mark("page-views-1", NOW_MS - 90, is_idle=True),
    )
    note = InputNote(NOW_MS - 1, NOW_MS, NOW_MS - 3, marks)

    assert note.text() == f"2 {NOW_MS - 1} {NOW_MS} {NOW_MS - 3} orders=7,,-i;page-views=,-90i"
    assert note_in(note.text()) == note


def test_marks_before_any_record_are_read_back() -> None:
    note = InputNote(NO_TIME, NO_TIME, NO_TIME, (Mark("orders-0", NOW_MS, is_idle=False),))

    assert note_in(note.text()) == note


def test_marks_of_too_many_writers_are_left_out() -> None:
    marks = tuple(Mark(f"orders-{number}", number * 1_000_000, is_idle=False) for number in range(900))

    text = InputNote(NOW_MS, NOW_MS, NOW_MS, marks).text()

    assert len(text) <= NOTE_LENGTH_MAX
    assert note_in(text) == InputNote(NOW_MS, NOW_MS, NOW_MS)


@pytest.mark.parametrize("note", ["3 5 6", "2 5 6", "1 5", "1 5 6 7", "2 5 6 7 a=1 8", "moved by hand"])
def test_a_note_of_another_program_is_refused(note: str) -> None:
    with pytest.raises(sc.UsageError, match="committed by another program or a newer version"):
        note_in(note)
