"""The fields of a message in one version, from the annotations of its class.

``layout_of`` evaluates the notes that ``fields`` defines; ``decoding`` and ``encoding`` generate code from
the layout, and tests generate values from it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from streamcore.log.protocol.fields import RECORDS_MARK, UUID_MARK, Fixed, Message, Null, Tag, V


class Kind(Struct, frozen=True):
    """How a value is encoded: as a named type, as a structure, or as an array of either."""

    name: str
    """A letter of ``struct``, or ``string``, ``bytes``, ``records``, ``uuid``, ``structure``."""
    structure: type[Message] | None = None
    is_array: bool = False
    may_be_encoded: bool = False
    """For an array of structures and for its elements: the elements may also be bytes that were encoded
    before.
    """

    @property
    def is_number(self) -> bool:
        """Whether the value is a number of fixed size or a boolean."""
        return len(self.name) == 1 and not self.is_array


class FieldLayout(Struct, frozen=True):
    """A field in one version."""

    name: str
    kind: Kind
    is_nullable: bool
    tag: int | None
    has_default: bool
    default: object

    @property
    def element(self) -> FieldLayout:
        """The layout of an element of the array field; an element is never null."""
        kind = Kind(self.kind.name, self.kind.structure, may_be_encoded=self.kind.may_be_encoded)
        return FieldLayout(self.name, kind, is_nullable=False, tag=None, has_default=False, default=None)


@cache
def layout_of(message: type[Message], version: int) -> tuple[FieldLayout, ...]:
    """Return the fields of a message in one version, in wire order, tagged fields among them."""
    hints = typing.get_type_hints(message, include_extras=True)
    fields: list[FieldLayout] = []
    for info in msgspec.structs.fields(message):
        annotation = hints[info.name]
        notes: tuple[object, ...] = ()
        if typing.get_origin(annotation) is Annotated and not _is_alias(annotation):
            annotation, *rest = typing.get_args(annotation)
            notes = tuple(rest)
        tag = next((note for note in notes if isinstance(note, Tag)), None)
        versions = tag or next((note for note in notes if isinstance(note, V)), None)
        if versions is not None and version not in versions:
            continue
        nullable = next((note for note in notes if isinstance(note, Null)), None)
        inner, allows_none = _without_none(annotation)
        default, has_default = info.default, True
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        elif info.default is msgspec.NODEFAULT:
            default, has_default = None, False
        fields.append(
            FieldLayout(
                info.name,
                _kind(inner, notes),
                allows_none and (nullable is None or version in nullable),
                None if tag is None else tag.number,
                has_default,
                default,
            )
        )
    return tuple(fields)


def in_runs(fields: Iterable[FieldLayout]) -> list[list[FieldLayout]]:
    """Group fields in order: adjacent numbers are one group, and every other field is a group by itself."""
    runs: list[list[FieldLayout]] = []
    for field in fields:
        if field.kind.is_number and runs and runs[-1][0].kind.is_number:
            runs[-1].append(field)
        else:
            runs.append([field])
    return runs


def _is_alias(annotation: object) -> bool:
    """Whether ``Annotated`` stands for a type of field, such as ``Int32``, and not for a note on a field."""
    return any(
        isinstance(note, Fixed) or note in (UUID_MARK, RECORDS_MARK)
        for note in typing.get_args(annotation)[1:]
    ) and not any(isinstance(note, V | Null | Tag) for note in typing.get_args(annotation)[1:])


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner = [each for each in typing.get_args(annotation) if each is not type(None)]
        return inner[0], True
    return annotation, False


def _without_bytes(annotation: Any) -> tuple[Any, bool]:
    if isinstance(annotation, types.UnionType):
        (inner,) = (each for each in typing.get_args(annotation) if each is not bytes)
        return inner, True
    return annotation, False


def _kind(annotation: Any, notes: tuple[object, ...]) -> Kind:
    if typing.get_origin(annotation) is list:
        inner, may_be_encoded = _without_bytes(typing.get_args(annotation)[0])
        element = _kind(inner, ())
        return Kind(element.name, element.structure, is_array=True, may_be_encoded=may_be_encoded)
    # ``Annotated[Annotated[int, …], …]`` is one flat Annotated, so the type's mark may be among the notes.
    if typing.get_origin(annotation) is Annotated:
        notes = (*notes, *typing.get_args(annotation)[1:])
    for note in notes:
        if isinstance(note, Fixed):
            return Kind(note.layout)
        if note is UUID_MARK:
            return Kind("uuid")
        if note is RECORDS_MARK:
            return Kind("records")
    if annotation is bool:
        return Kind("?")
    if annotation is str:
        return Kind("string")
    if annotation is bytes:
        return Kind("bytes")
    assert isinstance(annotation, type), annotation
    assert issubclass(annotation, Message), annotation
    return Kind("structure", annotation)
