"""Compiles message classes to functions that read and write one version of them.

``codec_of(message, version, is_flexible)`` gives the pair, compiled at first use and kept. What it
compiles to is the code that one would write by hand for that version: fields of fixed size that
stand together are one ``struct`` call, an array is one loop.

Encodings, by Kafka's protocol guide: numbers are big-endian; a string has an int16 length, other
bytes and arrays an int32, -1 for null. In flexible versions lengths are unsigned varints of the
length plus one, 0 for null, and every structure ends with its tagged fields.

Reading trusts nothing: each length is held against what is there, so that what is allocated is
bounded by the size of the frame. Whatever does not fit is a ``MalformedMessageError``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

from streamcore.log.wire.fields import Message
from streamcore.log.wire.layouts import FieldLayout, Kind, layout_of

M = TypeVar("M", bound=Message)

Bytes: TypeAlias = bytes | bytearray | memoryview

_READING: Final = {"string": "str(d[p:e], 'utf-8')", "bytes": "bytes(d[p:e])", "records": "d[p:e]"}
_BYTES: Final = (bytes, bytearray, memoryview)


class MalformedMessageError(Exception):
    """The peer's bytes are not the message that they claim to be; its connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[M]):
    """Reads and writes one version of a message."""

    decode_at: Callable[[Bytes, int], tuple[M, int]]
    """Read a message at a position; return it and where it ends. May raise anything: use ``decode``."""
    encode_around: Callable[[M, list[tuple[int, Sized]]], bytearray]
    """Write a message, but for records that are not bytes: they are listed with their places."""

    def encode(self, message: M) -> bytearray:
        """Write a message."""
        apart: list[tuple[int, Sized]] = []
        encoded = self.encode_around(message, apart)
        assert not apart, "records that are sent apart need encode_parts"
        return encoded

    def encode_parts(self, message: M) -> list[Bytes | Sized]:
        """Write a message as what is to be sent one after the other: bytes, and records that are not."""
        apart: list[tuple[int, Sized]] = []
        encoded = self.encode_around(message, apart)
        if not apart:
            return [encoded]
        view = memoryview(encoded)
        parts: list[Bytes | Sized] = []
        start = 0
        for place, records in apart:
            parts += (view[start:place], records)
            start = place
        if start < len(encoded):
            parts.append(view[start:])
        return parts

    def decode(self, data: Bytes, position: int = 0, *, may_have_rest: bool = False) -> M:
        """Read the message that begins at ``position`` and ends with ``data``.

        Records in it are views of ``data``; everything else is copied.

        Args:
            may_have_rest: bytes after the message are no error. Kafka's broker ignores them, and
                librdkafka's Metadata requests for all topics have some (seen with 2.12).

        Raises:
            MalformedMessageError: the bytes do not fit the message.
        """
        try:
            message, end = self.decode_at(data, position)
        except (struct.error, IndexError, UnicodeDecodeError, ValueError, OverflowError) as error:
            raise MalformedMessageError(str(error)) from error
        if end != len(data) and not may_have_rest:
            raise MalformedMessageError(f"{len(data) - end} bytes are left over")
        return message


@cache
def codec_of(message: type[M], version: int, is_flexible: bool) -> Codec[M]:
    """The codec of one version of a message."""
    layout = layout_of(message, version)
    decode = _Decoder(version, is_flexible).compiled(message, layout)
    encode = _Encoder(version, is_flexible).compiled(message, layout)
    return Codec(decode, encode)


class _Writer:
    """Collects the lines of a function, and the objects that they name."""

    def __init__(self, version: int, is_flexible: bool) -> None:
        self.version = version
        self.is_flexible = is_flexible
        self._lines: list[str] = []
        self._depth = 0
        self._names: dict[str, object] = {}
        self._count = 0

    def line(self, text: str) -> None:
        """Add a line at the present depth."""
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Add a line that opens a block."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def new(self, prefix: str) -> str:
        """A local name that is not in use."""
        self._count += 1
        return f"{prefix}{self._count}"

    def known(self, prefix: str, value: object) -> str:
        """A global name for an object; the same object has the same name."""
        for name, other in self._names.items():
            if other is value:
                return name
        name = f"{prefix}_{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, name: str, parameters: str) -> Callable[..., Any]:
        """The function that the lines are the body of."""
        source = f"def {name}({parameters}):\n" + "\n".join("    " + line for line in self._lines)
        namespace: dict[str, Any] = dict(self._names)
        exec(compile(source, f"<{name} version {self.version}>", "exec"), namespace)
        function: Callable[..., Any] = namespace[name]
        return function


@cache
def _fixed(layout: str) -> struct.Struct:
    return struct.Struct(">" + layout)


class _Decoder(_Writer):
    """Writes the function that reads a message: ``d`` is the data, ``p`` the position, ``n`` the size."""

    def compiled(
        self, message: type[M], layout: Sequence[FieldLayout]
    ) -> Callable[[Bytes, int], tuple[M, int]]:
        """The function for a message."""
        self.line("n = len(d)")
        value = self._structure(message, layout)
        self.line(f"return {value}, p")
        return self.function(f"decode_{message.__name__}", "d, p")

    def _structure(self, message: type[Message], layout: Sequence[FieldLayout]) -> str:
        """Read a structure; return the expression that makes it."""
        values = {field.name: self.new("v") for field in layout}
        plain = [field for field in layout if field.tag is None]
        index = 0
        while index < len(plain):
            run = index
            while run < len(plain) and plain[run].kind.is_fixed:
                run += 1
            if run > index:
                names = [values[field.name] for field in plain[index:run]]
                self._numbers(names, "".join(field.kind.name for field in plain[index:run]))
                index = run
                continue
            self._field(plain[index], values[plain[index].name])
            index += 1
        if self.is_flexible:
            self._tagged([field for field in layout if field.tag is not None], values)
        arguments = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"{self.known('c', message)}({arguments})"

    def _numbers(self, names: list[str], layout: str) -> None:
        unpack = self.known("s", _fixed(layout).unpack_from)
        self.line(f"{', '.join(names)}, = {unpack}(d, p)")
        self.line(f"p += {_fixed(layout).size}")

    def _field(self, field: FieldLayout, target: str) -> None:
        kind = field.kind
        if kind.is_array:
            self._array(field, target)
        elif kind.is_fixed:
            self._numbers([target], kind.name)
        elif kind.name == "uuid":
            self._take("16", target, "bytes(d[p:e])")
        elif kind.name == "structure":
            self._single_structure(field, target)
        else:
            read = _READING[kind.name]
            length = self._length("h" if kind.name == "string" else "i")
            self._unless_null(field, length, target, lambda: self._take(length, target, read))

    def _take(self, length: str, target: str, read: str) -> None:
        self.line(f"e = p + {length}")
        with self.block("if e > n:"):
            self.line("raise IndexError('a field is cut off')")
        self.line(f"{target} = {read}")
        self.line("p = e")

    def _length(self, layout: str) -> str:
        """Read a length; -1 is null."""
        length = self.new("l")
        if not self.is_flexible:
            self._numbers([length], layout)
            return length
        self._varint(length)
        self.line(f"{length} -= 1")
        return length

    def _varint(self, target: str) -> None:
        self.line(f"{target} = d[p]")
        self.line("p += 1")
        with self.block(f"if {target} > 127:"):
            self.line(f"{target}, p = {self.known('varint', _long_varint)}(d, p, {target})")

    def _unless_null(self, field: FieldLayout, length: str, target: str, read: Callable[[], None]) -> None:
        with self.block(f"if {length} < 0:"):
            if field.is_nullable:
                with self.block(f"if {length} != -1:"):
                    self.line(f"raise ValueError('{field.name} has a negative length')")
                self.line(f"{target} = None")
            else:
                self.line(f"raise ValueError('{field.name} may not be null')")
        with self.block("else:"):
            read()

    def _array(self, field: FieldLayout, target: str) -> None:
        length = self._length("i")

        def read() -> None:
            element = Kind(field.kind.name, field.kind.structure)
            if element.is_fixed:
                size = _fixed(element.name).size
                self.line(f"e = p + {size} * {length}")
                with self.block("if e > n:"):
                    self.line("raise IndexError('an array is cut off')")
                unpack = self.known("unpack", struct.unpack_from)
                self.line(f"{target} = list({unpack}('>%d{element.name}' % {length}, d, p))")
                self.line("p = e")
                return
            # Every element takes a byte or more, so a length beyond that is a lie.
            with self.block(f"if {length} > n - p:"):
                self.line("raise IndexError('an array is cut off')")
            self.line(f"{target} = []")
            append = self.new("a")
            self.line(f"{append} = {target}.append")
            with self.block(f"for _ in range({length}):"):
                if element.structure is not None:
                    made = self._structure(element.structure, layout_of(element.structure, self.version))
                    self.line(f"{append}({made})")
                else:
                    each = self.new("v")
                    self._field(FieldLayout(field.name, element, False, None, False, None), each)
                    self.line(f"{append}({each})")

        self._unless_null(field, length, target, read)

    def _single_structure(self, field: FieldLayout, target: str) -> None:
        structure = field.kind.structure
        assert structure is not None
        layout = layout_of(structure, self.version)
        if not field.is_nullable:
            self.line(f"{target} = {self._structure(structure, layout)}")
            return
        mark = self.new("m")
        self._numbers([mark], "b")
        with self.block(f"if {mark} < 0:"):
            self.line(f"{target} = None")
        with self.block("else:"):
            self.line(f"{target} = {self._structure(structure, layout)}")

    def _tagged(self, fields: Sequence[FieldLayout], values: dict[str, str]) -> None:
        for field in fields:
            default = self.known("default", field.default)
            copied = field.kind.is_array and field.default is not None
            self.line(f"{values[field.name]} = {f'list({default})' if copied else default}")
        count, tag, size, end = self.new("t"), self.new("t"), self.new("t"), self.new("t")
        self._varint(count)
        with self.block(f"for _ in range({count}):"):
            self._varint(tag)
            self._varint(size)
            self.line(f"{end} = p + {size}")
            with self.block(f"if {end} > n:"):
                self.line("raise IndexError('a tagged field is cut off')")
            for place, field in enumerate(fields):
                with self.block(f"{'el' if place else ''}if {tag} == {field.tag}:"):
                    self._field(field, values[field.name])
                    with self.block(f"if p != {end}:"):
                        self.line(f"raise ValueError('{field.name} does not fill its tagged field')")
            self.line(f"p = {end}")


class _Encoder(_Writer):
    """Writes the function that writes a message: ``o`` is the output."""

    def compiled(
        self, message: type[M], layout: Sequence[FieldLayout]
    ) -> Callable[[M, list[tuple[int, Sized]]], bytearray]:
        """The function for a message."""
        self.line("o = bytearray()")
        self._structure("m", layout)
        self.line("return o")
        return self.function(f"encode_{message.__name__}", "m, apart")

    def _structure(self, source: str, layout: Sequence[FieldLayout], out: str = "o") -> None:
        plain = [field for field in layout if field.tag is None]
        index = 0
        while index < len(plain):
            run = index
            while run < len(plain) and plain[run].kind.is_fixed:
                run += 1
            if run > index:
                fields = plain[index:run]
                pack = self.known("s", _fixed("".join(field.kind.name for field in fields)).pack)
                self.line(f"{out} += {pack}({', '.join(f'{source}.{field.name}' for field in fields)})")
                index = run
                continue
            self._field(plain[index], f"{source}.{plain[index].name}", out)
            index += 1
        if self.is_flexible:
            self._tagged(source, [field for field in layout if field.tag is not None], out)

    def _field(self, field: FieldLayout, source: str, out: str) -> None:
        kind = field.kind
        if kind.is_fixed:
            self.line(f"{out} += {self.known('s', _fixed(kind.name).pack)}({source})")
        elif kind.name == "uuid" and not kind.is_array:
            self.line(f"{out} += {source}")
        elif kind.name == "structure" and not kind.is_array:
            self._single_structure(field, source, out)
        else:
            value = self.new("v")
            self.line(f"{value} = {source}")
            if field.is_nullable:
                with self.block(f"if {value} is None:"):
                    is_short = kind.name == "string" and not kind.is_array
                    null = b"\x00" if self.is_flexible else (b"\xff\xff" if is_short else b"\xff\xff\xff\xff")
                    self.line(f"{out} += {null!r}")
                with self.block("else:"):
                    self._sized(field, value, out)
            else:
                self._sized(field, value, out)

    def _sized(self, field: FieldLayout, value: str, out: str) -> None:
        kind = field.kind
        if kind.is_array:
            self._length(f"len({value})", "i", out)
            self._elements(field, value, out)
            return
        if kind.name == "string":
            encoded = self.new("v")
            self.line(f"{encoded} = {value}.encode()")
            self._length(f"len({encoded})", "h", out)
            value = encoded
        else:
            self._length(f"len({value})", "i", out)
        if kind.name == "records":
            with self.block(f"if not isinstance({value}, {self.known('bytes', _BYTES)}):"):
                self.line(f"apart.append((len({out}), {value}))")
            with self.block("else:"):
                self.line(f"{out} += {value}")
        else:
            self.line(f"{out} += {value}")

    def _length(self, length: str, layout: str, out: str) -> None:
        if not self.is_flexible:
            self.line(f"{out} += {self.known('s', _fixed(layout).pack)}({length})")
            return
        name = self.new("l")
        self.line(f"{name} = {length} + 1")
        self._varint(name, out)

    def _varint(self, name: str, out: str) -> None:
        with self.block(f"if {name} < 128:"):
            self.line(f"{out}.append({name})")
        with self.block("else:"):
            self.line(f"{out} += {self.known('varint', encode_varint)}({name})")

    def _elements(self, field: FieldLayout, value: str, out: str) -> None:
        element = Kind(field.kind.name, field.kind.structure)
        if element.is_fixed:
            pack = self.known("pack", struct.pack)
            self.line(f"{out} += {pack}('>%d{element.name}' % len({value}), *{value})")
            return
        each = self.new("x")
        with self.block(f"for {each} in {value}:"):
            if element.structure is not None:
                self._structure(each, layout_of(element.structure, self.version), out)
                if not self.is_flexible and not layout_of(element.structure, self.version):
                    self.line("pass")
            else:
                self._field(FieldLayout(field.name, element, False, None, False, None), each, out)

    def _single_structure(self, field: FieldLayout, source: str, out: str) -> None:
        assert field.kind.structure is not None
        layout = layout_of(field.kind.structure, self.version)
        value = self.new("v")
        self.line(f"{value} = {source}")
        if not field.is_nullable:
            self._structure(value, layout, out)
            return
        with self.block(f"if {value} is None:"):
            self.line(f"{out} += b'\\xff'")
        with self.block("else:"):
            self.line(f"{out} += b'\\x01'")
            self._structure(value, layout, out)

    def _tagged(self, source: str, fields: Sequence[FieldLayout], out: str) -> None:
        if not fields:
            self.line(f"{out}.append(0)")
            return
        tags = self.new("g")
        self.line(f"{tags} = []")
        for field in sorted(fields, key=lambda field: field.tag or 0):
            value, part = self.new("v"), self.new("o")
            self.line(f"{value} = {source}.{field.name}")
            with self.block(f"if {value} != {self.known('default', field.default)}:"):
                self.line(f"{part} = bytearray()")
                self._field(field, value, part)
                self.line(f"{tags}.append(({field.tag}, {part}))")
        self.line(f"{out} += {self.known('tags', _encode_tags)}({tags})")


def _long_varint(data: Bytes, position: int, first: int) -> tuple[int, int]:
    """Go on with an unsigned varint whose first byte has the continuation bit."""
    value = first & 0x7F
    for shift in (7, 14, 21, 28):
        part = data[position]
        position += 1
        value |= (part & 0x7F) << shift
        if part < 0x80:
            if value > 0x7FFFFFFF:
                break
            return value, position
    raise ValueError("a variable-length number is too large")


def encode_varint(value: int) -> bytes:
    """An unsigned varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _encode_tags(tags: list[tuple[int, bytearray]]) -> bytes:
    out = bytearray(encode_varint(len(tags)))
    for number, data in tags:
        out += encode_varint(number) + encode_varint(len(data)) + data
    return bytes(out)
