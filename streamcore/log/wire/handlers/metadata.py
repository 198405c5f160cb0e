"""Metadata: the one broker, and topics with their partitions.

A topic that the client may not describe is not told apart from one that does not exist: asked for by name,
either is refused; asked for all, neither is there.
"""

from __future__ import annotations

from streamcore.errors import StreamCoreError
from streamcore.log.broker.access import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.storage.topic_registry import TopicState
from streamcore.log.wire.calls import OPERATIONS_NOT_ASKED, Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)


def metadata(request: MetadataRequest, call: Call) -> MetadataResponse:
    """Describe the topics asked for, or all."""
    identity = call.broker.identity
    node_id = identity.node_id
    is_all = request.topics is None or (call.version == 0 and not request.topics)
    if is_all:
        topics = [
            _described(state, request, call)
            for state in call.broker.topics.values()
            if _may_describe(state.name, call)
        ]
    else:
        topics = [_topic(wanted, request, call) for wanted in request.topics or ()]
    endpoint = call.caller.endpoint
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=node_id, host=endpoint.host, port=endpoint.port)],
        cluster_id=identity.cluster_id,
        controller_id=node_id,
        topics=topics,
        cluster_authorized_operations=_cluster_operations(request, call),
    )


def _cluster_operations(request: MetadataRequest, call: Call) -> int:
    if not request.include_cluster_authorized_operations:
        return OPERATIONS_NOT_ASKED
    if not call.may(AclOperation.DESCRIBE, ResourceType.CLUSTER, CLUSTER_NAME):
        return 0
    return call.operations(ResourceType.CLUSTER)


def _topic_operations(name: str, request: MetadataRequest, call: Call) -> int:
    if not request.include_topic_authorized_operations:
        return OPERATIONS_NOT_ASKED
    return call.operations(ResourceType.TOPIC, name)


def _may_describe(name: str, call: Call) -> bool:
    return call.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name)


def _may_create(name: str, call: Call) -> bool:
    return call.may(AclOperation.CREATE, ResourceType.CLUSTER, CLUSTER_NAME) or call.may(
        AclOperation.CREATE, ResourceType.TOPIC, name
    )


def _topic(wanted: MetadataRequestTopic, request: MetadataRequest, call: Call) -> MetadataResponseTopic:
    name = wanted.name
    if name is None:
        name = call.broker.topic_name(wanted.topic_id)
        if name is None:
            return _failed(None, ErrorCode.UNKNOWN_TOPIC_ID, wanted.topic_id)
        if not _may_describe(name, call):
            return _failed(None, ErrorCode.TOPIC_AUTHORIZATION_FAILED, wanted.topic_id)
    elif not _may_describe(name, call):
        return _failed(name, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    state = call.broker.topics.get(name)
    if state is None:
        if not (request.allow_auto_topic_creation and call.broker.settings.auto_create_topics):
            unknown = _failed(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            unknown.topic_authorized_operations = _topic_operations(name, request, call)
            return unknown
        if not _may_create(name, call):
            return _failed(name, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        try:
            call.broker.create_topic(name, call.broker.settings.default_partition_count, {})
        except StreamCoreError as error:
            return _failed(name, code_of(error))
        state = call.broker.topics[name]
    return _described(state, request, call)


def _failed(name: str | None, code: ErrorCode, topic_id: bytes = bytes(16)) -> MetadataResponseTopic:
    return MetadataResponseTopic(error_code=code, name=name, topic_id=topic_id, partitions=[])


def _described(state: TopicState, request: MetadataRequest, call: Call) -> MetadataResponseTopic:
    node_id = call.broker.identity.node_id
    return MetadataResponseTopic(
        error_code=0,
        name=state.name,
        topic_id=state.topic_id.bytes,
        is_internal=call.broker.is_internal(state.name),
        partitions=[
            MetadataResponsePartition(
                error_code=0,
                partition_index=log.topic_partition.partition,
                leader_id=node_id,
                leader_epoch=log.leader_epoch,
                replica_nodes=[node_id],
                isr_nodes=[node_id],
            )
            for log in call.broker.partitions_of(state.name)
        ],
        topic_authorized_operations=_topic_operations(state.name, request, call),
    )
