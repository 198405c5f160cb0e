"""InitProducerId (key 22): gives a producer its id and epoch, and fences older ones."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class InitProducerIdRequest(Message):
    """The request."""

    transactional_id: str | None
    transaction_timeout_ms: Int32
    producer_id: A[Int64, V("3+")] = -1
    producer_epoch: A[Int16, V("3+")] = -1


class InitProducerIdResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    producer_id: Int64 = -1
    producer_epoch: Int16
