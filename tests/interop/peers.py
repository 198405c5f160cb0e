"""The clients that are seen using the broker, what each is asked to show, and what it does not offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.interop.fetching import franz_go_client, java_program, kafkajs_client, kcat_client, python_client

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
GROUP: Final = "group"
NEW_GROUP: Final = "new group"
TRANSACTIONS: Final = "transactions"
ADMIN: Final = "admin"
CRASH: Final = "broker killed"
COLUMNS: Final[Mapping[str, str]] = {
    **{codec: "uncompressed" if codec == "none" else codec for codec in CODECS},
    GROUP: "group",
    NEW_GROUP: "KIP-848",
    TRANSACTIONS: "transactions",
    ADMIN: "admin",
    CRASH: "broker killed",
}
"""What each client is asked to show, and how the table calls it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A client."""

    name: str
    command: Callable[[], list[str]]
    """Fetches it and tells how its program is started."""
    partner: str
    """The client that reads what it writes, and writes what it reads."""
    without: Mapping[str, str] = field(default_factory=dict)
    """What it does not offer, and why."""


_NO_KIP_848: Final = {NEW_GROUP: "knows the classic protocol only"}

PEERS: Final = (
    Peer("confluent-kafka", partial(python_client, "confluent-kafka", "confluent_client"), "kafka-python-3"),
    Peer("aiokafka", partial(python_client, "aiokafka", "aiokafka_client"), "confluent-kafka", _NO_KIP_848),
    Peer(
        "kafka-python-3",
        partial(python_client, "kafka-python-3", "kafka_python_client"),
        "confluent-kafka",
        _NO_KIP_848,
    ),
    Peer(
        "kafka-python-2",
        partial(python_client, "kafka-python-2", "kafka_python_client"),
        "confluent-kafka",
        _NO_KIP_848,
    ),
    Peer("kafkajs", kafkajs_client, "confluent-kafka", _NO_KIP_848),
    Peer("kcat", kcat_client, "confluent-kafka", {**_NO_KIP_848, TRANSACTIONS: "has none"}),
    Peer(
        "franz-go", franz_go_client, "confluent-kafka", {NEW_GROUP: "is an experiment there, behind a switch"}
    ),
    Peer("java", partial(java_program, "Client"), "confluent-kafka"),
)

STREAMS: Final = Peer("kafka-streams", partial(java_program, "WordCount"), "")
FAUST: Final = Peer("faust", partial(python_client, "faust", "faust_program"), "")
QUIX: Final = Peer("quix", partial(python_client, "quix", "quix_program"), "")
CONNECT: Final = "kafka-connect"

FRAMEWORKS: Final[Mapping[tuple[str, str], str]] = {
    (STREAMS.name, "count"): "counts words with exactly_once_v2 and is killed on the way: every count once",
    (CONNECT, "standalone"): "standalone, from a file to a topic to a file: every line once",
    (CONNECT, "distributed"): "distributed, exactly-once source, killed on the way: every line once",
    (FAUST.name, "table"): "an agent counts in a table, which is restored from its changelog after a kill",
    (QUIX.name, "table"): "a stateful count, which is restored from its changelog after a kill",
}
"""What frameworks are asked to show."""

PEERS_BY_NAME: Final[Mapping[str, Peer]] = {peer.name: peer for peer in (*PEERS, STREAMS, FAUST, QUIX)}


def offering(column: str) -> list[Peer]:
    """The clients that have something to show."""
    return [peer for peer in PEERS if column not in peer.without]
