"""ListConfigResources (key 74): lists the resources that have settings."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class ListConfigResourcesRequest(Message):
    """The request."""

    resource_types: A[list[Int8], V("1+")] = []


class ConfigResource(Message):
    resource_name: str
    resource_type: A[Int8, V("1+")] = 16


class ListConfigResourcesResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    config_resources: list[ConfigResource]
