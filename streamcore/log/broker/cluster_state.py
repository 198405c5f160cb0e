"""State of the log as a whole that changes while it runs: settings, users, access rules.

Each item is a value with a kind and a name, stored in one compacted internal topic. An owner of such state
creates a ``StateTable`` with its own kind and the type of its values; this module knows none of them. A table
is the replay of its records, at start as after a change.

Record := key: kind "/" name, UTF-8 | value: JSON {"version": ..., "value": ...}; null deletes

``version`` is the kind's: it is raised when the type of its values changes so that an older program could
not read them. A kind has no "/" in it; a name may.

Invariants:

* Changes that are written together are one batch: a crash leaves all of them or none.
* A change is effective for the next decision at once, and is answered when it is durable.
* Records of an unknown kind stay unchanged: a newer program may have written them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from streamcore.errors import CorruptDataError, UnsupportedVersionError, fact_text
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedRecord
from streamcore.log.broker.operations import Operation

TOPIC: Final = "__cluster_state"
_SEPARATOR: Final = "/"

V = TypeVar("V")
Listener: TypeAlias = Callable[[str, V | None], None]


class Change(Struct, frozen=True):
    """One record to write; created by a ``StateTable``."""

    kind: str
    name: str
    data: bytes | None


class _Stored(msgspec.Struct):
    version: int
    value: msgspec.Raw


class StateTable(Generic[V]):
    """The values of one kind by name."""

    def __init__(
        self, kind: str, content: type[V], *, version: int = 1, listener: Listener[V] | None = None
    ) -> None:
        """``content`` is any type that msgspec reads and writes as JSON.

        ``listener`` is called with a name and its new value, ``None`` if it is deleted: while the log is
        opened, and after each change.
        """
        assert _SEPARATOR not in kind
        self.kind = kind
        self._content = content
        self._version = version
        self._listener = listener
        self._values: dict[str, V] = {}

    @property
    def values(self) -> Mapping[str, V]:
        """The present values by name."""
        return MappingProxyType(self._values)

    def put(self, name: str, value: V) -> Change:
        """Return the change that sets the value of a name; it is effective once written."""
        stored = _Stored(self._version, msgspec.Raw(msgspec.json.encode(value)))
        return Change(self.kind, name, msgspec.json.encode(stored))

    def delete(self, name: str) -> Change:
        """Return the change that deletes a name."""
        return Change(self.kind, name, None)

    def replay(self, name: str, data: bytes | None) -> None:
        """Apply one record.

        Raises:
            CorruptDataError: the record cannot be read.
            UnsupportedVersionError: a newer program wrote it.
        """
        value = None if data is None else self._decoded(name, data)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value
        if self._listener is not None:
            self._listener(name, value)

    def _decoded(self, name: str, data: bytes) -> V:
        facts = fact_text(topic=TOPIC, kind=self.kind, name=repr(name))
        try:
            stored = msgspec.json.decode(data, type=_Stored)
            if stored.version > self._version:
                raise UnsupportedVersionError(
                    "a record of the broker's state has a newer format than this program reads: upgrade "
                    f"the program: {facts} version={stored.version}"
                )
            return msgspec.json.decode(stored.value, type=self._content)
        except msgspec.MsgspecError as error:
            raise CorruptDataError(
                f"a record of the broker's state cannot be read: restore the log from a copy: {facts}"
            ) from error


class ClusterState:
    """All tables, stored in one topic."""

    def __init__(self, topic: InternalTopic) -> None:
        self._topic = topic
        self._tables: dict[str, StateTable[Any]] = {}

    def add(self, table: StateTable[V]) -> StateTable[V]:
        """Add a table; before ``load``."""
        assert table.kind not in self._tables
        self._tables[table.kind] = table
        return table

    def load(self) -> None:
        """Replay the topic."""
        for entry in self._topic.replay():
            if isinstance(entry, ReplayedRecord):
                kind, _, name = entry.key.decode(errors="replace").partition(_SEPARATOR)
                self._replay(kind, name, entry.value)

    def write(self, changes: Sequence[Change]) -> Operation[None]:
        """Write changes, all or none, durably.

        Raises:
            StorageError: the disk refused; nothing has changed.
        """
        if not changes:
            return
        records = [(f"{each.kind}{_SEPARATOR}{each.name}".encode(), each.data) for each in changes]
        self._topic.append(TOPIC, records)
        for change in changes:
            self._replay(change.kind, change.name, change.data)
        yield self._topic.written(TOPIC)

    def _replay(self, kind: str, name: str, data: bytes | None) -> None:
        table = self._tables.get(kind)
        if table is not None:
            table.replay(name, data)
