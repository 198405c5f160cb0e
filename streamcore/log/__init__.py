"""The log: topics split into partitions, append-only, durable, in Kafka's record format.

What programs use is exported here and loaded at first use; ``streamcore.log.connect`` opens a log.
The packages behind are ``records`` (bytes), ``storage`` (files), ``broker`` (decisions) and ``client``
(producers and consumers).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamcore.log.async_log import AsyncConsumer, AsyncLog, AsyncProducer
    from streamcore.log.client.consumer.consumer import Consumer
    from streamcore.log.client.producer.pending import SendFuture, SendManyFuture, Sent, SentMany
    from streamcore.log.client.producer.producer import Producer, Transaction
    from streamcore.log.connected_log import ConnectedLog
    from streamcore.log.groups import GroupSummary

_MODULES = {
    "AsyncConsumer": "async_log",
    "AsyncLog": "async_log",
    "AsyncProducer": "async_log",
    "ConnectedLog": "connected_log",
    "Consumer": "client.consumer.consumer",
    "GroupSummary": "groups",
    "Producer": "client.producer.producer",
    "SendFuture": "client.producer.pending",
    "SendManyFuture": "client.producer.pending",
    "Sent": "client.producer.pending",
    "SentMany": "client.producer.pending",
    "Transaction": "client.producer.producer",
}

__all__ = [
    "AsyncConsumer",
    "AsyncLog",
    "AsyncProducer",
    "ConnectedLog",
    "Consumer",
    "GroupSummary",
    "Producer",
    "SendFuture",
    "SendManyFuture",
    "Sent",
    "SentMany",
    "Transaction",
]


def __getattr__(name: str) -> object:
    """Load an exported name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
