"""ListTransactions (key 66): lists transactional ids."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class ListTransactionsRequest(Message):
    """The request."""

    state_filters: list[str]
    producer_id_filters: list[Int64]
    duration_filter: A[Int64, V("1+")] = -1
    transactional_id_pattern: A[str | None, V("2+")] = None


class TransactionState(Message):
    transactional_id: str
    producer_id: Int64
    transaction_state: str


class ListTransactionsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    unknown_state_filters: list[str]
    transaction_states: list[TransactionState]
