"""Reads the subject and the end of validity from an X.509 certificate.

The subject is written as Kafka's brokers write it (RFC 2253 as Java reads it), because access rules name it:
the last part first, ``CN=alice,OU=Test,O=Example\\, Inc.``; a type without a name in the RFC as its number,
with the encoded value in hexadecimal.

The TLS library has checked a certificate before it is read here, so a form that does not parse is an error
in this module or a form that is not in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_OPTIONAL_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_TEXT_TAGS: Final = frozenset({0x0C, 0x13, 0x14, 0x16, 0x1B, 0x1C, 0x1E})
"""UTF8, Printable, T61, IA5, General, Universal and BMP strings."""

_WORDS: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_ESCAPED: Final = frozenset(',=+<>#;"\\')


class _Element(NamedTuple):
    """One tagged value; ``encoded`` is all of it, tag and length included."""

    tag: int
    content: bytes
    encoded: bytes


class CertificateFacts(NamedTuple):
    """The facts of a certificate that the server needs."""

    subject: str
    expires_ms: int


def certificate_facts(der: bytes) -> CertificateFacts:
    """Read a certificate in its binary form. Raises ``ValueError`` if it does not parse."""
    try:
        (certificate,) = _elements(der)
        signed = next(_elements(certificate.content))
        fields = [each for each in _elements(signed.content) if each.tag != _OPTIONAL_VERSION]
        # serial number, signature algorithm, issuer, validity, subject
        _, expires = _elements(fields[3].content)
        return CertificateFacts(_name(fields[4].content), _time_ms(expires))
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError("the certificate cannot be read") from error


def _name(content: bytes) -> str:
    """Return a name in RFC 2253: relative names from the last to the first, parts of one joined by ``+``."""
    return ",".join(
        "+".join(_attribute(*_elements(part.content)) for part in _elements(relative.content))
        for relative in reversed(list(_elements(content)))
    )


def _attribute(kind: _Element, value: _Element) -> str:
    number = _object_identifier(kind.content)
    word = _WORDS.get(number)
    if word is None or value.tag not in _TEXT_TAGS:
        return f"{word or number}=#{value.encoded.hex()}"
    return f"{word}={_escaped(value.content.decode('utf-8', 'replace'))}"


def _escaped(text: str) -> str:
    inner = text.strip(" \r")
    start = text.index(inner) if inner else len(text)
    before, after = text[:start], text[start + len(inner) :]
    written = "".join(f"\\{each}" if each in _ESCAPED else each for each in inner)
    return (
        "".join(f"\\{each}" for each in before)
        + written.replace("\0", "\\00")
        + "".join(f"\\{each}" for each in after)
    )


def _object_identifier(content: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def _time_ms(element: _Element) -> int:
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _elements(data: bytes) -> Iterator[_Element]:
    position = 0
    while position < len(data):
        start, tag, size = position, data[position], data[position + 1]
        position += 2
        if size >= 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[position : position + count])
            position += count
        end = position + size
        if end > len(data):
            raise IndexError
        yield _Element(tag, data[position:end], data[start:end])
        position = end
