"""AlterConfigs (key 33): replaces all settings of a topic, broker or group."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class AlterableConfig(Message):
    name: str
    value: str | None


class AlterConfigsResource(Message):
    resource_type: Int8
    resource_name: str
    configs: list[AlterableConfig]


class AlterConfigsRequest(Message):
    """The request."""

    resources: list[AlterConfigsResource]
    validate_only: bool


class AlterConfigsResourceResponse(Message):
    error_code: Int16
    error_message: str | None
    resource_type: Int8
    resource_name: str


class AlterConfigsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    responses: list[AlterConfigsResourceResponse]
