"""Subscriptions and assignments in the bytes of Kafka's consumer protocol."""

from __future__ import annotations

import pytest

from streamcore.errors import CorruptDataError
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from streamcore.model import TopicPartition

OWNED = (TopicPartition("a", 0), TopicPartition("a", 2), TopicPartition("b", 1))


def test_a_subscription_is_written_as_kafka_writes_version_3() -> None:
    data = encode_subscription(Subscription(("ab",), (TopicPartition("ab", 7),), 5, b"u", "r"))

    assert data == bytes.fromhex(
        "0003"  # version
        "00000001" "0002" "6162"  # topics
        "00000001" "75"  # user data
        "00000001" "0002" "6162" "00000001" "00000007"  # owned
        "00000005"  # generation
        "0001" "72"  # rack
    )  # fmt: skip


def test_an_assignment_is_written_as_kafka_writes_it() -> None:
    data = encode_assignment([TopicPartition("ab", 1), TopicPartition("ab", 2)])

    assert data == bytes.fromhex("00030000000100026162000000020000000100000002ffffffff")


@pytest.mark.parametrize(
    "subscription",
    [
        Subscription(()),
        Subscription(("a", "b"), OWNED, 12, b"\x00", None),
        Subscription(("é",), (), -1, None, "rack-1"),
    ],
)
def test_a_subscription_is_read_back(subscription: Subscription) -> None:
    assert decode_subscription(encode_subscription(subscription)) == subscription


def test_older_versions_of_a_subscription_are_read() -> None:
    version_0 = bytes.fromhex("000000000001000161ffffffff")
    version_1 = bytes.fromhex("000100000001000161ffffffff000000010001610000000100000003")

    assert decode_subscription(version_0) == Subscription(("a",))
    assert decode_subscription(version_1) == Subscription(("a",), (TopicPartition("a", 3),))


def test_an_assignment_is_read_back_and_nothing_is_an_empty_one() -> None:
    assert decode_assignment(encode_assignment(OWNED)) == OWNED
    assert decode_assignment(b"") == ()


@pytest.mark.parametrize("cut", range(1, 30))
def test_bytes_that_end_too_early_are_refused(cut: int) -> None:
    data = encode_assignment(OWNED, b"user data")

    with pytest.raises(CorruptDataError):
        decode_subscription(encode_subscription(Subscription(("a",), OWNED, 1, b"u", "r"))[:-cut])
    with pytest.raises(CorruptDataError):
        decode_assignment(data[: max(1, len(data) - 13 - cut)])


def test_an_impossible_length_is_refused_without_trying_it() -> None:
    with pytest.raises(CorruptDataError):
        decode_assignment(bytes.fromhex("00037fffffff"))
