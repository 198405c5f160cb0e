"""Metadata: the one broker, and topics with their partitions. The response of each topic is kept encoded."""

from __future__ import annotations

from streamcore.errors import StreamCoreError
from streamcore.log.storage.topic_registry import TopicState
from streamcore.log.wire.calls import Call
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
        topics = [_described(state, call) for state in call.broker.topics.values()]
    else:
        topics = [_topic(wanted, request, call) for wanted in request.topics or ()]
    endpoint = call.caller.endpoint
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=node_id, host=endpoint.host, port=endpoint.port)],
        cluster_id=identity.cluster_id,
        controller_id=node_id,
        topics=topics,
    )


def _topic(wanted: MetadataRequestTopic, request: MetadataRequest, call: Call) -> MetadataResponseTopic:
    name = wanted.name
    if name is None:
        name = call.broker.topic_name(wanted.topic_id)
        if name is None:
            return _failed(None, ErrorCode.UNKNOWN_TOPIC_ID, wanted.topic_id)
    state = call.broker.topics.get(name)
    if state is None:
        if not (request.allow_auto_topic_creation and call.broker.settings.auto_create_topics):
            return _failed(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        try:
            call.broker.create_topic(name, call.broker.settings.default_partition_count, {})
        except StreamCoreError as error:
            return _failed(name, code_of(error))
        state = call.broker.topics[name]
    return _described(state, call)


def _failed(name: str | None, code: ErrorCode, topic_id: bytes = bytes(16)) -> MetadataResponseTopic:
    return MetadataResponseTopic(error_code=code, name=name, topic_id=topic_id, partitions=[])


def _described(state: TopicState, call: Call) -> MetadataResponseTopic:
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
    )
