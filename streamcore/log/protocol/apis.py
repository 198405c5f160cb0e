"""The table of served APIs and their versions: one row per API.

The ranges are Apache Kafka 4.3's. The module of an API's messages is imported when a version of them is first
used: a client uses about a dozen APIs, and the start of a process should not import the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from streamcore.log.protocol.codec import Codec, codec_of
from streamcore.log.protocol.fields import VERSION_MAX, Message

_NEVER: Final = VERSION_MAX + 1


class Api(Struct, frozen=True):
    """One API. Versions ``[version_min, version_max]`` are served, both included."""

    key: int
    name: str
    version_min: int
    version_max: int
    flexible_from: int = _NEVER
    """From this version on, lengths are varints and structures end with tagged fields."""

    def serves(self, version: int) -> bool:
        """Whether a version is served."""
        return self.version_min <= version <= self.version_max

    def is_flexible(self, version: int) -> bool:
        """Whether a version has flexible encoding (KIP-482)."""
        return version >= self.flexible_from

    @property
    def module(self) -> str:
        """The module that defines the API's messages."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        return f"streamcore.log.protocol.messages.{words}"

    @property
    def request_type(self) -> type[Message]:
        """The class of its requests."""
        return _message(self, "Request")

    @property
    def response_type(self) -> type[Message]:
        """The class of its responses."""
        return _message(self, "Response")

    def request_codec(self, version: int) -> Codec[Message]:
        """Return the codec of the API's requests of a version."""
        return _codec(self.key, version, "Request")

    def response_codec(self, version: int) -> Codec[Message]:
        """Return the codec of the API's responses of a version."""
        return _codec(self.key, version, "Response")


@cache
def _codec(key: int, version: int, direction: str) -> Codec[Message]:
    api = APIS[key]
    return codec_of(_message(api, direction), version, api.is_flexible(version))


def _message(api: Api, direction: str) -> type[Message]:
    message = getattr(import_module(api.module), f"{api.name}{direction}")
    assert isinstance(message, type)
    assert issubclass(message, Message)
    return message


PRODUCE: Final = Api(0, "Produce", 3, 13, flexible_from=9)
FETCH: Final = Api(1, "Fetch", 4, 18, flexible_from=12)
API_VERSIONS: Final = Api(18, "ApiVersions", 0, 4, flexible_from=3)
SASL_HANDSHAKE: Final = Api(17, "SaslHandshake", 0, 1)
SASL_AUTHENTICATE: Final = Api(36, "SaslAuthenticate", 0, 2, flexible_from=2)

PRODUCE_ADVERTISED_MIN: Final = 0
"""The first advertised version of Produce. Requests below ``PRODUCE.version_min`` are refused, yet
advertised:
clients built on librdkafka before 2.11.1 take a broker whose range begins later for one without compression
(KAFKA-18659).
"""

_ALL: Final = (
    PRODUCE,
    FETCH,
    Api(2, "ListOffsets", 1, 11, flexible_from=6),
    Api(3, "Metadata", 0, 13, flexible_from=9),
    Api(8, "OffsetCommit", 2, 10, flexible_from=8),
    Api(9, "OffsetFetch", 1, 10, flexible_from=6),
    Api(10, "FindCoordinator", 0, 6, flexible_from=3),
    Api(11, "JoinGroup", 0, 9, flexible_from=6),
    Api(12, "Heartbeat", 0, 4, flexible_from=4),
    Api(13, "LeaveGroup", 0, 5, flexible_from=4),
    Api(14, "SyncGroup", 0, 5, flexible_from=4),
    Api(15, "DescribeGroups", 0, 6, flexible_from=5),
    Api(16, "ListGroups", 0, 5, flexible_from=3),
    SASL_HANDSHAKE,
    API_VERSIONS,
    Api(19, "CreateTopics", 2, 7, flexible_from=5),
    Api(20, "DeleteTopics", 1, 6, flexible_from=4),
    Api(21, "DeleteRecords", 0, 2, flexible_from=2),
    Api(22, "InitProducerId", 0, 5, flexible_from=2),
    Api(23, "OffsetForLeaderEpoch", 2, 4, flexible_from=4),
    Api(24, "AddPartitionsToTxn", 0, 5, flexible_from=3),
    Api(25, "AddOffsetsToTxn", 0, 4, flexible_from=3),
    Api(26, "EndTxn", 0, 5, flexible_from=3),
    Api(27, "WriteTxnMarkers", 1, 2, flexible_from=1),
    Api(28, "TxnOffsetCommit", 0, 5, flexible_from=3),
    Api(29, "DescribeAcls", 1, 3, flexible_from=2),
    Api(30, "CreateAcls", 1, 3, flexible_from=2),
    Api(31, "DeleteAcls", 1, 3, flexible_from=2),
    Api(32, "DescribeConfigs", 1, 4, flexible_from=4),
    Api(33, "AlterConfigs", 0, 2, flexible_from=2),
    Api(34, "AlterReplicaLogDirs", 1, 2, flexible_from=2),
    Api(35, "DescribeLogDirs", 1, 5, flexible_from=2),
    SASL_AUTHENTICATE,
    Api(37, "CreatePartitions", 0, 3, flexible_from=2),
    Api(42, "DeleteGroups", 0, 2, flexible_from=2),
    Api(43, "ElectLeaders", 0, 2, flexible_from=2),
    Api(44, "IncrementalAlterConfigs", 0, 1, flexible_from=1),
    Api(45, "AlterPartitionReassignments", 0, 1, flexible_from=0),
    Api(46, "ListPartitionReassignments", 0, 0, flexible_from=0),
    Api(47, "OffsetDelete", 0, 0),
    Api(48, "DescribeClientQuotas", 0, 1, flexible_from=1),
    Api(49, "AlterClientQuotas", 0, 1, flexible_from=1),
    Api(50, "DescribeUserScramCredentials", 0, 0, flexible_from=0),
    Api(51, "AlterUserScramCredentials", 0, 0, flexible_from=0),
    Api(55, "DescribeQuorum", 0, 2, flexible_from=0),
    Api(57, "UpdateFeatures", 0, 2, flexible_from=0),
    Api(60, "DescribeCluster", 0, 2, flexible_from=0),
    Api(61, "DescribeProducers", 0, 0, flexible_from=0),
    Api(65, "DescribeTransactions", 0, 0, flexible_from=0),
    Api(66, "ListTransactions", 0, 2, flexible_from=0),
    Api(68, "ConsumerGroupHeartbeat", 0, 1, flexible_from=0),
    Api(69, "ConsumerGroupDescribe", 0, 1, flexible_from=0),
    Api(74, "ListConfigResources", 0, 1, flexible_from=0),
    Api(75, "DescribeTopicPartitions", 0, 0, flexible_from=0),
)

APIS: Final[Mapping[int, Api]] = MappingProxyType({api.key: api for api in _ALL})
"""Every API by its key."""
