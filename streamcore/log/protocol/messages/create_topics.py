"""CreateTopics (key 19): creates topics."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int8, Int16, Int32, Message, Tag, Uuid, V


class CreatableReplicaAssignment(Message):
    partition_index: Int32
    broker_ids: list[Int32]


class CreatableTopicConfig(Message):
    name: str
    value: str | None


class CreatableTopic(Message):
    name: str
    num_partitions: Int32
    replication_factor: Int16
    assignments: list[CreatableReplicaAssignment]
    configs: list[CreatableTopicConfig]


class CreateTopicsRequest(Message):
    """The request."""

    topics: list[CreatableTopic]
    timeout_ms: Int32 = 60_000
    validate_only: bool = False


class CreatableTopicConfigs(Message):
    name: str
    value: str | None
    read_only: bool
    config_source: Int8 = -1
    is_sensitive: bool


class CreatableTopicResult(Message):
    name: str
    topic_id: A[Uuid, V("7+")] = ZERO_UUID
    error_code: Int16
    error_message: str | None
    topic_config_error_code: A[Int16, Tag(0, "5+")] = 0
    num_partitions: A[Int32, V("5+")] = -1
    replication_factor: A[Int16, V("5+")] = -1
    configs: A[list[CreatableTopicConfigs] | None, V("5+")] = []


class CreateTopicsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[CreatableTopicResult]
