"""The records of the coordinators' topics: what is written is read back, and has Kafka's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import CorruptDataError, UnsupportedVersionError
from streamcore.log.broker.groups import records as group_records
from streamcore.log.broker.groups.records import (
    GroupKey,
    OffsetKey,
    StoredGroup,
    StoredMember,
    StoredOffset,
)
from streamcore.log.broker.internal_topic import _java_hash
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.transactions import records as transaction_records
from streamcore.log.broker.transactions.records import TransactionRecord, TransactionState
from streamcore.model import CommittedOffset, TopicPartition

INT64 = st.integers(0, 2**63 - 1)
INT32 = st.integers(0, 2**31 - 1)
NAMES = st.text(max_size=20)
PARTITIONS = st.builds(TopicPartition, NAMES, INT32)
MEMBERS = st.builds(
    StoredMember,
    member_id=NAMES,
    instance_id=st.none() | NAMES,
    client_id=NAMES,
    client_host=NAMES,
    rebalance_timeout_ms=INT32,
    session_timeout_ms=INT32,
    subscription=st.binary(max_size=20),
    assignment=st.binary(max_size=20),
)
GROUPS = st.builds(
    StoredGroup,
    NAMES,
    INT32,
    st.none() | NAMES,
    st.none() | NAMES,
    INT64,
    st.lists(MEMBERS, max_size=3).map(tuple),
)


@given(NAMES, PARTITIONS)
def test_a_position_key_is_read_back(group: str, partition: TopicPartition) -> None:
    key = group_records.encode_offset_key(group, partition)

    assert group_records.decode_key(key) == OffsetKey(group, partition)


@given(INT64, NAMES, INT64)
def test_a_position_is_read_back(offset: int, note: str, committed_ms: int) -> None:
    stored = StoredOffset(CommittedOffset(offset, note), committed_ms)

    assert group_records.decode_offset(group_records.encode_offset(stored)) == stored


@given(NAMES, GROUPS)
def test_a_group_is_read_back(name: str, group: StoredGroup) -> None:
    assert group_records.decode_key(group_records.encode_group_key(name)) == GroupKey(name)
    assert group_records.decode_group(group_records.encode_group(group)) == group


@given(
    st.builds(
        TransactionRecord,
        transactional_id=NAMES,
        identity=st.builds(ProducerIdentity, INT64, st.integers(0, 32767)),
        timeout_ms=INT32,
        state=st.sampled_from([state for state in TransactionState if state is not TransactionState.EMPTY]),
        partitions=st.frozensets(PARTITIONS, max_size=5),
        updated_ms=INT64,
        started_ms=INT64,
        previous_producer_id=st.integers(-1, 2**63 - 1),
        next_producer_id=st.integers(-1, 2**63 - 1),
        client_version=st.integers(0, 2),
    )
)
def test_a_transaction_is_read_back(record: TransactionRecord) -> None:
    name = record.transactional_id

    value = transaction_records.encode_value(record)

    assert transaction_records.decode_key(transaction_records.encode_key(name)) == name
    assert transaction_records.decode_value(name, value) == record


def test_the_bytes_are_those_of_kafka() -> None:
    key = group_records.encode_offset_key("g", TopicPartition("t", 3))
    value = group_records.encode_offset(StoredOffset(CommittedOffset(7, "m"), 9))
    transaction = TransactionRecord(
        "x",
        ProducerIdentity(3, 32767),
        60000,
        TransactionState.PREPARE_COMMIT,
        frozenset({TopicPartition("t", 0), TopicPartition("__consumer_offsets", 1)}),
        8,
        9,
        previous_producer_id=3,
        next_producer_id=18,
        client_version=2,
    )
    unused = TransactionRecord(
        "x", ProducerIdentity(3, 1), 60000, TransactionState.EMPTY, frozenset(), 8, previous_producer_id=3
    )

    assert key.hex(" ", -2) == "0001 0001 6700 0174 0000 0003"
    assert value == bytes.fromhex("0003" + "0000000000000007" + "ffffffff" + "00016d" + "0000000000000009")
    assert transaction_records.encode_key("x") == bytes.fromhex("0000" + "000178")
    assert transaction_records.encode_value(transaction) == bytes.fromhex(
        "0001" + "0000000000000003" + "7fff" + "0000ea60" + "02"
        "03" + "135f5f636f6e73756d65725f6f666673657473" + "0200000001" + "00" + "0274" + "0200000000" + "00"
        "0000000000000008" + "0000000000000009"
        "03" + "00080000000000000003" + "01080000000000000012" + "02020002"
    )
    assert transaction_records.encode_value(unused) == bytes.fromhex(
        "0001" + "0000000000000003" + "0001" + "0000ea60" + "00" + "00"
        "0000000000000008" + "ffffffffffffffff" + "01" + "00080000000000000003"
    )


def test_a_transaction_in_the_version_before_is_read() -> None:
    value = bytes.fromhex(
        "0000" + "0000000000000005" + "0002" + "0000ea60" + "01"
        "00000001" + "000174" + "00000001" + "00000001" + "0000000000000008" + "0000000000000009"
    )

    record = transaction_records.decode_value("x", value)

    assert record.partitions == {TopicPartition("t", 1)}
    assert (record.updated_ms, record.started_ms) == (8, 9)


def test_a_newer_version_is_refused_and_a_cut_value_is_damage() -> None:
    with pytest.raises(UnsupportedVersionError):
        group_records.decode_offset(b"\x00\x63")
    with pytest.raises(UnsupportedVersionError):
        transaction_records.decode_value("x", b"\x00\x63")
    with pytest.raises(CorruptDataError):
        group_records.decode_group(b"\x00\x03\x00\x05ab")


def test_a_key_of_an_unknown_kind_is_passed_over() -> None:
    assert group_records.decode_key(b"\x00\x63") is None
    assert transaction_records.decode_key(b"\x00\x63") is None


@pytest.mark.parametrize(("text", "value"), [("", 0), ("a", 97), ("my-group", 1593509013), ("é😀", 0)])
def test_partitions_are_chosen_by_javas_string_hash(text: str, value: int) -> None:
    expected = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        expected = (expected * 31 + unit) % 2**32

    assert _java_hash(text) == expected
    if text in ("", "a"):
        assert expected == value
