"""AlterClientQuotas (key 49): changes the quotas of clients."""

from __future__ import annotations

from streamcore.log.protocol.fields import Float64, Int16, Int32, Message


class EntityData(Message):
    entity_type: str
    entity_name: str | None


class OpData(Message):
    key: str
    value: Float64
    remove: bool


class EntryData(Message):
    entity: list[EntityData]
    ops: list[OpData]


class AlterClientQuotasRequest(Message):
    """The request."""

    entries: list[EntryData]
    validate_only: bool


class EntryDataResult(Message):
    error_code: Int16
    error_message: str | None
    entity: list[EntityData]


class AlterClientQuotasResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    entries: list[EntryDataResult]
