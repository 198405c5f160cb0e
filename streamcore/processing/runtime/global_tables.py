"""Tables that every worker holds whole: they follow their topics outside all tasks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from streamcore.clock import Clock
from streamcore.errors import SerdeError
from streamcore.log.client.port import Log
from streamcore.model import TopicPartition
from streamcore.processing.operators.guard import each
from streamcore.processing.topology.nodes import GlobalTable, StoreSpec, TopicSpec
from streamcore.processing.topology.times import event_time_ms
from streamcore.state.changelog import checkpoint
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec, key_codec
from streamcore.state.position import Position
from streamcore.state.restore import RestoreTarget, Transform, restore_store
from streamcore.state.stored_values import undecodable

Progress = Callable[[str, int, int], None]


def topic_transform(topic: TopicSpec, key_type: Any, *, checks_values: bool) -> Transform | None:
    """Return the function from a topic's bytes to a store's, for a table that follows it; ``None`` if they
    are equal.

    Records whose key does not decode or fit the store are left out, as an error policy leaves them
    out; with ``checks_values`` also those whose value does not decode or has no time.
    """
    if topic.key_serde.name in ("str", "bytes") and not checks_values:
        return None
    codec: KeyCodec[Any] = key_codec(key_type)
    decode_key, decode_value = topic.key_serde.decode, topic.value_serde.decode
    timestamp = topic.timestamp
    bad = object()

    def read(data: bytes | None) -> None:
        if data is not None:
            value = decode_value(data)
            if timestamp is not None and value is not None:
                event_time_ms(timestamp, value)

    def encoded(keys: list[Any]) -> list[Any]:
        try:
            return list(codec.encode_many(keys))
        except SerdeError:
            return each(codec.encode, keys, lambda position, error: bad)

    def transform(keys: list[bytes], values: list[bytes | None]) -> tuple[list[bytes], list[bytes | None]]:
        decoded = each(decode_key, keys, lambda position, error: bad)
        if checks_values:
            checked = each(read, values, lambda position, error: bad)
            decoded = [bad if found is bad else key for key, found in zip(decoded, checked, strict=True)]
        pairs = [(key, value) for key, value in zip(decoded, values, strict=True) if key is not bad]
        stored = zip(encoded([key for key, _ in pairs]), [value for _, value in pairs], strict=True)
        kept = [(key, value) for key, value in stored if key is not bad]
        return [key for key, _ in kept], [value for _, value in kept]

    return transform


class GlobalTableKeeper:
    """Holds one global table: a store that is brought to the end of its topic repeatedly."""

    def __init__(
        self,
        node: GlobalTable,
        partition_count: int,
        engine: KeyValueEngine,
        log: Log,
        clock: Clock,
        *,
        checks_values: bool,
    ) -> None:
        self.store: StoreSpec = node.store
        self.engine = engine
        self._log = log
        self._clock = clock
        self._partitions = [TopicPartition(node.topic.name, number) for number in range(partition_count)]
        self._transform = topic_transform(node.topic, node.store.key_type, checks_values=checks_values)
        self._codec: KeyCodec[Any] = key_codec(node.store.key_type)
        self._reached = dict.fromkeys(self._partitions, -1)

    def store_name(self, partition: int) -> str:
        """Return the engine's name for the records of one partition: each has a separate checkpoint."""
        return f"{self.store.name}@{partition}"

    @property
    def partitions(self) -> list[TopicPartition]:
        """The partitions that the table follows."""
        return self._partitions

    def follow(self, progress: Progress | None = None) -> bool:
        """Apply new records of the topic; return whether there were any."""
        moved = False
        offsets = self._log.offsets(self._partitions)
        for partition in self._partitions:
            end = offsets[partition].last_stable
            if end == self._reached[partition]:
                continue
            restore_store(
                self.engine,
                RestoreTarget(
                    store=self.store_name(partition.partition), partition=partition, transform=self._transform
                ),
                self._log,
                self._clock,
                progress=None if progress is None else _named(progress, self.store.name),
            )
            self._reached[partition] = end
            moved = True
        return moved

    def position(self) -> Position:
        """Return the position that the table has reached in its topic."""
        found = {}
        for partition in self._partitions:
            reached = checkpoint(self.engine, self.store_name(partition.partition))
            if reached is not None:
                found[partition] = reached.offset
        return Position(found)

    def ensure_key(self, key: Any) -> None:
        """Refuse a key that the table cannot hold, with ``SerdeError``."""
        self._codec.encode(key)

    def identify(self, keys: Sequence[Any]) -> Sequence[Any]:
        """Return an identity for each key: a dict key that is equal exactly if the keys are one key."""
        return self._codec.identify_many(keys)

    def get(self, key: Any) -> Any:
        """Return the value of a key, or ``None``.

        Raises:
            SerdeError: the key is not a key of the table.
        """
        (identity,) = self.identify([key])
        return self.load([identity]).get(identity)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Return all keys and values, in the order of the stored keys."""
        parts = [self.engine.scan(self.store_name(each.partition), None, None) for each in self._partitions]
        decode_key, decode = self._codec.decode, self.store.value_serde.decode
        return ((decode_key(key), decode(data)) for key, data in heapq.merge(*parts))

    def load(self, keys: Collection[Any]) -> dict[Any, Any]:
        """Return the values of those of these identities that have one."""
        wanted = list(keys)
        encoded = self._codec.encode_identities(wanted)
        found: dict[Any, Any] = {}
        for partition in self._partitions:
            values = self.engine.get_many(self.store_name(partition.partition), encoded)
            for key, data in zip(wanted, values, strict=True):
                if data is not None:
                    found[key] = self._value(key, data)
        return found

    def _value(self, identity: Any, data: bytes) -> Any:
        serde = self.store.value_serde
        try:
            return serde.decode(data)
        except Exception as error:  # of the user's serde, or of a class of the user's
            (encoded,) = self._codec.encode_identities((identity,))
            raise undecodable(
                error,
                table=self.store.name,
                key=self._codec.decode(encoded),
                data=data,
                value_type=serde.type_name,
            ) from error


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
