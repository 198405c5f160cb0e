"""AddPartitionsToTxn (key 24): adds partitions to a transaction."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class AddPartitionsToTxnTopic(Message):
    name: str
    partitions: list[Int32]


class AddPartitionsToTxnTransaction(Message):
    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    verify_only: bool = False
    topics: list[AddPartitionsToTxnTopic]


class AddPartitionsToTxnRequest(Message):
    """The request."""

    transactions: A[list[AddPartitionsToTxnTransaction], V("4+")] = []
    v3_and_below_transactional_id: A[str, V("0-3")] = ""
    v3_and_below_producer_id: A[Int64, V("0-3")] = 0
    v3_and_below_producer_epoch: A[Int16, V("0-3")] = 0
    v3_and_below_topics: A[list[AddPartitionsToTxnTopic], V("0-3")] = []


class AddPartitionsToTxnPartitionResult(Message):
    partition_index: Int32
    partition_error_code: Int16


class AddPartitionsToTxnTopicResult(Message):
    name: str
    results_by_partition: list[AddPartitionsToTxnPartitionResult]


class AddPartitionsToTxnResult(Message):
    transactional_id: str
    topic_results: list[AddPartitionsToTxnTopicResult]


class AddPartitionsToTxnResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: A[Int16, V("4+")] = 0
    results_by_transaction: A[list[AddPartitionsToTxnResult], V("4+")] = []
    results_by_topic_v3_and_below: A[list[AddPartitionsToTxnTopicResult], V("0-3")] = []
