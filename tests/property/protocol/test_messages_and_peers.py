"""Every message that we serve, in every version: we read what we write, and so do kio and kafka-python.

Both were made from Kafka's schemas by others. ``tests/interop`` holds the tables against the schemas
themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcore.log.protocol.fields import Message
from tests.property.protocol import kafka_python_peer, kio_peer
from tests.property.protocol.random_messages import bare, full, messages
from tests.property.protocol.served_messages import SERVED, ServedMessage

pytestmark = pytest.mark.slow

EXAMPLES = max(1, settings().max_examples // 30)
"""So many are drawn for each version of a message: there are hundreds, and each has its fixed ones too."""

OF_KAFKA_PYTHON = [served for served in SERVED if kafka_python_peer.knows(served)]
OF_KIO = [served for served in SERVED if kio_peer.knows(served)]
IN_ALL_VERSIONS = [tuple(versions) for _, versions in groupby(SERVED, key=lambda served: served.type)]


def names(messages_served: Iterable[ServedMessage]) -> set[str]:
    return set(map(str, messages_served))


def check_our_own_reading(served: ServedMessage, message: Message) -> None:
    encoded = served.codec.encode(message)

    assert served.codec.decode(bytes(encoded)) == message
    assert served.codec.decode(memoryview(encoded)) == message


def check_kafka_python(served: ServedMessage, message: Message) -> None:
    encoded = bytes(served.codec.encode(message))

    assert kafka_python_peer.decode(served, encoded) == message
    assert kafka_python_peer.encode(served, message) == encoded


def check_kio(served: ServedMessage, message: Message) -> None:
    encoded = bytes(served.codec.encode(message))

    assert kio_peer.decode(served, encoded) == message
    assert kio_peer.encode(served, message) == encoded


def test_what_kafka_python_does_not_know_is_this_and_no_more() -> None:
    unknown = names(SERVED) - names(OF_KAFKA_PYTHON)

    assert unknown == {
        f"{name}{kind}-{version}"
        for name in ("ConsumerGroupHeartbeat", "ConsumerGroupDescribe")
        for kind in ("Request", "Response")
        for version in (0, 1)
    }


def test_kio_knows_every_message_that_we_serve() -> None:
    assert names(SERVED) - names(OF_KIO) == set()


@pytest.mark.parametrize("served", SERVED, ids=str)
def test_we_read_what_we_write(served: ServedMessage) -> None:
    check_our_own_reading(served, full(served.type, served.version))
    check_our_own_reading(served, bare(served.type, served.version))


@pytest.mark.parametrize("served", OF_KAFKA_PYTHON, ids=str)
def test_kafka_python_reads_what_we_write_and_writes_the_same(served: ServedMessage) -> None:
    check_kafka_python(served, full(served.type, served.version))
    check_kafka_python(served, bare(served.type, served.version))


@pytest.mark.parametrize("served", OF_KIO, ids=str)
def test_kio_reads_what_we_write_and_writes_the_same(served: ServedMessage) -> None:
    check_kio(served, full(served.type, served.version))
    check_kio(served, bare(served.type, served.version))


@pytest.mark.parametrize("served", OF_KIO, ids=str)
def test_kio_has_the_same_defaults_and_the_same_fields_that_may_be_null(served: ServedMessage) -> None:
    assert kio_peer.differences(served) == []


@pytest.mark.parametrize("versions", IN_ALL_VERSIONS, ids=lambda versions: versions[0].type.__name__)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_all_agree_on_any_message(versions: tuple[ServedMessage, ...], data: st.DataObject) -> None:
    for served in versions:
        message = data.draw(messages(served.type, served.version), label=str(served))

        check_our_own_reading(served, message)
        if kafka_python_peer.knows(served):
            check_kafka_python(served, message)
        check_kio(served, kio_peer.nearest(served, message))
