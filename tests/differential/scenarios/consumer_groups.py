"""Groups of the newer protocol (KIP-848)."""

from __future__ import annotations

from itertools import count
from typing import Any

from streamcore.log.protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from streamcore.log.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    TopicPartitions,
)
from tests.differential.conversation import Conversation, Topic
from tests.differential.registry import invalid, valid
from tests.differential.scenarios.groups import describe_request as describe_classic
from tests.differential.scenarios.groups import heartbeat_request as classic_heartbeat
from tests.differential.scenarios.groups import join_request, joined, leave_request
from tests.differential.scenarios.positions import commit_request, fetch_request

_JOINS: dict[str, Any] = {"rebalance_timeout_ms": 60_000, "topic_partitions": []}


def heartbeat(group: str, member: str, epoch: int, **fields: Any) -> ConsumerGroupHeartbeatRequest:
    """A sign of life; what a member tells when it joins is filled in."""
    given: dict[str, Any] = {"group_id": group, "member_id": member, "member_epoch": epoch}
    return ConsumerGroupHeartbeatRequest(**(given | (_JOINS if epoch == 0 else {}) | fields))


def owned(topic: Topic, *numbers: int) -> list[TopicPartitions]:
    """Partitions that a member has."""
    return [TopicPartitions(topic_id=topic.topic_id, partitions=list(numbers))]


def describe_request(*groups: str, **fields: Any) -> ConsumerGroupDescribeRequest:
    """A request about groups."""
    return ConsumerGroupDescribeRequest(
        group_ids=list(groups), **({"include_authorized_operations": False} | fields)
    )


def member_id(talk: Conversation, number: int = 1) -> str:
    """What a member is called that chooses its id itself."""
    return f"member-{number}" if talk.version_of("ConsumerGroupHeartbeat") >= 1 else ""


def subscribable_topic(talk: Conversation, **options: Any) -> Topic:
    """A topic that the coordinator of groups has heard of: in Kafka that is the last to hear of it."""
    topic = talk.make_topic(**options)
    names = (talk.name(f"probe-{number}") for number in count())

    def is_known() -> bool:
        fields = {"subscribed_topic_names": [topic.name]}
        return bool(talk.prepare(heartbeat(next(names), "m", 0, **fields)).assignment.topic_partitions)

    talk.wait_until(is_known)
    return topic


@valid("ConsumerGroupHeartbeat")
def a_member_joins_gets_everything_and_leaves(talk: Conversation) -> None:
    topic = subscribable_topic(talk, partitions=3)
    group = talk.name("group")

    first = talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))
    talk.ask(heartbeat(group, first.member_id, 1, topic_partitions=owned(topic, 0, 1, 2)))
    talk.ask(heartbeat(group, first.member_id, 1))
    talk.ask(describe_request(group))
    talk.ask(heartbeat(group, first.member_id, -1))
    talk.ask(describe_request(group))
    talk.ask(heartbeat(group, first.member_id, 1))


@valid("ConsumerGroupHeartbeat")
def two_members_share_what_there_is(talk: Conversation) -> None:
    topic = subscribable_topic(talk, partitions=4)
    group = talk.name("group")

    first = talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))
    second = talk.ask(
        heartbeat(group, member_id(talk, 2), 0, subscribed_topic_names=[topic.name]), on="second"
    )
    one, other = first.member_id, second.member_id
    given = talk.ask(heartbeat(group, one, 1, topic_partitions=owned(topic, 0, 1, 2, 3)))
    kept = given.assignment.topic_partitions[0].partitions
    talk.ask(heartbeat(group, one, 1, topic_partitions=owned(topic, *kept)))
    talk.ask(heartbeat(group, other, 2, topic_partitions=[]))
    talk.ask(describe_request(group))


@valid("ConsumerGroupHeartbeat")
def a_static_member_comes_back(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group = talk.name("group")
    who = {"instance_id": "instance", "subscribed_topic_names": [topic.name]}

    first = talk.ask(heartbeat(group, member_id(talk), 0, **who))
    talk.ask(heartbeat(group, member_id(talk, 2), 0, **who))
    talk.ask(heartbeat(group, first.member_id, -2, instance_id="instance"))
    second = talk.ask(heartbeat(group, member_id(talk, 2), 0, **who))
    talk.ask(heartbeat(group, first.member_id, 1, instance_id="instance"))
    talk.ask(heartbeat(group, second.member_id, -1, instance_id="other"))
    talk.ask(heartbeat(group, second.member_id, -1, instance_id="instance"))


@valid("ConsumerGroupHeartbeat", since=1)
def a_member_subscribes_to_a_pattern(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group = talk.name("group")

    talk.ask(heartbeat(group, "m", 0, subscribed_topic_regex=topic.name + ".*"))


@invalid("ConsumerGroupHeartbeat")
def who_joins_tells_everything(talk: Conversation) -> None:
    names = {"subscribed_topic_names": ["t"]}
    every: list[dict[str, Any]] = [
        {},
        {**names, "rebalance_timeout_ms": -1},
        {**names, "rebalance_timeout_ms": 0},
        {**names, "topic_partitions": None},
        {**names, "topic_partitions": [TopicPartitions(topic_id=b"\x01" * 16, partitions=[0])]},
        {**names, "server_assignor": "unheard"},
        {**names, "server_assignor": ""},
        {**names, "instance_id": ""},
        {**names, "rack_id": ""},
        {"subscribed_topic_names": []},
        {"subscribed_topic_names": ["a b"]},
        {"subscribed_topic_names": [""]},
        {"subscribed_topic_names": ["t", "t"]},
    ]
    for number, fields in enumerate(every):
        talk.ask(heartbeat(talk.name(str(number)), member_id(talk), 0, **fields))
    talk.ask(heartbeat("", member_id(talk), 0, **names))
    talk.ask(heartbeat(" ", member_id(talk), 0, **names))


@invalid("ConsumerGroupHeartbeat", since=1)
def members_choose_their_ids(talk: Conversation) -> None:
    names = {"subscribed_topic_names": ["t"]}
    talk.ask(heartbeat(talk.name("a"), "", 0, **names))
    talk.ask(heartbeat(talk.name("b"), "x" * 40, 0, **names))
    for pattern in ("(", "[a-", "", "a{1001}", "(?=a)"):
        talk.ask(heartbeat(talk.name("c"), "m", 0, subscribed_topic_regex=pattern))


@invalid("ConsumerGroupHeartbeat")
def epochs_are_those_that_were_given(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group = talk.name("group")
    first = talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))

    for epoch in (2, 5, -3, -2):
        talk.ask(heartbeat(group, first.member_id, epoch))
    talk.ask(heartbeat(group, "nobody", 1))
    talk.ask(heartbeat(group, "nobody", -1))
    talk.ask(heartbeat(group, "", 1))
    talk.ask(heartbeat(talk.name("unknown"), first.member_id, 1))
    talk.ask(heartbeat(talk.name("unknown"), first.member_id, -1))
    for epoch in (-1, -2, -3):
        talk.ask(heartbeat(talk.name("unknown"), "", epoch, instance_id="instance"))
        talk.ask(heartbeat(group, "", epoch, instance_id="instance"))
    talk.ask(heartbeat(group, first.member_id, 0, subscribed_topic_names=[topic.name]))


@invalid("ConsumerGroupHeartbeat")
def a_member_that_owns_what_it_was_not_given(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group = talk.name("group")
    first = talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))

    talk.ask(heartbeat(group, first.member_id, 1, topic_partitions=owned(topic, 0, 7)))
    talk.ask(heartbeat(group, first.member_id, 1, subscribed_topic_names=[]))
    talk.ask(heartbeat(group, first.member_id, 1, server_assignor="range", rebalance_timeout_ms=5))


@valid("ConsumerGroupHeartbeat")
def members_of_the_newer_protocol_commit_by_their_epoch(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group = talk.name("group")
    first = talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))

    for who, epoch in (
        (first.member_id, 1),
        (first.member_id, 0),
        (first.member_id, 2),
        ("nobody", 1),
        ("", -1),
    ):
        fields: dict[str, Any] = {"member_id": who, "generation_id_or_member_epoch": epoch}
        for version in (2, 8, 9):
            talk.ask(commit_request(group, topic, (0, 5), **fields), version)
        request = fetch_request(group, [(topic, [0])])
        request.groups[0].member_id, request.groups[0].member_epoch = who or None, epoch
        talk.ask(request, 9)


@valid("ConsumerGroupHeartbeat")
def the_protocols_may_meet_in_a_group(talk: Conversation) -> None:
    topic = subscribable_topic(talk)
    group, newer = talk.name("classic"), talk.name("newer")
    member, generation = joined(talk, group, topics=[topic.name], protocol_type="connect")

    talk.ask(heartbeat(group, member_id(talk), 0, subscribed_topic_names=[topic.name]))
    talk.ask(describe_request(group))
    first = talk.ask(heartbeat(newer, member_id(talk), 0, subscribed_topic_names=[topic.name]))
    talk.ask(join_request(newer, protocol_type="connect"))
    talk.ask(classic_heartbeat(newer, first.member_id, 1))
    talk.ask(leave_request(newer, (first.member_id, None)))
    talk.ask(describe_classic(newer))
    talk.ask(classic_heartbeat(group, member, generation))


@valid("ConsumerGroupDescribe")
def groups_of_the_newer_protocol_are_described(talk: Conversation) -> None:
    topic = subscribable_topic(talk, partitions=2)
    group = talk.name("group")
    fields = {"subscribed_topic_names": [topic.name], "rack_id": "r", "server_assignor": "range"}
    talk.prepare(heartbeat(group, "m", 0, **fields))

    talk.ask(describe_request(group))
    talk.ask(describe_request(group, include_authorized_operations=True))


@invalid("ConsumerGroupDescribe")
def groups_of_another_kind_are_not_described(talk: Conversation) -> None:
    group = talk.name("classic")
    joined(talk, group)

    talk.ask(describe_request(group, talk.name("unknown"), ""))
    talk.ask(describe_request(group, group))
    talk.ask(describe_request())
