"""Answers as plain trees that two brokers can be compared by.

What two brokers must be free to choose is given a name instead: an id is called after the order in which ids
of its kind are first seen in a conversation, so that *equal* ids still have to be equal; a time near the
present is ``recent``. Texts of errors are left out. An array of structures with keys (a name, a number)
becomes a mapping by key: in which order a broker lists topics means nothing to a client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.layouts import FieldLayout, layout_of
from streamcore.log.records.batch import HEADER_BYTES, iter_batches

Tree = Any
"""A mapping by field or key, a list, or a plain value."""

_HOUR_MS: Final = 3_600_000
_LEFT_OUT: Final = (
    "throttle_time_ms",
    "error_message",
    "error_string",
    "documentation",
    "usable_bytes",
    "total_bytes",
)
"""What fields end with that say nothing a program could go by, or something of the machine."""
_KEYS: Final = (
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "topic_ids",
    "partition",
    "partition_index",
    "partition_id",
    "index",
    "group_id",
    "group",
    "member_id",
    "group_instance_id",
    "transactional_id",
    "resource_name",
    "resource_type",
    "producer_id",
    "key",
    "api_key",
    "user",
    "mechanism",
    "log_dir",
    "node_id",
    "broker_id",
    "feature",
    "voter_id",
    "replica_id",
)
"""Fields that tell the elements of an array apart, where they have them."""
_NO_KEY: Final = (None, "", "none")
_IN_ORDER: Final = frozenset({"synonyms", "assignments", "entries"})
"""Arrays whose order counts."""
_SORTED: Final = frozenset({"replica_nodes", "isr_nodes", "partitions"})
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KAFKA_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_KINDS_OF_IDS: Final = {"producer_id": "producer", "session_id": "session"}
_ADDRESSES: Final = frozenset({"host", "port", "cluster_id", "log_dir"})


class Keyed(dict[str, Tree]):
    """An array's elements by what tells them apart."""


class Names:
    """What the ids of one conversation are called, and what counts as the present."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._names: dict[tuple[str, object], str] = {}
        self._counts: dict[str, int] = {}

    def name(self, kind: str, value: object, name: str | None = None) -> str:
        """The name of an id; one that is new gets the given one, or the next of its kind."""
        found = self._names.get((kind, value))
        if found is None:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            found = self._names[kind, value] = name or f"{kind}#{number}"
        return found

    def of_number(self, field: str, value: int) -> object:
        """A number, an id, or a time near the present."""
        if field in _KINDS_OF_IDS and value > 0:
            return self.name(_KINDS_OF_IDS[field], value)
        if abs(value - self._now_ms) < _HOUR_MS:
            return "recent"
        return value

    def of_text(self, field: str, value: str) -> str:
        """A text, with what is an id in it named."""
        if field in {"member_id", "leader"} and _KAFKA_ID.fullmatch(value):
            return self.name("uuid", value)
        return _UUID.sub(lambda match: self.name("uuid", match[0]), value)


def tree_of(message: Message, version: int, names: Names) -> Tree:
    """A message of a version as a tree."""
    tree: dict[str, Tree] = {}
    for field in layout_of(type(message), version):
        if not field.name.endswith(_LEFT_OUT):
            tree[field.name] = _value(field, getattr(message, field.name), version, names)
    return tree


def _value(field: FieldLayout, value: Any, version: int, names: Names) -> Tree:
    if value is None:
        return None
    if field.kind.is_array:
        return _array(field, value, version, names)
    if field.name in _ADDRESSES:
        return field.name if value not in ("", -1) else value
    match field.kind.name:
        case "structure":
            return tree_of(value, version, names)
        case "records":
            return _batches(bytes(value), names)
        case "uuid":
            return "none" if value == ZERO_UUID else names.name("uuid", bytes(value))
        case "string":
            return names.of_text(field.name, value)
        case "bytes":
            return value.hex()
        case "?" | "d":
            return value
        case _ if field.name.endswith("error_code"):
            return _code(value)
        case _:
            return names.of_number(field.name, value)


def _code(value: int) -> str:
    try:
        return ErrorCode(value).name
    except ValueError:
        return f"error {value}"


def _array(field: FieldLayout, values: Sequence[Any], version: int, names: Names) -> Tree:
    elements = [_value(field.element, each, version, names) for each in values]
    if field.kind.structure is None:
        return sorted(elements) if field.name in _SORTED else elements
    if field.name in _IN_ORDER or not elements or not any(key in elements[0] for key in _KEYS):
        return elements
    return _by_key(elements)


def _by_key(elements: Sequence[dict[str, Tree]]) -> Tree:
    found = Keyed()
    for element in sorted(filter(_says_something, elements), key=repr):
        key = text = next((str(element[part]) for part in _KEYS if element.get(part) not in _NO_KEY), "")
        count = 1
        while text in found and not _joined(found[text], element):
            count += 1
            text = f"{key} ({count})"
        found.setdefault(text, element)
    return found or []


def _says_something(element: dict[str, Tree]) -> bool:
    """Whether an element is more than the name of something that has nothing in it.

    Who names a topic without partitions gets it back from us, and from Kafka where its code happens to.
    """
    contents = [value for key, value in element.items() if key not in _KEYS]
    return not contents or any(value != [] for value in contents)


def _joined(first: dict[str, Tree], second: dict[str, Tree]) -> bool:
    """Whether the second element only has more of what the first has, and then joins it.

    Kafka lists a topic twice where some of its partitions fail early, and others late or not at all.
    """
    parts = [key for key, value in second.items() if isinstance(value, dict)]
    if len(parts) != 1 or any(first[key] != value for key, value in second.items() if key not in parts):
        return False
    (part,) = parts
    if not isinstance(first[part], dict) or first[part].keys() & second[part].keys():
        return False
    first[part].update(second[part])
    return True


def _batches(records: bytes, names: Names) -> Tree:
    """Record batches, by their headers; the records themselves as they are."""
    batches: list[Tree] = []
    position = 0
    try:
        for at, header in iter_batches(records):
            tree = header._asdict()
            del tree["crc"]
            tree["producer_id"] = names.of_number("producer_id", header.producer_id)
            for field in ("base_timestamp_ms", "max_timestamp_ms"):
                tree[field] = names.of_number(field, tree[field])
            position = at + header.size_bytes
            tree["records"] = "marker" if header.is_control else records[at + HEADER_BYTES : position].hex()
            batches.append(tree)
    except Exception as error:  # noqa: BLE001 - what cannot be read is shown as it is
        return [*batches, f"{type(error).__name__}: {records[position:].hex()}"]
    return batches
