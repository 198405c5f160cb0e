"""Generation of the function that decodes one version of a message.

In the generated source ``d`` is the data, ``p`` the byte position and ``n`` the size; ``e`` is the end of a
field, ``left`` the number of elements that the message may still have. Each length is checked against the
available bytes before it is used. Bytes that do not fit raise one of Python's errors, which ``Codec.decode``
converts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from streamcore.log.protocol.fields import ELEMENTS_MAX, TEXT_BYTES_MAX, Bytes, Message
from streamcore.log.protocol.layouts import FieldLayout, in_runs, layout_of
from streamcore.log.protocol.source_code import SourceCode, fixed

M = TypeVar("M", bound=Message)

_READING: Final = {"string": "str(d[p:e], 'utf-8')", "bytes": "bytes(d[p:e])", "records": "d[p:e]"}


class DecoderSource(SourceCode):
    """The source lines of a decoding function."""

    def compiled(self, message: type[M]) -> Callable[[Bytes, int], tuple[M, int]]:
        """Return the function: it takes data and a byte position, and returns a message and its end."""
        self.line("n = len(d)")
        self.line(f"left = {ELEMENTS_MAX}")
        value = self._structure(message)
        self.line(f"return {value}, p")
        return self.function(f"decode_{message.__name__}", "d, p")

    def _structure(self, message: type[Message]) -> str:
        """Decode a structure; return the expression that creates it."""
        layout = layout_of(message, self.version)
        values = {field.name: self.new("v") for field in layout}
        for run in in_runs(field for field in layout if field.tag is None):
            if run[0].kind.is_number:
                self._numbers(
                    [values[field.name] for field in run], "".join(field.kind.name for field in run)
                )
            else:
                self._field(run[0], values[run[0].name])
        tagged = [field for field in layout if field.tag is not None]
        if self.is_flexible:
            self._tagged(tagged, values)
        else:
            assert not tagged, f"{message.__name__} has tagged fields in version {self.version}"
        arguments = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"{self.known('c', message)}({arguments})"

    def _numbers(self, names: Sequence[str], layout: str) -> None:
        unpack = self.known("s", fixed(layout).unpack_from)
        self.line(f"{', '.join(names)}, = {unpack}(d, p)")
        self.line(f"p += {fixed(layout).size}")

    def _field(self, field: FieldLayout, target: str) -> None:
        kind = field.kind
        if kind.is_array:
            self._array(field, target)
        elif kind.is_number:
            self._numbers([target], kind.name)
        elif kind.name == "uuid":
            self._take("16", target, "bytes(d[p:e])")
        elif kind.structure is not None:
            self._single_structure(field, kind.structure, target)
        else:
            length = self._length("h" if kind.name == "string" else "i")

            def read() -> None:
                if kind.name == "string" and self.is_flexible:
                    with self.block(f"if {length} > {TEXT_BYTES_MAX}:"):
                        self.line(f"raise ValueError('{field.name} has more than {TEXT_BYTES_MAX:,} bytes')")
                self._take(length, target, _READING[kind.name])

            self._unless_null(field, length, target, read)

    def _take(self, length: str, target: str, read: str) -> None:
        self.line(f"e = p + {length}")
        with self.block("if e > n:"):
            self.line("raise IndexError('a field is cut off')")
        self.line(f"{target} = {read}")
        self.line("p = e")

    def _length(self, layout: str) -> str:
        """Decode a length; -1 is null."""
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
        read = self._array_of_numbers if field.element.kind.is_number else self._array_of_others
        self._unless_null(field, length, target, lambda: read(field.element, length, target))

    def _spend(self, count: str) -> None:
        """Refuse a message of too many elements, before memory or time is spent on them."""
        self.line(f"left -= {count}")
        with self.block("if left < 0:"):
            self.line(f"raise ValueError('a message has more than {ELEMENTS_MAX:,} elements')")

    def _array_of_numbers(self, element: FieldLayout, length: str, target: str) -> None:
        letter = element.kind.name
        self.line(f"e = p + {fixed(letter).size} * {length}")
        with self.block("if e > n:"):
            self.line("raise IndexError('an array is cut off')")
        self._spend(length)
        unpack = self.known("unpack", struct.unpack_from)
        self.line(f"{target} = list({unpack}('>%d{letter}' % {length}, d, p))")
        self.line("p = e")

    def _array_of_others(self, element: FieldLayout, length: str, target: str) -> None:
        # Every element takes at least one byte, so a greater length is wrong.
        with self.block(f"if {length} > n - p:"):
            self.line("raise IndexError('an array is cut off')")
        self._spend(length)
        self.line(f"{target} = []")
        append = self.new("a")
        self.line(f"{append} = {target}.append")
        with self.block(f"for _ in range({length}):"):
            if element.kind.structure is not None:
                self.line(f"{append}({self._structure(element.kind.structure)})")
            else:
                each = self.new("v")
                self._field(element, each)
                self.line(f"{append}({each})")

    def _single_structure(self, field: FieldLayout, structure: type[Message], target: str) -> None:
        if not field.is_nullable:
            self.line(f"{target} = {self._structure(structure)}")
            return
        mark = self.new("m")
        if field.tag is None:
            self._numbers([mark], "b")
        else:  # Kafka marks a null structure by -1, and by 0 where it is a tagged field
            self._varint(mark)
        with self.block(f"if {mark} < {0 if field.tag is None else 1}:"):
            self.line(f"{target} = None")
        with self.block("else:"):
            self.line(f"{target} = {self._structure(structure)}")

    def _tagged(self, fields: Sequence[FieldLayout], values: dict[str, str]) -> None:
        for field in fields:
            self.line(f"{values[field.name]} = {self._default(field)}")
        count, tag, size, end = self.new("t"), self.new("t"), self.new("t"), self.new("t")
        self._varint(count)
        self._spend(count)
        with self.block(f"for _ in range({count}):"):
            self._varint(tag)
            self._varint(size)
            self.line(f"{end} = p + {size}")
            with self.block(f"if {end} > n:"):
                self.line("raise IndexError('a tagged field is cut off')")
            for index, field in enumerate(fields):
                with self.block(f"{'el' if index else ''}if {tag} == {field.tag}:"):
                    self._field(field, values[field.name])
                    with self.block(f"if p != {end}:"):
                        self.line(f"raise ValueError('{field.name} does not fill its tagged field')")
            self.line(f"p = {end}")

    def _default(self, field: FieldLayout) -> str:
        """Return the expression for a missing tagged field; it creates a new object for each message."""
        assert field.has_default, f"{field.name} is tagged and has no default"
        structure = field.kind.structure
        if isinstance(field.default, list):
            assert not field.default
            return "[]"
        if structure is not None and field.default is not None:
            assert field.default == structure()
            return f"{self.known('c', structure)}()"
        return self.known("default", field.default)


def _long_varint(data: Bytes, position: int, first: int) -> tuple[int, int]:
    """Decode the rest of an unsigned varint whose first byte has the continuation bit."""
    value = first & 0x7F
    for shift in (7, 14, 21, 28):
        part = data[position]
        position += 1
        value |= (part & 0x7F) << shift
        if part < 0x80:
            if value > 0x7FFFFFFF:
                break
            return value, position
    raise ValueError("a varint is too large")
