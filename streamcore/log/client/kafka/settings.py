"""The address of a broker, and connection properties by Kafka's names.

Kafka's own tools keep connection properties in a file (``--command-config``). The same names are accepted
here. Most are librdkafka's too. Where Kafka's Java clients have another form (the login in
``sasl.jaas.config``, trust stores), it is translated, or refused with the property to use instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamcore.errors import InvalidConfigError, UsageError, with_facts

SCHEME: Final = "kafka://"

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.\-]+):(\d{1,5})")
_ADDRESSES: Final = re.compile(rf"{_ADDRESS.pattern}(,\s*{_ADDRESS.pattern})*")
_KNOWN: Final = re.compile(r"security\.protocol|sasl\..+|ssl\..+|client\.id|client\.rack")
_LOGIN: Final = re.compile(
    r"\s*([\w.]+)\s+(?:required|requisite|sufficient|optional)\s+(.*?)\s*;\s*", re.DOTALL
)
_LOGIN_OPTION: Final = re.compile(r"""(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"';]+)""")
_LOGIN_MODULES: Final = ("PlainLoginModule", "ScramLoginModule")
_RENAMED: Final[Mapping[str, str]] = {
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.truststore.certificates": "ssl.ca.pem",
}
_ESCAPES: Final[Mapping[str, str]] = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to reach a broker, and how long to wait for it."""

    brokers: str
    """``HOST:PORT``, several separated by commas: the client finds all brokers through any of them."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Security settings and names, by librdkafka's names; see ``client_properties``."""
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 30.0
    """How long one answer may take, and how long until a visible record arrives."""
    acknowledge_timeout_s: float = 120.0
    """How long the acknowledgement of a record may take, with all attempts."""
    stable_wait_s: float = 10.0
    """How long to wait for an open transaction that commits the offsets asked for."""
    fetch_wait_ms: int = 20
    """How long the broker delays an empty answer. The end of a partition is noticed this late too."""
    buffered_bytes_max: int = 8 * 1024 * 1024
    """The bytes that a reader keeps of one partition while another one is read."""
    pending_bytes_max: int = 64 * 1024 * 1024
    """The bytes that a producer may have in flight; appending waits at this limit."""


def is_broker(where: str) -> bool:
    """Whether a text is the address of a broker, not the path of a folder."""
    return "://" in where or _ADDRESSES.fullmatch(where) is not None


def broker_addresses(where: str) -> str:
    """Return the addresses of ``HOST:PORT[,HOST:PORT]`` or ``kafka://HOST:PORT[,…]`` in librdkafka's form.

    Raises:
        UsageError: the text has another form.
    """
    text = where.removeprefix(SCHEME).rstrip("/") if isinstance(where, str) else ""
    if _ADDRESSES.fullmatch(text) is None:
        raise UsageError(
            with_facts(
                "name the broker as HOST:PORT, several as kafka://HOST:PORT,HOST:PORT", given=repr(where)
            )
        )
    addresses = [address.strip() for address in text.split(",")]
    for address in addresses:
        port = int(address.rpartition(":")[2])
        if not 0 < port < 65_536:
            raise UsageError(with_facts("a port is between 1 and 65535", address=address))
    return ",".join(addresses)


def read_properties(path: Path) -> dict[str, str]:
    """Read a properties file in Java's form.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(with_facts("the properties file cannot be read", path=path, error=error)) from error
    properties: dict[str, str] = {}
    for line in _logical_lines(text):
        found = re.match(r"((?:\\.|[^\\\s=:])*)(?:\s*[=:]\s*|\s+|$)", line, re.DOTALL)
        assert found is not None
        properties[_unescaped(found[1])] = _unescaped(line[found.end() :])
    return properties


def client_properties(given: Mapping[str, str]) -> dict[str, str]:
    """Return Kafka's properties by librdkafka's names.

    Raises:
        InvalidConfigError: a property that does not apply here, or a form that librdkafka cannot read.
    """
    given = {name: str(value) for name, value in given.items()}
    given.pop("bootstrap.servers", None)  # the address is an argument
    for name in given:
        if _KNOWN.fullmatch(name) is None:
            raise InvalidConfigError(
                with_facts(
                    "a connection takes security.protocol, sasl.*, ssl.*, client.id and client.rack",
                    given=name,
                )
            )
    properties: dict[str, str] = {}
    for name, value in given.items():
        if name == "sasl.jaas.config":
            properties |= _login(value)
        elif name == "ssl.endpoint.identification.algorithm":
            properties[name] = value or "none"
        elif name.startswith(("ssl.truststore.", "ssl.keystore.")) and name not in _RENAMED:
            continue  # handled together below
        else:
            properties[_RENAMED.get(name, name)] = value
    return properties | _trust(given) | _identity(given)


def _login(text: str) -> dict[str, str]:
    """Return user and password of a login in JAAS form."""
    found = _LOGIN.fullmatch(text)
    if found is None or not found[1].endswith(_LOGIN_MODULES):
        raise InvalidConfigError(
            with_facts(
                "sasl.jaas.config is understood for PlainLoginModule and ScramLoginModule, "
                'such as `…PlainLoginModule required username="u" password="p";`; or give sasl.username and '
                "sasl.password",
                module=text.split()[0] if text.split() else "none",
            )
        )
    options = {name: _unquoted(value) for name, value in _LOGIN_OPTION.findall(found[2])}
    if "username" not in options or "password" not in options:
        raise InvalidConfigError("sasl.jaas.config needs username and password")
    return {"sasl.username": options["username"], "sasl.password": options["password"]}


def _trust(given: Mapping[str, str]) -> dict[str, str]:
    location = given.get("ssl.truststore.location")
    if location is None:
        return {}
    if not _is_pem(given.get("ssl.truststore.type"), location):
        raise InvalidConfigError(
            with_facts(
                "give the certificates to trust as PEM, with ssl.truststore.type=PEM or ssl.ca.location; "
                "a Java trust store is turned into PEM by `keytool -exportcert -rfc`",
                location=location,
            )
        )
    return {"ssl.ca.location": location}


def _identity(given: Mapping[str, str]) -> dict[str, str]:
    location = given.get("ssl.keystore.location")
    if location is None:
        return {}
    kind = given.get("ssl.keystore.type", "")
    if _is_pem(kind, location):
        return {"ssl.certificate.location": location, "ssl.key.location": location}
    if kind.upper() == "PKCS12" or location.endswith((".p12", ".pfx")):
        return {
            "ssl.keystore.location": location,
            "ssl.keystore.password": given.get("ssl.keystore.password", ""),
        }
    raise InvalidConfigError(
        with_facts("give key and certificate as PEM or PKCS12, with ssl.keystore.type", location=location)
    )


def _is_pem(kind: str | None, location: str) -> bool:
    return (kind or "").upper() == "PEM" or (not kind and location.endswith((".pem", ".crt", ".cer")))


def _logical_lines(text: str) -> Iterator[str]:
    """Return the lines without comments and blank lines; a backslash at the end continues a line."""
    held = ""
    for line in text.splitlines():
        line = line.lstrip()
        if not held and (not line or line[0] in "#!"):
            continue
        if re.search(r"(?<!\\)(\\\\)*\\$", line):
            held += line[:-1]
            continue
        yield held + line
        held = ""
    if held:
        yield held


def _unescaped(text: str) -> str:
    def meaning(found: re.Match[str]) -> str:
        if found[1] is not None:
            return chr(int(found[1], 16))
        return _ESCAPES.get(found[2], found[2])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", meaning, text, flags=re.DOTALL)


def _unquoted(text: str) -> str:
    if text[0] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text[1:-1] if text[0] == "'" else text
