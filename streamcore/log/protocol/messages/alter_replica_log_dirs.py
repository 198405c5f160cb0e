"""AlterReplicaLogDirs (key 34): moves partitions between the folders of a broker."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Message


class AlterReplicaLogDirTopic(Message):
    name: str
    partitions: list[Int32]


class AlterReplicaLogDir(Message):
    path: str
    topics: list[AlterReplicaLogDirTopic]


class AlterReplicaLogDirsRequest(Message):
    """The request."""

    dirs: list[AlterReplicaLogDir]


class AlterReplicaLogDirPartitionResult(Message):
    partition_index: Int32
    error_code: Int16


class AlterReplicaLogDirTopicResult(Message):
    topic_name: str
    partitions: list[AlterReplicaLogDirPartitionResult]


class AlterReplicaLogDirsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[AlterReplicaLogDirTopicResult]
