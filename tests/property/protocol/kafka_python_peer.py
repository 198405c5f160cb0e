"""kafka-python 3 as a second reader and writer of our messages.

Its classes are made from Kafka's schemas when they are imported, and hold the fields under the schemas'
names. It differs in a few values: a uuid is an object, or ``None`` for zero; a tagged structure that
is not there is ``None``; sets of authorized operations are sets of bits; and a few fields have names of
their own.
"""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import Any, Final

from kafka.protocol.api_message import ApiMessage

from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.layouts import FieldLayout, layout_of
from tests.property.protocol.served_messages import ServedMessage

_MODULES: Final = ("admin", "consumer", "metadata", "producer", "sasl")

_OTHER_NAMES: Final = {
    "MetadataResponse": {"cluster_authorized_operations": "authorized_operations"},
    "MetadataResponseTopic": {"topic_authorized_operations": "authorized_operations"},
    "DescribeClusterResponse": {"cluster_authorized_operations": "authorized_operations"},
}

_NO_BITS: Final = -(2**31)


def knows(served: ServedMessage) -> bool:
    """Whether kafka-python has a message in this version."""
    peer = _peer_class(served)
    return peer is not None and served.version in range(peer._valid_versions[0], peer._valid_versions[1] + 1)


def encode(served: ServedMessage, message: Message) -> bytes:
    """What kafka-python writes for a message."""
    peer = _peer_class(served)
    made = _to_peer(message, served.type, peer, served.version)
    return bytes(made.encode(version=served.version))


def decode(served: ServedMessage, data: bytes) -> Message:
    """What kafka-python reads."""
    # Not its class's own method: that of ApiVersionsResponse takes any version with an error for version 0.
    found = ApiMessage.decode.__func__(_peer_class(served), data, version=served.version)
    return _from_peer(found, served.type, served.version)


def _peer_class(served: ServedMessage) -> Any:
    for module in _MODULES:
        name = f"{served.api.name}{'Request' if served.is_request else 'Response'}"
        found = getattr(import_module(f"kafka.protocol.{module}"), name, None)
        if found is not None:
            return found
    return None


def _peer_name(message: type[Message], field: FieldLayout) -> str:
    return _OTHER_NAMES.get(message.__name__, {}).get(field.name, field.name)


def _to_peer(message: Message, ours: type[Message], peer: Any, version: int) -> Any:
    values: dict[str, Any] = {}
    for field in layout_of(ours, version):
        name = _peer_name(ours, field)
        value: Any = getattr(message, field.name)
        if field.kind.structure is not None:
            inner, part = peer.fields[name].data_class, field.kind.structure
            if field.tag is not None and not field.kind.is_array and value == field.default:
                value = None
            elif isinstance(value, list):
                value = [_to_peer(each, part, inner, version) for each in value]
            elif value is not None:
                value = _to_peer(value, part, inner, version)
        elif field.kind.name == "uuid":
            value = [_to_uuid(each) for each in value] if isinstance(value, list) else _to_uuid(value)
        elif peer.fields[name].type_str == "bitfield":
            value = None if value == _NO_BITS else {bit for bit in range(32) if value & (1 << bit)}
        values[name] = value
    return peer(version=version, **values)


def _from_peer(found: Any, ours: type[Message], version: int) -> Message:
    values: dict[str, Any] = {}
    for field in layout_of(ours, version):
        name = _peer_name(ours, field)
        value = getattr(found, name)
        if field.kind.structure is not None:
            part = field.kind.structure
            if isinstance(value, list):
                value = [_from_peer(each, part, version) for each in value]
            elif value is not None:
                value = _from_peer(value, part, version)
            elif field.tag is not None:
                value = field.default
        elif field.kind.name == "uuid":
            value = [_from_uuid(each) for each in value] if isinstance(value, list) else _from_uuid(value)
        elif found.fields[name].type_str == "bitfield":
            value = _NO_BITS if value is None else _signed(sum(1 << bit for bit in value))
        values[field.name] = value
    return ours(**values)


def _to_uuid(value: bytes) -> uuid.UUID | None:
    return None if value == ZERO_UUID else uuid.UUID(bytes=value)


def _from_uuid(value: uuid.UUID | None) -> bytes:
    return ZERO_UUID if value is None else value.bytes


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value
