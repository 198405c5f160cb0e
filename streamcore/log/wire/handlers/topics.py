"""Topics: created, given more partitions, deleted."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.refusals import Refused
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of, text_of
from streamcore.log.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)
from streamcore.log.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from streamcore.log.wire.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

_DEFAULT_COUNT: Final = -1
_DELETE_STATES_FROM: Final = 6


def create_topics(request: CreateTopicsRequest, call: Call) -> CreateTopicsResponse:
    """Create topics, each durably and by itself."""
    results = [_created(topic, request.validate_only, call) for topic in request.topics]
    return CreateTopicsResponse(throttle_time_ms=0, topics=results)


def _created(topic: CreatableTopic, validate_only: bool, call: Call) -> CreatableTopicResult:
    count = topic.num_partitions
    if topic.assignments:
        count = len(topic.assignments)
    elif count == _DEFAULT_COUNT:
        count = call.broker.settings.default_partition_count
    config = {each.name: each.value for each in topic.configs if each.value is not None}
    try:
        call.broker.create_topic(topic.name, count, config)
    except StreamCoreError as error:
        return CreatableTopicResult(name=topic.name, error_code=code_of(error), error_message=text_of(error))
    return CreatableTopicResult(
        name=topic.name,
        topic_id=call.broker.topics[topic.name].topic_id.bytes,
        error_code=ErrorCode.NONE,
        error_message=None,
        num_partitions=count,
        replication_factor=1,
    )


def delete_topics(request: DeleteTopicsRequest, call: Call) -> Operation[DeleteTopicsResponse]:
    """Delete topics with their data."""
    states = request.topics
    if call.version < _DELETE_STATES_FROM:
        states = [DeleteTopicState(name=name, topic_id=bytes(16)) for name in request.topic_names]
    results: list[DeletableTopicResult] = []
    for state in states:
        name = state.name if state.name is not None else call.broker.topic_name(state.topic_id)
        result = DeletableTopicResult(name=name, topic_id=state.topic_id, error_code=ErrorCode.NONE)
        results.append(result)
        if name is None:
            result.error_code = ErrorCode.UNKNOWN_TOPIC_ID
            continue
        try:
            if name in call.broker.topics:
                result.topic_id = call.broker.topics[name].topic_id.bytes
            yield from call.broker.delete_topic(name)
        except (Refused, StreamCoreError) as error:
            result.error_code, result.error_message = code_of(error), text_of(error)
    return DeleteTopicsResponse(throttle_time_ms=0, responses=results)


def create_partitions(request: CreatePartitionsRequest, call: Call) -> CreatePartitionsResponse:
    """Give topics more partitions."""
    results: list[CreatePartitionsTopicResult] = []
    for topic in request.topics:
        result = CreatePartitionsTopicResult(name=topic.name, error_code=ErrorCode.NONE)
        results.append(result)
        try:
            call.broker.alter_topic(topic.name, topic.count, {})
        except StreamCoreError as error:
            result.error_code, result.error_message = code_of(error), text_of(error)
    return CreatePartitionsResponse(throttle_time_ms=0, results=results)
