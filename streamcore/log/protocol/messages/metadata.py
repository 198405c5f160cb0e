"""Metadata (key 3): returns the brokers, topics and partitions."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Message, Null, Uuid, V


class MetadataRequestTopic(Message):
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    name: A[str | None, Null("10+")]


class MetadataRequest(Message):
    """The request."""

    topics: A[list[MetadataRequestTopic] | None, Null("1+")]
    allow_auto_topic_creation: A[bool, V("4+")] = True
    include_cluster_authorized_operations: A[bool, V("8-10")] = False
    include_topic_authorized_operations: A[bool, V("8+")] = False


class MetadataResponseBroker(Message):
    node_id: Int32
    host: str
    port: Int32
    rack: A[str | None, V("1+")] = None


class MetadataResponsePartition(Message):
    error_code: Int16
    partition_index: Int32
    leader_id: Int32
    leader_epoch: A[Int32, V("7+")] = -1
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    offline_replicas: A[list[Int32], V("5+")] = []


class MetadataResponseTopic(Message):
    error_code: Int16
    name: A[str | None, Null("12+")]
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    is_internal: A[bool, V("1+")] = False
    partitions: list[MetadataResponsePartition]
    topic_authorized_operations: A[Int32, V("8+")] = -2_147_483_648


class MetadataResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("3+")] = 0
    brokers: list[MetadataResponseBroker]
    cluster_id: A[str | None, V("2+")] = None
    controller_id: A[Int32, V("1+")] = -1
    topics: list[MetadataResponseTopic | bytes]
    cluster_authorized_operations: A[Int32, V("8-10")] = -2_147_483_648
    error_code: A[Int16, V("13+")] = 0
