"""DescribeTransactions (key 65): describes transactional ids."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message


class DescribeTransactionsRequest(Message):
    """The request."""

    transactional_ids: list[str]


class TopicData(Message):
    topic: str
    partitions: list[Int32]


class TransactionState(Message):
    error_code: Int16
    transactional_id: str
    transaction_state: str
    transaction_timeout_ms: Int32
    transaction_start_time_ms: Int64
    producer_id: Int64
    producer_epoch: Int16
    topics: list[TopicData]


class DescribeTransactionsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    transaction_states: list[TransactionState]
