"""kio as a second reader and writer of our messages.

Its classes are generated from Kafka's schemas, one for each version, and its reader is native code. It
has types of its own for what is a number on the wire, and so cannot carry every number: an error code
must be one that exists, a time is in whole seconds after 1970, a duration has a limit. ``nearest`` gives a
message that it can carry.

Its modules are many, so each version is imported when it is first used.
"""

from __future__ import annotations

import io
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Final, TypeAlias

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map, schema_name_map
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.layouts import FieldLayout, layout_of
from tests.property.protocol.served_messages import ServedMessage

Conversion: TypeAlias = Callable[[Any], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_DURATION_MAX_MS: Final = 2**50
_ERROR_CODES: Final = frozenset(map(int, ErrorCode))

_TO_PEER: Final[Mapping[str, Conversion]] = {
    "uuid": lambda value: None if value == ZERO_UUID else uuid.UUID(bytes=value),
    "error_code": ErrorCode,
    "timedelta_i32": lambda value: timedelta(milliseconds=value),
    "timedelta_i64": lambda value: timedelta(milliseconds=value),
    "datetime_i64": lambda value: _EPOCH + timedelta(milliseconds=value),
}
_FROM_PEER: Final[Mapping[str, Conversion]] = {
    "uuid": lambda value: ZERO_UUID if value is None else value.bytes,
    "error_code": int,
    "timedelta_i32": lambda value: value // timedelta(milliseconds=1),
    "timedelta_i64": lambda value: value // timedelta(milliseconds=1),
    "datetime_i64": lambda value: (value - _EPOCH) // timedelta(milliseconds=1),
}
_NEAREST: Final[Mapping[str, Conversion]] = {
    "error_code": lambda value: value if value in _ERROR_CODES else value % 100,
    "timedelta_i64": lambda value: max(-_DURATION_MAX_MS, min(value, _DURATION_MAX_MS)),
    "datetime_i64": lambda value: min(abs(value) // 1000, _LAST_SECOND) * 1000,
}

_NULLS_OF_ITS_OWN: Final = {"uuid", "datetime_i64"}


def knows(served: ServedMessage) -> bool:
    """Whether kio has a message in this version."""
    name = api_key_map.get(served.api.key)
    kind = EntityType.request if served.is_request else EntityType.response
    return name is not None and kind in schema_name_map[name].get(served.version, {})


def nearest(served: ServedMessage, message: Message) -> Message:
    """A message that kio can carry, the same but for the numbers that it has no value for."""
    return _nearest(message, _peer_class(served), served.version)


def encode(served: ServedMessage, message: Message) -> bytes:
    """What kio writes for a message."""
    peer = _peer_class(served)
    out = io.BytesIO()
    entity_writer(peer)(out, _to_peer(message, peer, served.version))
    return out.getvalue()


def decode(served: ServedMessage, data: bytes) -> Message:
    """What kio reads."""
    found, size = entity_reader(_peer_class(served))(data, 0)
    assert size == len(data), "kio has not read all of it"
    return _from_peer(found, served.type, served.version)


def encode_header(served: ServedMessage, correlation_id: int, client_id: str | None) -> bytes:
    """What kio writes before a message; a response has no client id."""
    header = _peer_class(served).__header_schema__
    values: dict[str, Any] = {"correlation_id": correlation_id}
    if served.is_request:
        values |= {
            "request_api_key": served.api.key,
            "request_api_version": served.version,
            "client_id": client_id,
        }
    out = io.BytesIO()
    entity_writer(header)(out, header(**values))
    return out.getvalue()


def differences(served: ServedMessage) -> list[str]:
    """Where kio's classes say other than our tables: what may be null, and what is not given."""
    return list(_differences(served.type.__name__, served.type, _peer_class(served), served.version))


def _differences(path: str, ours: type[Message], peer: Any, version: int) -> Iterator[str]:
    for field in layout_of(ours, version):
        theirs = _peer_fields(peer)[field.name]
        name = f"{path}.{field.name}"
        # Where kio has a null of its own, for the zero uuid and for the time -1, the wire has none.
        has_own_null = theirs.metadata.get("kafka_type") in _NULLS_OF_ITS_OWN
        may_be_null = type(None) in typing.get_args(theirs.type) and not has_own_null
        if may_be_null != field.is_nullable:
            yield f"{name} may{'' if may_be_null else ' not'} be null"
        if field.kind.structure is not None:
            yield from _differences(name, field.kind.structure, _part(theirs.type), version)
        elif field.has_default and theirs.default is not MISSING and not has_own_null:
            default = _converted(theirs.default, field, _plain(_FROM_PEER, theirs), list)
            if default != field.default:
                yield f"{name} is {default!r} if it is not given"


def _peer_class(served: ServedMessage) -> Any:
    load: Callable[[int, int], Any] = load_request_schema if served.is_request else load_response_schema
    return load(served.api.key, served.version)


@cache
def _peer_fields(peer: Any) -> dict[str, Field[Any]]:
    """Its fields by our names: what has a type for times and durations has no unit in its name."""
    found: dict[str, Field[Any]] = {}
    for field in fields(peer):
        has_unit = field.metadata.get("kafka_type", "").startswith(("timedelta", "datetime"))
        found[f"{field.name}_ms" if has_unit else field.name] = field
    return found


def _part(annotation: Any) -> Any:
    """The class of a structure that a field has one or several of."""
    if is_dataclass(annotation):
        return annotation
    return next((found for each in typing.get_args(annotation) if (found := _part(each))), None)


def _to_peer(message: Message, peer: Any, version: int) -> Any:
    values: dict[str, Any] = {}
    for field in layout_of(type(message), version):
        theirs = _peer_fields(peer)[field.name]
        part = _part(theirs.type)
        conversion = partial(_to_peer, peer=part, version=version) if part else _plain(_TO_PEER, theirs)
        values[theirs.name] = _converted(getattr(message, field.name), field, conversion, tuple)
    return peer(**values)


def _from_peer(found: Any, ours: type[Message], version: int) -> Message:
    values: dict[str, Any] = {}
    for field in layout_of(ours, version):
        theirs = _peer_fields(found.__class__)[field.name]
        part = field.kind.structure
        conversion = partial(_from_peer, ours=part, version=version) if part else _plain(_FROM_PEER, theirs)
        values[field.name] = _converted(getattr(found, theirs.name), field, conversion, list)
    return ours(**values)


def _nearest(message: Message, peer: Any, version: int) -> Message:
    values: dict[str, Any] = {}
    for field in layout_of(type(message), version):
        theirs = _peer_fields(peer)[field.name]
        part = _part(theirs.type)
        conversion = partial(_nearest, peer=part, version=version) if part else _plain(_NEAREST, theirs)
        values[field.name] = _converted(getattr(message, field.name), field, conversion, list)
    return type(message)(**values)


def _plain(conversions: Mapping[str, Conversion], field: Field[Any]) -> Conversion:
    return conversions.get(field.metadata["kafka_type"], _unchanged)


def _unchanged(value: Any) -> Any:
    return value


def _converted(value: Any, field: FieldLayout, conversion: Conversion, container: type) -> Any:
    if value is None and (field.kind.is_array or field.kind.structure is not None):
        return None
    return container(map(conversion, value)) if field.kind.is_array else conversion(value)
