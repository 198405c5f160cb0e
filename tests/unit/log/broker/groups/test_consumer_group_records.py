"""The records of the newer protocol, byte by byte as Apache Kafka 4.3 writes them, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import UnsupportedVersionError
from streamcore.log.broker.groups.consumer_group_member import (
    ClassicTraits,
    Holding,
    MemberProfile,
    MemberState,
)
from streamcore.log.broker.groups.consumer_group_records import (
    ConsumerGroupKey,
    ConsumerGroupValue,
    GroupEpoch,
    Kind,
    MemberTarget,
    ResolvedPattern,
    TargetEpoch,
    decode_consumer_group_key,
    decode_consumer_group_value,
    encode_consumer_group_record,
)
from streamcore.log.broker.partition_id import PartitionId

ID = bytes(range(16))
HEX = ID.hex()
PROFILE = MemberProfile(
    client_id="c", client_host="/h", topics=("ab",), rebalance_timeout_ms=60_000, assignor="range"
)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.EPOCH, GroupEpoch(7), "0000" "00000007" "00"),
        (Kind.EPOCH, GroupEpoch(7, -1), "0000" "00000007" "01" "00" "08" "ffffffffffffffff"),
        (Kind.TARGET, TargetEpoch(7, 1), "0000" "00000007" "01" "00" "08" "0000000000000001"),
        # Null traits are said, not left out: to Kafka a missing field is an empty one, not null.
        (Kind.PROFILE, PROFILE,
         "0000" "00" "00" "0263" "032f68" "02" "036162" "01" "0000ea60" "0672616e6765" "01" "00" "01" "00"),
        (Kind.PROFILE, MemberProfile(instance_id="i", rack="r", classic=ClassicTraits(9, (("p", b"m"),))),
         "0000" "0269" "0272" "01" "01" "01" "01" "ffffffff" "00" "01" "00" "0c"
         "01" "00000009" "02" "0270" "026d" "00" "00"),
        (Kind.MEMBER_TARGET, MemberTarget(frozenset({PartitionId(ID, 1), PartitionId(ID, 0)})),
         "0000" "02" + HEX + "03" "00000000" "00000001" "00" "00"),
        (Kind.HOLDING,
         Holding(3, 2, MemberState.UNREVOKED_PARTITIONS, {PartitionId(ID, 4): 3}, {PartitionId(ID, 5): 2}),
         "0000" "00000003" "00000002" "01"
         "02" + HEX + "02" "00000004" "01" "00" "05" "02" "00000003"
         "02" + HEX + "02" "00000005" "01" "00" "05" "02" "00000002" "00"),
        (Kind.PATTERN, ResolvedPattern(("t",), 2, 3),
         "0000" "02" "0274" "0000000000000002" "0000000000000003" "00"),
    ],
)  # fmt: skip
def test_values_are_written_as_kafka_writes_them(
    kind: Kind, value: ConsumerGroupValue, expected: str
) -> None:
    _, written = encode_consumer_group_record((ConsumerGroupKey(kind, "g", ""), value))

    assert written is not None
    assert written.hex() == expected
    assert decode_consumer_group_value(kind, written) == value


def test_keys_name_a_group_or_a_part_of_it() -> None:
    group, _ = encode_consumer_group_record((ConsumerGroupKey(Kind.EPOCH, "g"), None))
    member, value = encode_consumer_group_record((ConsumerGroupKey(Kind.HOLDING, "g", "m"), None))

    assert group.hex() == "0003000167"
    assert member.hex() == "000800016700016d"
    assert value is None
    assert decode_consumer_group_key(member) == ConsumerGroupKey(Kind.HOLDING, "g", "m")


def test_other_kinds_of_keys_are_left_to_others() -> None:
    assert decode_consumer_group_key(bytes.fromhex("0002000167")) is None
    assert decode_consumer_group_key(bytes.fromhex("0004000167")) is None


def test_places_without_epochs_count_as_of_the_members_epoch() -> None:
    before_4_2 = bytes.fromhex("000000000003000000020002" + HEX + "0200000004000100")

    holding = decode_consumer_group_value(Kind.HOLDING, before_4_2)

    assert holding == Holding(3, 2, assigned={PartitionId(ID, 4): 3})


def test_a_state_that_is_not_known_is_kept_as_such() -> None:
    value = bytes.fromhex("0000000000030000000263010100")

    holding = decode_consumer_group_value(Kind.HOLDING, value)

    assert isinstance(holding, Holding)
    assert holding.state is MemberState.UNKNOWN


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(UnsupportedVersionError, match="upgrade this program"):
        decode_consumer_group_value(Kind.EPOCH, bytes.fromhex("00010000000300"))


TEXTS = st.text(max_size=200)
PLACES = st.builds(PartitionId, st.binary(min_size=16, max_size=16), st.integers(0, 1000))
EPOCHS = st.dictionaries(PLACES, st.integers(0, 2**31 - 1), max_size=20)
VALUES: dict[Kind, st.SearchStrategy[ConsumerGroupValue]] = {
    Kind.EPOCH: st.builds(GroupEpoch, st.integers(0, 2**31 - 1), st.integers(-(2**63), 2**63 - 1)),
    Kind.TARGET: st.builds(TargetEpoch, st.integers(0, 2**31 - 1), st.integers(0, 2**62)),
    Kind.PROFILE: st.builds(
        MemberProfile,
        instance_id=st.none() | TEXTS,
        rack=st.none() | TEXTS,
        client_id=TEXTS,
        client_host=TEXTS,
        topics=st.sets(TEXTS, max_size=5).map(lambda names: tuple(sorted(names))),
        pattern=TEXTS,
        rebalance_timeout_ms=st.integers(-1, 2**31 - 1),
        assignor=st.none() | TEXTS,
        classic=st.none()
        | st.builds(
            ClassicTraits,
            st.integers(0, 2**31 - 1),
            st.lists(st.tuples(TEXTS, st.binary(max_size=300)), max_size=3).map(tuple),
        ),
    ),
    Kind.MEMBER_TARGET: st.builds(MemberTarget, st.frozensets(PLACES, max_size=20)),
    Kind.HOLDING: st.builds(
        Holding, st.integers(-2, 2**31 - 1), st.integers(0, 9), st.sampled_from(MemberState), EPOCHS, EPOCHS
    ),
    Kind.PATTERN: st.builds(
        ResolvedPattern,
        st.sets(TEXTS, max_size=5).map(lambda names: tuple(sorted(names))),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
}


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(kind: Kind, data: st.DataObject) -> None:
    key = ConsumerGroupKey(
        kind, data.draw(TEXTS), "" if kind in (Kind.EPOCH, Kind.TARGET) else data.draw(TEXTS)
    )
    value = data.draw(VALUES[kind])

    written_key, written = encode_consumer_group_record((key, value))

    assert written is not None
    assert decode_consumer_group_key(written_key) == key
    assert decode_consumer_group_value(kind, written) == value
