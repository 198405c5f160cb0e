"""CreateTopics, CreatePartitions, DeleteTopics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from streamcore.errors import StreamCoreError, UnknownTopicError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.api.handlers.configs import SOURCES
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.topics import Outcome, WantedTopic, unknown_topic_id
from streamcore.log.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from streamcore.log.protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from streamcore.log.storage.topics.topic_registry import TopicState

_DEFAULT: Final = -1
_DELETE_STATES_FROM: Final = 6
_NO_ID: Final = bytes(16)
_NEW_PARTITIONS_MAX: Final = 10_000
"""The most new partitions of one request, as in Kafka."""


# --- creating ---------------------------------------------------------------------------------


def create_topics(request: CreateTopicsRequest, call: Call) -> Operation[CreateTopicsResponse]:
    """Create topics, each durably."""
    results: list[CreatableTopicResult] = []
    wanted: list[WantedTopic] = []
    counts = Counter(topic.name for topic in request.topics)
    for topic in request.topics:
        try:
            if counts[topic.name] == 1:
                wanted.append(_wanted(topic, call))
        except ApiError as refused:
            results.append(_created(topic.name, refused, call))
    outcomes: Sequence[Outcome] = _too_many(wanted, call)
    if not outcomes:
        outcomes = yield from call.broker.topic_changes.create(wanted, validate_only=request.validate_only)
    for each, outcome in zip(wanted, outcomes, strict=True):
        results.append(_created(each.name, outcome, call))
    for name, count in counts.items():
        if count > 1:
            results.append(_created(name, _twice(name), call))
    return CreateTopicsResponse(throttle_time_ms=0, topics=results)


def _wanted(topic: CreatableTopic, call: Call) -> WantedTopic:
    if not call.may(AclOperation.CREATE, ResourceType.CLUSTER, CLUSTER_NAME):
        call.ensure(AclOperation.CREATE, ResourceType.TOPIC, topic.name)
    call.broker.ensure_may_create(topic.name)
    config = {each.name: each.value for each in topic.configs if each.value is not None}
    unset = next((each.name for each in topic.configs if each.value is None), None)
    count = topic.num_partitions
    if topic.assignments:
        return WantedTopic(topic.name, len(topic.assignments), config, unset, _misassigned(topic, call))
    if count == _DEFAULT:
        count = call.broker.settings.default_partition_count
    misplaced, replicas = None, topic.replication_factor
    # As in Kafka, an impossible count of partitions is reported before too few brokers for the replicas.
    if replicas not in (_DEFAULT, 1) and (replicas < 1 or count >= 1):
        misplaced = ApiError(
            ErrorName.INVALID_REPLICATION_FACTOR,
            kafka_text=_kafkas_text_of_replicas(replicas),
            topic=topic.name,
            replication_factor=replicas,
        )
    return WantedTopic(topic.name, count, config, unset, misplaced)


def _kafkas_text_of_replicas(replicas: int) -> str:
    if replicas < 1:
        return "Replication factor was set to an invalid non-positive value."
    return (
        f"Unable to replicate the partition {replicas} time(s): The target replication factor of {replicas} "
        "cannot be reached because only 1 broker(s) are registered."
    )


def _misassigned(topic: CreatableTopic, call: Call) -> ApiError | None:
    """Return the refusal of an assignment of replicas; allowed is only: every partition at this broker."""
    if topic.num_partitions != _DEFAULT or topic.replication_factor != _DEFAULT:
        return ApiError(
            ErrorName.INVALID_REQUEST,
            topic=topic.name,
            hint="with assignments, the numbers of partitions and replicas are -1",
        )
    if sorted(each.partition_index for each in topic.assignments) != list(range(len(topic.assignments))):
        return ApiError(
            ErrorName.INVALID_REPLICA_ASSIGNMENT,
            topic=topic.name,
            hint="partitions count from 0, without a gap",
        )
    return _wrong_brokers(topic.name, [each.broker_ids for each in topic.assignments], call)


def _wrong_brokers(topic: str, assignments: Sequence[Sequence[int]], call: Call) -> ApiError | None:
    node_id = call.broker.identity.node_id
    for broker_ids in assignments:
        if list(broker_ids) != [node_id]:
            return ApiError(
                ErrorName.INVALID_REPLICA_ASSIGNMENT, topic=topic, brokers=list(broker_ids), broker=node_id
            )
    return None


def _created(name: str, outcome: Outcome, call: Call) -> CreatableTopicResult:
    if not isinstance(outcome, TopicState):
        return CreatableTopicResult(name=name, error_code=code_of(outcome), error_message=text_of(outcome))
    result = CreatableTopicResult(
        name=name,
        topic_id=outcome.topic_id.bytes,
        error_code=ErrorCode.NONE,
        error_message=None,
        num_partitions=outcome.partition_count,
        replication_factor=1,
    )
    if not call.may(AclOperation.DESCRIBE_CONFIGS, ResourceType.TOPIC, name):
        result.topic_config_error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        result.num_partitions = result.replication_factor = _DEFAULT
        return result
    result.configs = [
        CreatableTopicConfigs(
            name=each.name,
            value=each.value,
            read_only=each.is_read_only,
            config_source=SOURCES[each.source],
            is_sensitive=each.is_sensitive,
        )
        for each in call.broker.configuration.topic(outcome.config)
    ]
    return result


def _twice(name: str) -> ApiError:
    return ApiError(
        ErrorName.INVALID_REQUEST,
        kafka_text="Duplicate topic name.",
        topic=name,
        hint="name a topic once in a request",
    )


# --- more partitions --------------------------------------------------------------------------


def create_partitions(request: CreatePartitionsRequest, call: Call) -> Operation[CreatePartitionsResponse]:
    """Add partitions to topics."""
    results: list[CreatePartitionsTopicResult] = []
    wanted: list[WantedTopic] = []
    counts = Counter(topic.name for topic in request.topics)
    for topic in request.topics:
        try:
            if counts[topic.name] == 1:
                call.ensure(AclOperation.ALTER, ResourceType.TOPIC, topic.name)
                wanted.append(_wanted_partitions(topic, call))
        except ApiError as refused:
            results.append(_grown(topic.name, refused))
    outcomes: Sequence[Outcome] = _too_many(wanted, call)
    if not outcomes:
        outcomes = yield from call.broker.topic_changes.grow(wanted, validate_only=request.validate_only)
    results += [_grown(each.name, outcome) for each, outcome in zip(wanted, outcomes, strict=True)]
    results += [_grown(name, _twice(name)) for name, count in counts.items() if count > 1]
    return CreatePartitionsResponse(throttle_time_ms=0, results=results)


def _wanted_partitions(topic: CreatePartitionsTopic, call: Call) -> WantedTopic:
    state = call.broker.topics.get(topic.name)
    misplaced = None
    if topic.assignments is not None and state is not None:
        new_count = topic.count - state.partition_count
        misplaced = _wrong_brokers(topic.name, [each.broker_ids for each in topic.assignments], call)
        if len(topic.assignments) != new_count:
            misplaced = ApiError(
                ErrorName.INVALID_REPLICA_ASSIGNMENT,
                kafka_text=f"Attempted to add {new_count} additional partition(s), but only "
                f"{len(topic.assignments)} assignment(s) were specified.",
                topic=topic.name,
                new_partitions=new_count,
                assignments=len(topic.assignments),
            )
    return WantedTopic(topic.name, topic.count, misplaced=misplaced)


def _grown(name: str, outcome: Outcome) -> CreatePartitionsTopicResult:
    if isinstance(outcome, TopicState):
        return CreatePartitionsTopicResult(name=name, error_code=ErrorCode.NONE)
    return CreatePartitionsTopicResult(name=name, error_code=code_of(outcome), error_message=text_of(outcome))


# --- deleting ---------------------------------------------------------------------------------


def delete_topics(request: DeleteTopicsRequest, call: Call) -> Operation[DeleteTopicsResponse]:
    """Delete topics with their data."""
    states = request.topics
    if call.version < _DELETE_STATES_FROM:
        states = [DeleteTopicState(name=name, topic_id=_NO_ID) for name in request.topic_names]
    results: list[DeletableTopicResult] = []
    doomed: dict[str, list[DeletableTopicResult]] = {}
    for key, count in Counter((state.name, state.topic_id) for state in states).items():
        result = DeletableTopicResult(name=key[0], topic_id=key[1], error_code=ErrorCode.NONE)
        results += [result] * (count if key == (None, _NO_ID) else 1)
        try:
            doomed.setdefault(_name_to_delete(*key, count, call), []).append(result)
        except (ApiError, UnknownTopicError) as error:
            _fail(result, error)
    for name, asked in doomed.items():
        if len(asked) > 1:
            _fail(asked[0], _twice(name))
            state = call.broker.topics.get(name)
            asked[0].name, asked[0].topic_id = name, _NO_ID if state is None else state.topic_id.bytes
            results = [each for each in results if each not in asked[1:]]
    ids = {
        name: None if asked[0].topic_id == _NO_ID else UUID(bytes=asked[0].topic_id)
        for name, asked in doomed.items()
        if len(asked) == 1
    }
    outcomes = yield from call.broker.delete_topics(ids)
    for name, outcome in outcomes.items():
        (result,) = doomed[name]
        if isinstance(outcome, TopicState):
            result.name, result.topic_id = name, outcome.topic_id.bytes
        else:
            _fail(result, outcome)
    return DeleteTopicsResponse(throttle_time_ms=0, responses=results)


def _name_to_delete(name: str | None, topic_id: bytes, count: int, call: Call) -> str:
    if (name is None) == (topic_id == _NO_ID):
        raise ApiError(ErrorName.INVALID_REQUEST, topic=name, hint="name a topic by its name or by its id")
    if count > 1:
        raise _twice(name or topic_id.hex())
    found = name if name is not None else call.broker.topic_name(topic_id)
    if found is None:
        raise unknown_topic_id(topic_id.hex())
    call.ensure(AclOperation.DELETE, ResourceType.TOPIC, found)
    return found


def _fail(result: DeletableTopicResult, error: ApiError | StreamCoreError) -> None:
    result.error_code, result.error_message = code_of(error), text_of(error)


def _too_many(wanted: Sequence[WantedTopic], call: Call) -> list[Outcome]:
    """Return the refusal of all topics, if the request creates more partitions than one request may."""
    new = 0
    for each in wanted:
        state = call.broker.topics.get(each.name)
        new += max(0, each.partition_count - (0 if state is None else state.partition_count))
    if new <= _NEW_PARTITIONS_MAX:
        return []
    hint = "ask for fewer partitions at once"
    refused = ApiError(
        ErrorName.POLICY_VIOLATION,
        kafka_text="Excessively large number of partitions per request.",
        hint=hint,
        new=new,
        new_max=_NEW_PARTITIONS_MAX,
    )
    return [refused] * len(wanted)
