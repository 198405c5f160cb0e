"""DescribeLogDirs (key 35): returns the disk space of each partition."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class DescribableLogDirTopic(Message):
    topic: str
    partitions: list[Int32]


class DescribeLogDirsRequest(Message):
    """The request."""

    topics: list[DescribableLogDirTopic] | None


class DescribeLogDirsPartition(Message):
    partition_index: Int32
    partition_size: Int64
    offset_lag: Int64
    is_future_key: bool


class DescribeLogDirsTopic(Message):
    name: str
    partitions: list[DescribeLogDirsPartition]


class DescribeLogDirsResult(Message):
    error_code: Int16
    log_dir: str
    topics: list[DescribeLogDirsTopic]
    total_bytes: A[Int64, V("4+")] = -1
    usable_bytes: A[Int64, V("4+")] = -1
    is_cordoned: A[bool, V("5+")] = False


class DescribeLogDirsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: A[Int16, V("3+")] = 0
    results: list[DescribeLogDirsResult]
