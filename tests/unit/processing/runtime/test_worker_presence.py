"""One worker of an application at a time: a second one waits, is refused, or takes over at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.client.group_log import MemberSummary
from streamcore.processing.runtime.worker_presence import (
    WorkerPresence,
    address_in,
    client_id_of,
    other_workers,
    presence_id,
    worker_in,
    worker_name,
)


def member(client_id: str) -> MemberSummary:
    return MemberSummary(f"{client_id}-1", None, client_id, "10.0.0.7", ())


class GroupOf:
    """A log whose group has members; each look at them takes some seconds of the clock."""

    def __init__(self, clock: ManualClock, *looks: Sequence[MemberSummary]) -> None:
        self._clock = clock
        self._looks = list(looks)
        self.joined: list[str] = []

    def group_members(self, group: str) -> Sequence[MemberSummary]:
        self._clock.advance(4_000)
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def join_group(self, group: str, topics: object, settings: object, wake: Callable[[], None]) -> _Member:
        self.joined.append(group)
        return _Member()


class _Member:
    def follow(self, owned: object) -> None:
        pass

    def stop(self) -> None:
        pass


def claimed(log: GroupOf, clock: ManualClock) -> WorkerPresence:
    presence = WorkerPresence(log, "app", "mine", clock)  # type: ignore[arg-type]
    asyncio.run(presence.claim(ask_every_s=0))
    return presence


def test_a_second_worker_is_refused_with_the_place_of_the_first() -> None:
    clock = ManualClock()
    log = GroupOf(clock, [member("theirs")])

    with pytest.raises(sc.UsageError, match=r"another worker runs this application.*host=10\.0\.0\.7"):
        claimed(log, clock)
    assert log.joined == []


def test_a_worker_waits_for_the_session_of_one_that_was_killed_elsewhere() -> None:
    clock = ManualClock()
    log = GroupOf(clock, [member("theirs")], [member("theirs")], [])

    claimed(log, clock).close()

    assert log.joined == ["app"]


def test_what_an_earlier_worker_of_the_same_folder_left_behind_is_not_waited_for() -> None:
    clock = ManualClock()
    log = GroupOf(clock, [member("mine")])

    claimed(log, clock).close()

    assert log.joined == ["app"]
    assert other_workers(log, "app", "mine") == []  # type: ignore[arg-type]


def test_a_worker_on_a_folder_is_a_member_of_the_applications_group(tmp_path: Path) -> None:
    app = sc.App("present")
    app.topic("numbers", key=str, value=int).map(lambda number: number, name="same", value=int).to("out")

    with sc.run(app, data=tmp_path) as running:
        own = presence_id(running.log, tmp_path, "present")
        others = other_workers(running.log, "present", own)
    with sc.connect(tmp_path) as log:
        left = log.group_members("present")

    assert (own, others, left) == ("streamcore-worker-embedded", [], ())


def test_a_worker_of_a_broker_has_the_name_of_its_folder(tmp_path: Path) -> None:
    name = worker_name(tmp_path, "app", has_state=True)

    assert worker_name(tmp_path, "app", has_state=True) == name
    assert worker_name(tmp_path / "other", "app", has_state=True) != name
    assert worker_name(tmp_path, "app", has_state=False) != name


def test_what_workers_left_behind_that_shared_the_folder_belongs_to_it() -> None:
    log = GroupOf(ManualClock(), [member("mine-1"), member("mine-12"), member("mine2"), member("theirs")])

    assert [each.client_id for each in other_workers(log, "app", "mine")] == ["mine2", "theirs"]  # type: ignore[arg-type]
    assert len(other_workers(log, "app", "")) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize("address", [None, "10.0.0.7:8080", "[fe80::1]:8080", "host-2.example:80"])
def test_a_client_id_names_the_worker_and_the_address_of_its_server(address: str | None) -> None:
    client_id = client_id_of("streamcore-worker-ab12-3", address)

    assert (worker_in(client_id), address_in(client_id)) == ("streamcore-worker-ab12-3", address)


def test_the_workers_of_a_folder_are_known_by_their_names_wherever_they_answer() -> None:
    class Members:
        def group_members(self, group: str) -> Sequence[MemberSummary]:
            names = ["own", "own@h:1", "own-2", "own-2@h:2", "owner", "owner@h:3", "other@own", "other"]
            return [member(name) for name in names]

    others = other_workers(Members(), "app", "own")  # type: ignore[arg-type]

    assert [each.client_id for each in others] == ["owner", "owner@h:3", "other@own", "other"]
