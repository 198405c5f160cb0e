"""Addresses of brokers, and what Kafka's properties mean to librdkafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamcore.errors import InvalidConfigError, UsageError
from streamcore.log.client.kafka.settings import (
    broker_addresses,
    client_properties,
    is_broker,
    read_properties,
)


@pytest.mark.parametrize(
    ("where", "addresses"),
    [
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("h1:9092,h2:9093", "h1:9092,h2:9093"),
        ("h1:9092, h2:9093", "h1:9092,h2:9093"),
        ("[::1]:9092", "[::1]:9092"),
        ("kafka://h1:9092,h2:9092", "h1:9092,h2:9092"),
        ("kafka://h1:9092/", "h1:9092"),
    ],
)
def test_brokers_are_named_by_host_and_port(where: str, addresses: str) -> None:
    assert is_broker(where)
    assert broker_addresses(where) == addresses


@pytest.mark.parametrize(
    "where", ["http://h:9092", "kafka://", "kafka://h", "h:0", "h:99999", 9092, b"h:9092"]
)
def test_what_is_no_address_is_refused(where: Any) -> None:
    with pytest.raises(UsageError):
        broker_addresses(where)


@pytest.mark.parametrize("where", ["data", "./a:b", "/data", "C", "", "data:9092x"])
def test_a_text_that_is_no_address_is_a_folder(where: str) -> None:
    assert not is_broker(where)


def test_a_properties_file_is_read_as_java_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text(
        "# a comment\n"
        "! another\n"
        "\n"
        "security.protocol=SASL_SSL\n"
        "  sasl.mechanism : PLAIN\n"
        "client.id a name\n"
        "sasl.jaas.config=org.x.PlainLoginModule required \\\n"
        '    username="u" \\\n'
        '    password="p";\n'
        "ssl.ca.location=C\\:\\\\ca\\u002epem\n"
        "empty\n"
    )

    assert read_properties(path) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "client.id": "a name",
        "sasl.jaas.config": 'org.x.PlainLoginModule required username="u" password="p";',
        "ssl.ca.location": "C:\\ca.pem",
        "empty": "",
    }


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_properties(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"},
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"},
        ),
        (
            {
                "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required\n"
                'username="ann" password="a \\"b\\"; c" ;'
            },
            {"sasl.username": "ann", "sasl.password": 'a "b"; c'},
        ),
        ({"ssl.truststore.location": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}),
        (
            {"ssl.truststore.location": "/ca", "ssl.truststore.type": "PEM", "ssl.truststore.password": "x"},
            {"ssl.ca.location": "/ca"},
        ),
        (
            {"ssl.keystore.location": "/me.pem", "ssl.key.password": "x"},
            {
                "ssl.certificate.location": "/me.pem",
                "ssl.key.location": "/me.pem",
                "ssl.key.password": "x",
            },
        ),
        (
            {
                "ssl.keystore.location": "/me",
                "ssl.keystore.type": "PKCS12",
                "ssl.keystore.password": "x",
            },
            {"ssl.keystore.location": "/me", "ssl.keystore.password": "x"},
        ),
        (
            {"ssl.keystore.key": "K", "ssl.keystore.certificate.chain": "C"},
            {"ssl.key.pem": "K", "ssl.certificate.pem": "C"},
        ),
        ({"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        ({"bootstrap.servers": "elsewhere:9092"}, {}),
    ],
)
def test_kafkas_properties_become_librdkafkas(given: dict[str, str], expected: dict[str, str]) -> None:
    assert client_properties(given) == expected


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"acks": "0"}, "security.protocol"),
        ({"sasl.jaas.config": "com.sun.security.auth.module.Krb5LoginModule required;"}, "sasl.username"),
        ({"sasl.jaas.config": "org.x.PlainLoginModule required username=u;"}, "password"),
        ({"ssl.truststore.location": "/ca.jks"}, "PEM"),
        ({"ssl.keystore.location": "/me.jks", "ssl.keystore.type": "JKS"}, "PKCS12"),
    ],
)
def test_settings_that_librdkafka_cannot_read_are_refused_with_an_alternative(
    given: dict[str, str], advice: str
) -> None:
    with pytest.raises(InvalidConfigError, match=advice):
        client_properties(given)
