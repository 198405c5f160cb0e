"""DescribeConfigs (key 32): describes the settings of topics, brokers and groups."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class DescribeConfigsResource(Message):
    resource_type: Int8
    resource_name: str
    configuration_keys: list[str] | None


class DescribeConfigsRequest(Message):
    """The request."""

    resources: list[DescribeConfigsResource]
    include_synonyms: bool = False
    include_documentation: A[bool, V("3+")] = False


class DescribeConfigsSynonym(Message):
    name: str
    value: str | None
    source: Int8


class DescribeConfigsResourceResult(Message):
    name: str
    value: str | None
    read_only: bool
    config_source: Int8 = -1
    is_sensitive: bool
    synonyms: list[DescribeConfigsSynonym]
    config_type: A[Int8, V("3+")] = 0
    documentation: A[str | None, V("3+")] = None


class DescribeConfigsResult(Message):
    error_code: Int16
    error_message: str | None
    resource_type: Int8
    resource_name: str
    configs: list[DescribeConfigsResourceResult]


class DescribeConfigsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[DescribeConfigsResult]
