"""WriteTxnMarkers (key 27): writes the markers that end a producer's transactions."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Int64, Message, V


class WritableTxnMarkerTopic(Message):
    name: str
    partition_indexes: list[Int32]


class WritableTxnMarker(Message):
    producer_id: Int64
    producer_epoch: Int16
    transaction_result: bool
    topics: list[WritableTxnMarkerTopic]
    coordinator_epoch: Int32
    transaction_version: A[Int8, V("2+")] = 0


class WriteTxnMarkersRequest(Message):
    """The request."""

    markers: list[WritableTxnMarker]


class WritableTxnMarkerPartitionResult(Message):
    partition_index: Int32
    error_code: Int16


class WritableTxnMarkerTopicResult(Message):
    name: str
    partitions: list[WritableTxnMarkerPartitionResult]


class WritableTxnMarkerResult(Message):
    producer_id: Int64
    topics: list[WritableTxnMarkerTopicResult]


class WriteTxnMarkersResponse(Message):
    """The response."""

    markers: list[WritableTxnMarkerResult]
