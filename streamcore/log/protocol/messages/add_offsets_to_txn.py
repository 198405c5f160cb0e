"""AddOffsetsToTxn (key 25): adds a group's committed offsets to a transaction."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message


class AddOffsetsToTxnRequest(Message):
    """The request."""

    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    group_id: str


class AddOffsetsToTxnResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
