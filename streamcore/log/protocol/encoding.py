"""Generation of the function that encodes one version of a message.

In the generated source ``o`` is the output; tagged fields are first written to separate outputs. Of records
that are not bytes only the length is written; ``apart`` collects the records with their byte positions in
``o``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence, Sized
from typing import Final, TypeAlias, TypeVar

from streamcore.log.protocol.fields import TEXT_BYTES_MAX, Message
from streamcore.log.protocol.layouts import FieldLayout, in_runs, layout_of
from streamcore.log.protocol.source_code import SourceCode, fixed

M = TypeVar("M", bound=Message)

Apart: TypeAlias = list[tuple[int, Sized]]
"""A byte position in the output, and the records to send after the bytes before this position."""

_BYTES: Final = (bytes, bytearray, memoryview)
_NULL: Final = {"h": b"\xff\xff", "i": b"\xff\xff\xff\xff"}


class EncoderSource(SourceCode):
    """The source lines of an encoding function."""

    def compiled(self, message: type[M]) -> Callable[[M, Apart], bytearray]:
        """Return the function: it takes a message and returns its bytes; it appends separate records to a
        list.
        """
        self.line("o = bytearray()")
        self._structure("m", message, "o")
        self.line("return o")
        return self.function(f"encode_{message.__name__}", "m, apart")

    def _structure(self, source: str, message: type[Message], out: str) -> None:
        layout = layout_of(message, self.version)
        for run in in_runs(field for field in layout if field.tag is None):
            if run[0].kind.is_number:
                pack = self.known("s", fixed("".join(field.kind.name for field in run)).pack)
                self.line(f"{out} += {pack}({', '.join(f'{source}.{field.name}' for field in run)})")
            else:
                self._field(run[0], f"{source}.{run[0].name}", out)
        if self.is_flexible:
            self._tagged(source, [field for field in layout if field.tag is not None], out)
        elif not layout:
            self.line("pass")

    def _field(self, field: FieldLayout, source: str, out: str) -> None:
        kind = field.kind
        if kind.is_number:
            self.line(f"{out} += {self.known('s', fixed(kind.name).pack)}({source})")
        elif kind.name == "uuid" and not kind.is_array:
            self.line(f"{out} += {source}")
        elif kind.structure is not None and not kind.is_array:
            self._single_structure(field, kind.structure, source, out)
        else:
            value = self.new("v")
            self.line(f"{value} = {source}")
            layout = "h" if kind.name == "string" and not kind.is_array else "i"
            if not field.is_nullable:
                self._sized(field, value, layout, out)
                return
            null = b"\x00" if self.is_flexible else _NULL[layout]
            self._unless_null(value, null, out, lambda: self._sized(field, value, layout, out))

    def _unless_null(self, value: str, null: bytes, out: str, write: Callable[[], None]) -> None:
        with self.block(f"if {value} is None:"):
            self.line(f"{out} += {null!r}")
        with self.block("else:"):
            write()

    def _sized(self, field: FieldLayout, value: str, layout: str, out: str) -> None:
        """Encode a value after its length."""
        if field.kind.is_array:
            self._length(f"len({value})", layout, out)
            self._elements(field.element, value, out)
        elif field.kind.name == "string":
            text = self.new("v")
            self.line(f"{text} = {value}.encode()")
            with self.block(f"if len({text}) > {TEXT_BYTES_MAX}:"):
                self.line(f"raise ValueError('{field.name} has more than {TEXT_BYTES_MAX:,} bytes')")
            self._length(f"len({text})", layout, out)
            self.line(f"{out} += {text}")
        else:
            self._length(f"len({value})", layout, out)
            if field.kind.name == "records":
                with self.block(f"if not isinstance({value}, {self.known('bytes', _BYTES)}):"):
                    self.line(f"apart.append((len({out}), {value}))")
                with self.block("else:"):
                    self.line(f"{out} += {value}")
            else:
                self.line(f"{out} += {value}")

    def _length(self, length: str, layout: str, out: str) -> None:
        if not self.is_flexible:
            self.line(f"{out} += {self.known('s', fixed(layout).pack)}({length})")
            return
        name = self.new("l")
        self.line(f"{name} = {length} + 1")
        with self.block(f"if {name} < 128:"):
            self.line(f"{out}.append({name})")
        with self.block("else:"):
            self.line(f"{out} += {self.known('varint', encode_varint)}({name})")

    def _elements(self, element: FieldLayout, value: str, out: str) -> None:
        if element.kind.is_number:
            pack = self.known("pack", struct.pack)
            self.line(f"{out} += {pack}('>%d{element.kind.name}' % len({value}), *{value})")
            return
        each = self.new("x")
        with self.block(f"for {each} in {value}:"):
            if element.kind.may_be_encoded:
                with self.block(f"if type({each}) is bytes:"):
                    self.line(f"{out} += {each}")
                    self.line("continue")
            if element.kind.structure is not None:
                self._structure(each, element.kind.structure, out)
            else:
                self._field(element, each, out)

    def _single_structure(self, field: FieldLayout, structure: type[Message], source: str, out: str) -> None:
        value = self.new("v")
        self.line(f"{value} = {source}")
        if not field.is_nullable:
            self._structure(value, structure, out)
            return

        def write() -> None:
            self.line(f"{out} += b'\\x01'")
            self._structure(value, structure, out)

        self._unless_null(value, b"\xff" if field.tag is None else b"\x00", out, write)

    def _tagged(self, source: str, fields: Sequence[FieldLayout], out: str) -> None:
        if not fields:
            self.line(f"{out}.append(0)")
            return
        tags = self.new("g")
        self.line(f"{tags} = []")
        for field in sorted(fields, key=lambda field: field.tag or 0):
            assert field.kind.name != "records", "records are never a tagged field"
            value, part = self.new("v"), self.new("o")
            self.line(f"{value} = {source}.{field.name}")
            with self.block(f"if {value} != {self.known('default', field.default)}:"):
                self.line(f"{part} = bytearray()")
                self._field(field, value, part)
                self.line(f"{tags}.append(({field.tag}, {part}))")
        self.line(f"{out} += {self.known('tags', _encode_tags)}({tags})")


def encode_varint(value: int) -> bytes:
    """Return an unsigned varint."""
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
