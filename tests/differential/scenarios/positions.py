"""OffsetCommit, OffsetFetch and OffsetDelete: positions of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamcore.log.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from streamcore.log.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from tests.differential.conversation import NO_TOPIC, Conversation, Topic
from tests.differential.registry import invalid, valid
from tests.differential.scenarios.groups import joined

_INT64_MAX: Final = 2**63 - 1


def commit_request(
    group: str, topic: Topic, *positions: tuple[int, int], metadata: str | None = "", **fields: Any
) -> OffsetCommitRequest:
    """A request to commit positions in a topic: numbers of partitions, each with an offset."""
    epoch = fields.pop("committed_leader_epoch", -1)
    partitions = [
        OffsetCommitRequestPartition(
            partition_index=each,
            committed_offset=offset,
            committed_leader_epoch=epoch,
            committed_metadata=metadata,
        )
        for each, offset in positions
    ]
    topics = [OffsetCommitRequestTopic(name=topic.name, topic_id=topic.topic_id, partitions=partitions)]
    return OffsetCommitRequest(**{"group_id": group, "member_id": "", "topics": topics} | fields)


def fetch_request(
    group: str, topics: Sequence[tuple[Topic, Sequence[int]]] | None, **fields: Any
) -> OffsetFetchRequest:
    """A request for the positions of a group, in the words of before and of now."""
    request = OffsetFetchRequest(group_id=group, topics=None if topics is None else [], groups=[], **fields)
    request.groups.append(OffsetFetchRequestGroup(group_id=group, topics=None if topics is None else []))
    for topic, numbers in topics or ():
        request.topics.append(OffsetFetchRequestTopic(name=topic.name, partition_indexes=list(numbers)))  # type: ignore[union-attr]
        named = OffsetFetchRequestTopics(
            name=topic.name, topic_id=topic.topic_id, partition_indexes=list(numbers)
        )
        request.groups[0].topics.append(named)  # type: ignore[union-attr]
    return request


@valid("OffsetCommit")
def positions_of_nobody_are_committed(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    group = talk.name("group")

    talk.ask(commit_request(group, topic, (0, 5), (1, 0), metadata="note"))
    talk.ask(commit_request(group, topic, (0, 3), metadata=None, committed_leader_epoch=7))
    talk.ask(fetch_request(group, [(topic, [0, 1])]))


@valid("OffsetCommit")
def a_member_commits_its_positions(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")
    member, generation = joined(talk, group)

    talk.ask(commit_request(group, topic, (0, 5), member_id=member, generation_id_or_member_epoch=generation))


@invalid("OffsetCommit")
def who_is_no_member_does_not_commit(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")
    member, generation = joined(talk, group)

    for who, when in (
        (member, generation + 1),
        (member, generation - 1),
        (member, -1),
        ("nobody", generation),
        ("nobody", -1),
        ("", -1),
        ("", generation),
    ):
        talk.ask(commit_request(group, topic, (0, 5), member_id=who, generation_id_or_member_epoch=when))


@invalid("OffsetCommit")
def nobody_commits_for_a_group_without_members(talk: Conversation) -> None:
    topic = talk.make_topic()

    for who, when in (("somebody", -1), ("", 0), ("somebody", 3)):
        group = talk.name(f"{who}{when}")
        talk.ask(commit_request(group, topic, (0, 5), member_id=who, generation_id_or_member_epoch=when))


@invalid("OffsetCommit")
def what_is_not_there_has_no_position(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")

    talk.ask(commit_request(group, NO_TOPIC, (0, 5)))
    talk.ask(commit_request(group, topic, (0, 5), (1, 5), (-1, 5)))
    talk.ask(commit_request(group, topic))
    talk.ask(commit_request(group, topic, (0, 5), topics=[]))


@invalid("OffsetCommit")
def impossible_positions(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")

    for offset in (-1, -2, 100, _INT64_MAX):
        talk.ask(commit_request(group, topic, (0, offset)))
        talk.ask(fetch_request(group, [(topic, [0])]))
    talk.ask(commit_request(group, topic, (0, 1), metadata="x" * 4096))
    talk.ask(commit_request(group, topic, (0, 2), metadata="x" * 4097))
    talk.ask(commit_request(group, topic, (0, 1), (0, 2)))
    talk.ask(fetch_request(group, [(topic, [0])]))


@invalid("OffsetCommit")
def a_group_has_a_name(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(commit_request("", topic, (0, 5)))
    talk.ask(fetch_request("", [(topic, [0])]))


@invalid("OffsetCommit", since=7)
def an_instance_that_is_not_there_does_not_commit(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")
    member, generation = joined(talk, group, group_instance_id="instance")

    for who, instance in ((member, "other"), ("nobody", "instance"), (member, "instance"), (member, None)):
        talk.ask(
            commit_request(
                group,
                topic,
                (0, 5),
                member_id=who,
                group_instance_id=instance,
                generation_id_or_member_epoch=generation,
            )
        )


@valid("OffsetFetch")
def positions_are_told(talk: Conversation) -> None:
    topic, other = talk.make_topic(partitions=2), talk.make_topic("other")
    group = talk.name("group")
    talk.prepare(commit_request(group, topic, (0, 5), metadata="note", committed_leader_epoch=3))
    talk.prepare(commit_request(group, other, (0, 7)))

    talk.ask(fetch_request(group, [(topic, [0, 1]), (other, [0])]))
    if talk.version >= 2:
        talk.ask(fetch_request(group, None))
    if talk.version >= 7:
        talk.ask(fetch_request(group, [(topic, [0])], require_stable=True))


@valid("OffsetFetch", since=8)
def positions_of_several_groups_are_told(talk: Conversation) -> None:
    topic = talk.make_topic()
    groups = [talk.name(role) for role in ("one", "other")]
    for number, group in enumerate(groups):
        talk.prepare(commit_request(group, topic, (0, number)))

    request = fetch_request(groups[0], [(topic, [0])])
    request.groups += fetch_request(groups[1], None).groups
    talk.ask(request)


@invalid("OffsetFetch")
def what_was_never_committed_has_no_position(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")

    talk.ask(fetch_request(group, [(topic, [0, 1, -1])]))
    talk.ask(fetch_request(group, [(NO_TOPIC, [0])]))
    talk.ask(fetch_request(group, []))
    talk.ask(fetch_request("", [(topic, [0])]))
    if talk.version >= 2:
        talk.ask(fetch_request(group, None))
        talk.ask(fetch_request("", None))
    talk.prepare(commit_request(group, topic, (0, 5)))
    talk.ask(fetch_request(group, [(topic, [0, 0, 4]), (NO_TOPIC, [0])]))
    talk.ask(fetch_request(group, [(topic, [0]), (topic, [0])]))


@invalid("OffsetFetch", since=9)
def who_is_no_member_is_told_nothing(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")
    member, generation = joined(talk, group)
    talk.prepare(
        commit_request(group, topic, (0, 5), member_id=member, generation_id_or_member_epoch=generation)
    )

    for who, epoch in (
        (member, generation),
        (member, generation + 1),
        ("nobody", generation),
        (None, 5),
        ("", 0),
    ):
        request = fetch_request(group, [(topic, [0])])
        request.groups[0].member_id, request.groups[0].member_epoch = who, epoch
        talk.ask(request)
    unknown = fetch_request(talk.name("no-group"), [(topic, [0])])
    unknown.groups[0].member_id, unknown.groups[0].member_epoch = "nobody", 1
    talk.ask(unknown)


def delete_request(group: str, topic: Topic, *numbers: int) -> OffsetDeleteRequest:
    """A request to forget positions in a topic."""
    partitions = [OffsetDeleteRequestPartition(partition_index=each) for each in numbers]
    topics = [OffsetDeleteRequestTopic(name=topic.name, partitions=partitions)]
    return OffsetDeleteRequest(group_id=group, topics=topics)


@valid("OffsetDelete")
def positions_are_forgotten(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    group = talk.name("group")
    talk.prepare(commit_request(group, topic, (0, 5), (1, 6)))

    talk.ask(delete_request(group, topic, 0))
    talk.ask(fetch_request(group, [(topic, [0, 1])]))
    talk.ask(delete_request(group, topic, 0, 1))
    talk.ask(fetch_request(group, None))


@invalid("OffsetDelete")
def positions_in_use_are_not_forgotten(talk: Conversation) -> None:
    topic, other = talk.make_topic(), talk.make_topic("other")
    group = talk.name("group")
    member, generation = joined(talk, group, topics=[topic.name])
    for each in (topic, other):
        who: dict[str, Any] = {"member_id": member, "generation_id_or_member_epoch": generation}
        talk.prepare(commit_request(group, each, (0, 5), **who))

    talk.ask(delete_request(group, topic, 0))
    talk.ask(delete_request(group, other, 0))


@invalid("OffsetDelete")
def what_is_not_there_is_not_forgotten(talk: Conversation) -> None:
    topic = talk.make_topic()
    group = talk.name("group")

    talk.ask(delete_request(group, topic, 0))
    talk.ask(delete_request("", topic, 0))
    talk.prepare(commit_request(group, topic, (0, 5)))
    talk.ask(delete_request(group, topic, 0, 1, -1))
    talk.ask(delete_request(group, NO_TOPIC, 0))
    talk.ask(OffsetDeleteRequest(group_id=group, topics=[]))
    talk.ask(OffsetDeleteRequest(group_id=talk.name("unknown"), topics=[]))
