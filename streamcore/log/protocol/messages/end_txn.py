"""EndTxn (key 26): commits or aborts a transaction."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class EndTxnRequest(Message):
    """The request."""

    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    committed: bool


class EndTxnResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    producer_id: A[Int64, V("5+")] = -1
    producer_epoch: A[Int16, V("5+")] = -1
