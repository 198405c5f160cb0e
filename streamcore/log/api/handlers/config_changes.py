"""AlterConfigs and IncrementalAlterConfigs: change settings of topics, brokers, groups and loggers.

The changes of one resource are applied all or none. Those of several topics are made durable together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.api.handlers.configs import ConfigType, ensure_may, unknown_type
from streamcore.log.api.handlers.loggers import change_loggers, ensure_this_node
from streamcore.log.broker.access.acl import AclOperation
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.config.changes import ChangeKind, SettingChange, changed
from streamcore.log.broker.config.configuration import known_topic_setting
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.topics import ensure_topic_name
from streamcore.log.protocol.messages import alter_configs, incremental_alter_configs
from streamcore.log.storage.topics.topic_registry import TopicState

_KINDS: Final = {kind.value: kind for kind in ChangeKind}

_Failure = ApiError | StreamCoreError

R = TypeVar(
    "R", alter_configs.AlterConfigsResourceResponse, incremental_alter_configs.AlterConfigsResourceResponse
)


class _Asked(Struct, frozen=True):
    """What a client asks for one resource."""

    resource_type: int
    name: str
    changes: Sequence[SettingChange] | ApiError
    replace_all: bool
    validate_only: bool


def incremental(
    request: incremental_alter_configs.IncrementalAlterConfigsRequest, call: Call
) -> Operation[incremental_alter_configs.IncrementalAlterConfigsResponse]:
    """Apply single changes."""
    asked = [
        _Asked(
            resource.resource_type,
            resource.resource_name,
            _changes(resource),
            replace_all=False,
            validate_only=request.validate_only,
        )
        for resource in request.resources
    ]
    responses = yield from _answers(incremental_alter_configs.AlterConfigsResourceResponse, asked, call)
    return incremental_alter_configs.IncrementalAlterConfigsResponse(throttle_time_ms=0, responses=responses)


def whole(
    request: alter_configs.AlterConfigsRequest, call: Call
) -> Operation[alter_configs.AlterConfigsResponse]:
    """Replace all settings of a resource."""
    asked = [
        _Asked(
            resource.resource_type,
            resource.resource_name,
            [SettingChange(each.name, ChangeKind.SET, each.value) for each in resource.configs],
            replace_all=True,
            validate_only=request.validate_only,
        )
        for resource in request.resources
    ]
    responses = yield from _answers(alter_configs.AlterConfigsResourceResponse, asked, call)
    return alter_configs.AlterConfigsResponse(throttle_time_ms=0, responses=responses)


def _answers(response: type[R], asked: Sequence[_Asked], call: Call) -> Operation[list[R]]:
    """Change each resource; return the results in their order."""
    failures = yield from _altered(asked, call)
    return [
        response(
            error_code=ErrorCode.NONE if failure is None else code_of(failure),
            error_message=None if failure is None else text_of(failure),
            resource_type=each.resource_type,
            resource_name=each.name,
        )
        for each, failure in zip(asked, failures, strict=True)
    ]


def _altered(asked: Sequence[_Asked], call: Call) -> Operation[list[_Failure | None]]:
    """Change each resource; return in their order why a resource was not changed, else ``None``."""
    counts = Counter((each.resource_type, each.name) for each in asked)
    failures: dict[tuple[int, str], _Failure] = {}
    topics: dict[str, _Asked] = {}
    for each in asked:
        resource = (each.resource_type, each.name)
        try:
            if counts[resource] > 1:
                raise ApiError(ErrorName.INVALID_REQUEST, hint="name each resource once", resource=each.name)
            ensure_may(AclOperation.ALTER_CONFIGS, each.resource_type, each.name, call)
            if isinstance(each.changes, ApiError):
                raise each.changes
            _ensure_values(each.changes)
            if each.resource_type == ConfigType.TOPIC:
                _ensure_topic(each.name)
                topics[each.name] = each
            else:
                yield from _other_altered(each, each.changes, call)
        except (ApiError, StreamCoreError) as error:
            failures[resource] = error
    for name, failure in (yield from _topics_altered(topics, call)).items():
        failures[ConfigType.TOPIC, name] = failure
    return [failures.get((each.resource_type, each.name)) for each in asked]


def _other_altered(asked: _Asked, changes: Sequence[SettingChange], call: Call) -> Operation[None]:
    configuration = call.broker.configuration
    match asked.resource_type:
        case ConfigType.BROKER:
            yield from configuration.change_broker(
                asked.name, changes, replace_all=asked.replace_all, validate_only=asked.validate_only
            )
        case ConfigType.GROUP:
            yield from configuration.change_group(
                asked.name, changes, replace_all=asked.replace_all, validate_only=asked.validate_only
            )
        case ConfigType.BROKER_LOGGER if not asked.replace_all:
            ensure_this_node(asked.name, call)
            change_loggers(changes, validate_only=asked.validate_only)
        case _:
            raise unknown_type(asked.resource_type)


def _topics_altered(topics: Mapping[str, _Asked], call: Call) -> Operation[dict[str, _Failure]]:
    if not topics:
        return {}
    validate_only = next(iter(topics.values())).validate_only
    outcomes = yield from call.broker.topic_changes.set_configs(
        {name: partial(_topic_config, each) for name, each in topics.items()}, validate_only=validate_only
    )
    return {name: each for name, each in outcomes.items() if not isinstance(each, TopicState)}


def _topic_config(asked: _Asked, current: Mapping[str, str]) -> dict[str, str]:
    assert not isinstance(asked.changes, ApiError)
    return changed({} if asked.replace_all else current, asked.changes, known_topic_setting)


def _ensure_values(changes: Sequence[SettingChange]) -> None:
    """Check for missing values first, as Kafka does, before the names of the settings."""
    for change in changes:
        if change.value is None and change.kind is not ChangeKind.DELETE:
            raise ApiError(ErrorName.INVALID_REQUEST, setting=change.name, value="null")


def _ensure_topic(name: str) -> None:
    if not name:
        raise ApiError(ErrorName.INVALID_REQUEST, hint="settings for all topics are those of the brokers")
    ensure_topic_name(name)


def _changes(resource: incremental_alter_configs.AlterConfigsResource) -> list[SettingChange] | ApiError:
    changes: list[SettingChange] = []
    for each in resource.configs:
        kind = _KINDS.get(each.config_operation)
        if kind is None:
            return ApiError(ErrorName.INVALID_REQUEST, setting=each.name, operation=each.config_operation)
        changes.append(SettingChange(each.name, kind, each.value))
    return changes
