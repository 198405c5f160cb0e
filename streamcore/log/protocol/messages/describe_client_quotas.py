"""DescribeClientQuotas (key 48): describes the quotas of clients."""

from __future__ import annotations

from streamcore.log.protocol.fields import Float64, Int8, Int16, Int32, Message


class ComponentData(Message):
    entity_type: str
    match_type: Int8
    match: str | None


class DescribeClientQuotasRequest(Message):
    """The request."""

    components: list[ComponentData]
    strict: bool


class EntityData(Message):
    entity_type: str
    entity_name: str | None


class ValueData(Message):
    key: str
    value: Float64


class EntryData(Message):
    entity: list[EntityData]
    values: list[ValueData]


class DescribeClientQuotasResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None
    entries: list[EntryData] | None
