"""ConsumerGroupDescribe (key 69): describes groups of the newer protocol (KIP-848)."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, Uuid, V


class ConsumerGroupDescribeRequest(Message):
    """The request."""

    group_ids: list[str]
    include_authorized_operations: bool


class TopicPartitions(Message):
    topic_id: Uuid
    topic_name: str
    partitions: list[Int32]


class Assignment(Message):
    topic_partitions: list[TopicPartitions]


class Member(Message):
    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    member_epoch: Int32
    client_id: str
    client_host: str
    subscribed_topic_names: list[str]
    subscribed_topic_regex: str | None = None
    assignment: Assignment
    target_assignment: Assignment
    member_type: A[Int8, V("1+")] = -1


class DescribedGroup(Message):
    error_code: Int16
    error_message: str | None = None
    group_id: str
    group_state: str
    group_epoch: Int32
    assignment_epoch: Int32
    assignor_name: str
    members: list[Member]
    authorized_operations: Int32 = -2_147_483_648


class ConsumerGroupDescribeResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    groups: list[DescribedGroup]
