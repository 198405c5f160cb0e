"""Where the state of tasks lies, and how names become file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import DirectoryInUseError, UsageError
from streamcore.state.directory import StateDirectory, file_name_of, name_of


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_file_name_gives_the_name_back_and_is_safe(name: str) -> None:
    file_name = file_name_of(name)

    assert name_of(file_name) == name
    assert file_name.isascii()
    assert not set(file_name) & set('/\\:*?"<>| \0')
    assert not file_name.startswith(".")


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_two_names_never_share_a_folder(first: str, second: str) -> None:
    if first != second and (first + second).isprintable():
        assert file_name_of(first) != file_name_of(second)


@pytest.mark.parametrize("name", ["flights", "flights-0", "a_b.c", "0"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert file_name_of(name) == name


@pytest.mark.parametrize("name", ["", "x" * 256, "é" * 100])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        file_name_of(name)


def test_tasks_are_listed_by_the_names_they_were_opened_with(tmp_path: Path) -> None:
    states = StateDirectory(tmp_path / "state")
    for app, task in (("b", "0"), ("a/x", "main-1"), ("a/x", "main-0")):
        states.open(app, task).close()

    assert [(folder.app, folder.task) for folder in states.folders()] == [
        ("a/x", "main-0"),
        ("a/x", "main-1"),
        ("b", "0"),
    ]
    assert [folder.task for folder in states.folders("b")] == ["0"]


def test_nothing_is_listed_where_nothing_is(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path / "state").folders() == []


def test_a_removed_task_is_gone(tmp_path: Path) -> None:
    states = StateDirectory(tmp_path)
    states.open("app", "0").close()

    states.remove("app", "0")
    states.remove("app", "never there")

    assert states.folders() == []


def test_a_task_in_use_is_not_removed(tmp_path: Path) -> None:
    states = StateDirectory(tmp_path)
    engine = states.open("app", "0")

    with pytest.raises(DirectoryInUseError):
        states.remove("app", "0")

    engine.close()
    assert len(states.folders()) == 1


def test_damaged_state_can_be_removed(tmp_path: Path) -> None:
    states = StateDirectory(tmp_path)
    states.open("app", "0").close()
    (states.folder("app", "0").path / "CURRENT").write_bytes(b"garbage")

    states.remove("app", "0")

    assert states.folders() == []
