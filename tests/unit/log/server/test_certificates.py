"""Names in certificates are written as Kafka's brokers write them; the expected texts are Java's."""

from __future__ import annotations

import pytest

from streamcore.log.server.certificates import certificate_facts

UTF8, PRINTABLE, IA5 = 0x0C, 0x13, 0x16
TYPES = {
    "C": "2.5.4.6",
    "CN": "2.5.4.3",
    "DC": "0.9.2342.19200300.100.1.25",
    "L": "2.5.4.7",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "ST": "2.5.4.8",
    "UID": "0.9.2342.19200300.100.1.1",
    "email": "1.2.840.113549.1.9.1",
    "serial": "2.5.4.5",
    "street": "2.5.4.9",
}


def element(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def object_identifier(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    encoded = b""
    for number in (40 * first + second, *rest):
        parts = [number & 0x7F]
        while number := number >> 7:
            parts.insert(0, number & 0x7F | 0x80)
        encoded += bytes(parts)
    return element(6, encoded)


def attribute(kind: str, value: str, tag: int = UTF8) -> bytes:
    return element(0x30, object_identifier(TYPES[kind]), element(tag, value.encode()))


def certificate(
    *relative_names: list[bytes], expires: str = "491231235959Z", has_version: bool = True
) -> bytes:
    time = element(0x17 if len(expires) == 13 else 0x18, expires.encode())
    name = element(0x30, *(element(0x31, *attributes) for attributes in relative_names))
    fields = [
        element(2, b"\1"),
        element(0x30),
        element(0x30),
        element(0x30, element(0x17, b"200101000000Z"), time),
        name,
        element(0x30, b"\5\0" * 100),
    ]
    version = [element(0xA0, element(2, b"\2"))] if has_version else []
    return element(0x30, element(0x30, *version, *fields), element(0x30), element(3, b"\0sig"))


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        ([[attribute("CN", "alice")]], "CN=alice"),
        (
            [
                [attribute("C", "DE", PRINTABLE)],
                [attribute("O", "Example, Inc.")],
                [attribute("OU", "a")],
                [attribute("CN", "alice")],
            ],
            r"CN=alice,OU=a,O=Example\, Inc.,C=DE",
        ),
        (
            [
                [attribute("DC", "org", IA5)],
                [attribute("UID", "u1")],
                [attribute("email", "a@b.c", IA5)],
                [attribute("CN", "x")],
            ],
            "CN=x,1.2.840.113549.1.9.1=#16056140622e63,UID=u1,DC=org",
        ),
        (
            [
                [attribute("O", "one")],
                [attribute("OU", "z"), attribute("CN", "alice"), attribute("UID", "u1")],
            ],
            "OU=z+CN=alice+UID=u1,O=one",
        ),
        ([[attribute("CN", " lead and trail ")]], "CN=\\ lead and trail\\ "),
        ([[attribute("CN", "  ")]], "CN=\\ \\ "),
        ([[attribute("CN", "ünïcodé 日本")]], "CN=ünïcodé 日本"),
        ([[attribute("O", '#hash=eq<>;"q"\\back+')]], r"O=\#hash\=eq\<\>\;\"q\"\\back\+"),
        (
            [[attribute("serial", "12", PRINTABLE)], [attribute("street", "Main 1")]],
            "STREET=Main 1,2.5.4.5=#13023132",
        ),
        ([[attribute("L", "Berlin")], [attribute("ST", "x" * 200)]], "ST=" + "x" * 200 + ",L=Berlin"),
        ([], ""),
    ],
)
def test_a_name_is_written_with_its_last_part_first_and_special_characters_escaped(
    names: list[list[bytes]], subject: str
) -> None:
    assert certificate_facts(certificate(*names)).subject == subject
    assert certificate_facts(certificate(*names, has_version=False)).subject == subject


@pytest.mark.parametrize(
    ("text", "expires_ms"),
    [
        ("491231235959Z", 2_524_607_999_000),
        ("500101000000Z", -631_152_000_000),
        ("20500101000000Z", 2_524_608_000_000),
        ("260101000000Z", 1_767_225_600_000),
    ],
)
def test_a_certificate_says_until_when_it_is_good(text: str, expires_ms: int) -> None:
    assert certificate_facts(certificate(expires=text)).expires_ms == expires_ms


@pytest.mark.parametrize("size", [0, 1, 5, 30, 60])
def test_a_certificate_that_is_cut_off_is_none(size: int) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        certificate_facts(certificate([attribute("CN", "alice")])[:size])
