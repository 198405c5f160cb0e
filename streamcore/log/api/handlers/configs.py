"""DescribeConfigs and ListConfigResources: settings of topics, brokers, groups and loggers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.api.handlers.loggers import described_loggers, ensure_this_node
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.config.described import Described, Source
from streamcore.log.broker.topics import ensure_topic_name
from streamcore.log.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from streamcore.log.protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from streamcore.log.storage.topics.setting_kinds import SettingType


class ConfigType(IntEnum):
    """The types of resources that have settings."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


SOURCES: Final = {
    Source.DYNAMIC_TOPIC: 1,
    Source.DYNAMIC_BROKER: 2,
    Source.DYNAMIC_DEFAULT_BROKER: 3,
    Source.STATIC_BROKER: 4,
    Source.DEFAULT: 5,
    Source.LOGGER: 6,
    Source.GROUP: 8,
}
_TYPES: Final = {
    SettingType.BOOLEAN: 1,
    SettingType.STRING: 2,
    SettingType.INT: 3,
    SettingType.SHORT: 4,
    SettingType.LONG: 5,
    SettingType.DOUBLE: 6,
    SettingType.LIST: 7,
    SettingType.CLASS: 8,
    SettingType.PASSWORD: 9,
}
_LISTED_BEFORE_TYPES: Final = (ConfigType.CLIENT_METRICS,)
_TYPES_FROM: Final = 1


def describe_configs(request: DescribeConfigsRequest, call: Call) -> DescribeConfigsResponse:
    """Return the settings of each resource, all or those that are named."""
    describing = _Describing(request)
    return DescribeConfigsResponse(
        throttle_time_ms=0, results=[_result(resource, describing, call) for resource in request.resources]
    )


class _Describing:
    """Makes the entries of one response; topics with equal settings share theirs."""

    def __init__(self, request: DescribeConfigsRequest) -> None:
        self._request = request
        self._made: dict[tuple[int, tuple[str, ...]], list[DescribeConfigsResourceResult]] = {}
        self._kept: list[Sequence[Described]] = []

    def entries(self, found: Sequence[Described], keys: Sequence[str]) -> list[DescribeConfigsResourceResult]:
        """Return the entries of settings, all or those of these names."""
        key = (id(found), tuple(keys))
        made = self._made.get(key)
        if made is None:
            self._kept.append(found)  # so that no other object gets its id
            made = [_entry(each, self._request) for each in found if not keys or each.name in keys]
            self._made[key] = made
        return made


def _result(resource: DescribeConfigsResource, describing: _Describing, call: Call) -> DescribeConfigsResult:
    code, message = ErrorCode.NONE, ""
    found: Sequence[Described] = ()
    try:
        ensure_may(AclOperation.DESCRIBE_CONFIGS, resource.resource_type, resource.resource_name, call)
        found = _described(resource.resource_type, resource.resource_name, call)
    except (ApiError, StreamCoreError) as error:
        code, message = code_of(error), text_of(error)
    return DescribeConfigsResult(
        error_code=code,
        error_message=message,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=describing.entries(found, resource.configuration_keys or ()),
    )


def _described(resource_type: int, name: str, call: Call) -> Sequence[Described]:
    configuration = call.broker.configuration
    match resource_type:
        case ConfigType.TOPIC:
            ensure_topic_name(name)
            return configuration.topic(call.broker.topic(name).config)
        case ConfigType.BROKER:
            return configuration.broker(name)
        case ConfigType.GROUP:
            return configuration.group(name)
        case ConfigType.BROKER_LOGGER:
            ensure_this_node(name, call)
            return described_loggers()
        case _:
            raise unknown_type(resource_type)


def _entry(setting: Described, request: DescribeConfigsRequest) -> DescribeConfigsResourceResult:
    levels = setting.levels if request.include_synonyms else ()
    return DescribeConfigsResourceResult(
        name=setting.name,
        value=None if setting.is_sensitive else setting.value,
        read_only=setting.is_read_only,
        config_source=SOURCES[setting.source],
        is_sensitive=setting.is_sensitive,
        synonyms=[
            DescribeConfigsSynonym(
                name=level.name,
                value=None if setting.is_sensitive else level.value,
                source=SOURCES[level.source],
            )
            for level in levels
        ],
        config_type=_TYPES[setting.type],
        documentation=setting.documentation if request.include_documentation else None,
    )


def list_config_resources(request: ListConfigResourcesRequest, call: Call) -> ListConfigResourcesResponse:
    """Return the resources with settings: of the types asked for, or of all."""
    wanted: Sequence[int] = request.resource_types or list(ConfigType)
    if call.version < _TYPES_FROM:
        wanted = _LISTED_BEFORE_TYPES
    try:
        call.ensure(AclOperation.DESCRIBE_CONFIGS, ResourceType.CLUSTER)
    except ApiError as refused:
        return ListConfigResourcesResponse(
            throttle_time_ms=0, error_code=code_of(refused), config_resources=[]
        )
    if any(each not in list(ConfigType) for each in wanted):
        return ListConfigResourcesResponse(
            throttle_time_ms=0, error_code=ErrorCode.UNSUPPORTED_VERSION, config_resources=[]
        )
    return ListConfigResourcesResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        config_resources=[
            ConfigResource(resource_name=name, resource_type=each)
            for each in dict.fromkeys(wanted)
            for name in _names(each, call)
        ],
    )


def _names(resource_type: int, call: Call) -> Iterable[str]:
    match resource_type:
        case ConfigType.TOPIC:
            topics = call.broker.topics
            return [name for name in topics if call.may_describe(name)]
        case ConfigType.BROKER | ConfigType.BROKER_LOGGER:
            return [str(call.broker.identity.node_id)]
        case ConfigType.GROUP:
            return call.broker.configuration.groups_with_settings()
        case _:
            return ()


def ensure_may(operation: AclOperation, resource_type: int, name: str, call: Call) -> None:
    """Raise ``ApiError`` if the client may not describe or alter the settings of a resource."""
    match resource_type:
        case ConfigType.TOPIC:
            call.ensure(operation, ResourceType.TOPIC, name)
        case ConfigType.GROUP:
            call.ensure(operation, ResourceType.GROUP, name)
        case _:
            call.ensure(operation, ResourceType.CLUSTER, CLUSTER_NAME)


def unknown_type(resource_type: int) -> ApiError:
    """Return the refusal of a type of resource that has no settings here."""
    if resource_type == ConfigType.CLIENT_METRICS:
        return ApiError(ErrorName.INVALID_REQUEST, hint="metrics of clients are not supported")
    return ApiError(ErrorName.INVALID_REQUEST, resource_type=resource_type)
