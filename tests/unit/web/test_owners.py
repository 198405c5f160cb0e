"""Which worker has a task: by the group's description, asked seldom, and kept while the group has none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamcore.errors import RequestTimeoutError, StreamCoreError
from streamcore.log.client.group_log import MemberSummary
from streamcore.model import TopicPartition
from streamcore.processing.runtime.task import TaskId
from streamcore.web.owners import Owner, Owners
from streamcore.web.server import own_address

FIRST, SECOND = Owner("streamcore-worker-a", "h1:80"), Owner("streamcore-worker-b-2", None)


def member(client_id: str, *partitions: tuple[str, int]) -> MemberSummary:
    assignment = tuple(TopicPartition(topic, number) for topic, number in partitions)
    return MemberSummary(f"{client_id}-id", None, client_id, "h", assignment)


def tasks(*numbers: int) -> list[TaskId]:
    return [TaskId("counts", number) for number in numbers]


class Group:
    """A group whose description a test sets, the clock, and how often it was asked."""

    def __init__(self) -> None:
        self.members: Sequence[MemberSummary] | StreamCoreError = []
        self.asked = 0
        self.now_s = 100.0
        self.owners = Owners(
            self._described, lambda: {"orders": "counts", "again": "moved"}, lambda: self.now_s
        )

    def _described(self) -> Sequence[MemberSummary]:
        self.asked += 1
        if isinstance(self.members, StreamCoreError):
            raise self.members
        return self.members


@pytest.fixture
def group() -> Group:
    found = Group()
    found.members = [
        member("streamcore-worker-a@h1:80", ("orders", 0), ("again", 1)),
        member("streamcore-worker-b-2", ("orders", 1), ("another", 0)),
        member("streamcore-worker-c@h3:80"),
    ]
    return found


def test_a_partition_of_a_leading_topic_stands_for_its_task(group: Group) -> None:
    assert group.owners.of(tasks(0, 1, 2)) == {TaskId("counts", 0): FIRST, TaskId("counts", 1): SECOND}
    assert group.owners.of([TaskId("moved", 1)]) == {TaskId("moved", 1): FIRST}
    assert set(group.owners.all()) == {FIRST, SECOND}


def test_the_group_is_asked_once_while_every_task_has_an_owner(group: Group) -> None:
    for _ in range(5):
        group.owners.of(tasks(0, 1))
        group.now_s += 3_600

    assert group.asked == 1


def test_the_group_is_asked_at_most_once_a_second_for_a_task_without_an_owner(group: Group) -> None:
    for _ in range(4):
        assert group.owners.of(tasks(2)) == {}
        group.now_s += 0.5

    assert group.asked == 2

    group.members = [member("streamcore-worker-a@h1:80", ("orders", 2))]
    assert group.owners.of(tasks(2)) == {TaskId("counts", 2): FIRST}


def test_an_owner_that_does_not_have_its_task_is_looked_for_again(group: Group) -> None:
    group.owners.of(tasks(0))
    group.members = [member("streamcore-worker-b-2", ("orders", 0))]
    group.now_s += 0.2

    assert group.owners.of(tasks(0), refused=True) == {TaskId("counts", 0): SECOND}
    assert group.owners.of(tasks(0), refused=True) == {TaskId("counts", 0): SECOND}
    assert group.asked == 2


def test_while_the_members_agree_on_an_assignment_those_that_stay_keep_their_tasks(group: Group) -> None:
    group.owners.of(tasks(0))
    group.now_s += 1
    group.members = [member("streamcore-worker-a@h1:80"), member("streamcore-worker-new@h4:80")]

    assert group.owners.of(tasks(0, 1), refused=True) == {TaskId("counts", 0): FIRST}


def test_without_an_answer_of_the_broker_the_owners_stay_as_they_were(group: Group) -> None:
    group.owners.of(tasks(0))
    group.now_s += 1
    group.members = RequestTimeoutError("the broker does not answer")

    assert group.owners.of(tasks(0), refused=True) == {TaskId("counts", 0): FIRST}
    assert group.asked == 2


@pytest.mark.parametrize(
    ("broker", "address"),
    [
        ("kafka://127.0.0.1:9092", "127.0.0.1"),
        ("kafka://127.0.0.1:9092,10.0.0.7:9092", "127.0.0.1"),
    ],
)
def test_a_server_of_all_addresses_is_reached_where_the_broker_is_reached_from(
    broker: str, address: str
) -> None:
    assert own_address(broker) == address
