"""A set of identities grows without a copy, and every earlier state of it stays as it was."""

from __future__ import annotations

import pytest

from streamcore.processing.topology.identity_sets import (
    FEW,
    NO_IDENTITIES,
    PART_IDENTITIES,
    Accumulator,
    IdentitySet,
    missing_parts,
    size_of,
    stored_set,
    whole_set,
    with_identities,
    with_identity,
)


def test_a_set_that_grows_leaves_the_earlier_one_as_it_was() -> None:
    empty = IdentitySet()
    one = empty.with_one(b"a")
    three = one.united([b"b", b"a", b"c"])

    assert [len(found) for found in (empty, one, three)] == [0, 1, 3]
    assert [list(found) for found in (empty, one, three)] == [[], [b"a"], [b"a", b"b", b"c"]]
    assert [found.stored() for found in (empty, one, three)] == [
        [0, []],
        [1, [b"a"]],
        [3, [b"a", b"b", b"c"]],
    ]


def test_two_sets_that_grow_out_of_one_do_not_meet() -> None:
    one = IdentitySet([b"a"])
    left = one.with_one(b"b")
    right = one.with_one(b"c")
    both = one.united([b"d", b"b"])

    assert list(left.with_one(b"e")) == [b"a", b"b", b"e"]
    assert list(right) == [b"a", b"c"]
    assert list(both) == [b"a", b"d", b"b"]
    assert list(one) == [b"a"]


def test_a_set_stays_the_same_object_for_identities_that_it_has() -> None:
    two = IdentitySet([b"a", b"b"])

    assert two.with_one(b"a") is two
    assert two.united([b"b", b"a"]) is two


def test_an_identity_that_only_a_later_set_has_is_not_in_an_earlier_one() -> None:
    one = IdentitySet([b"a"])
    one.with_one(b"b")

    again = one.with_one(b"b")

    assert (len(one), len(again)) == (1, 2)
    assert again == IdentitySet([b"b", b"a"])
    assert again != one


def numbered(start: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, end)]


def test_a_full_part_leaves_what_is_stored_and_the_set_has_it_still() -> None:
    most = 2 * PART_IDENTITIES + 3
    whole = IdentitySet(numbered(0, most))

    same, parts = whole.without_full_parts()

    assert parts == {
        0: numbered(0, PART_IDENTITIES),
        1: numbered(PART_IDENTITIES, 2 * PART_IDENTITIES),
    }
    assert same is whole
    assert same.stored() == [most, numbered(2 * PART_IDENTITIES, most)]
    assert same.with_one(b"7") is same
    assert same.without_full_parts()[1] == {}


def test_a_stored_set_is_whole_again_with_its_parts() -> None:
    grown, parts = IdentitySet(numbered(0, PART_IDENTITIES + 5)).without_full_parts()
    stored = grown.with_one(b"new").stored()

    found = whole_set(stored, [parts[number] for number in missing_parts(stored)])

    assert isinstance(found, IdentitySet)
    assert list(found) == [*numbered(0, PART_IDENTITIES + 5), b"new"]
    assert found.stored() == stored
    assert size_of(stored) == size_of(found) == PART_IDENTITIES + 6


def test_a_set_that_a_later_one_has_outgrown_gives_only_its_own_parts() -> None:
    early = IdentitySet(numbered(0, PART_IDENTITIES - 1))
    early.united(numbered(0, 2 * PART_IDENTITIES))

    same, parts = early.without_full_parts()

    assert parts == {}
    assert same == early
    assert same.stored() == [PART_IDENTITIES - 1, numbered(0, PART_IDENTITIES - 1)]


@pytest.mark.parametrize("count", [0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW])
def test_a_set_is_the_same_whether_it_grows_by_one_or_by_many_and_is_stored_in_between(count: int) -> None:
    identities = numbered(0, count)
    by_one: Accumulator = NO_IDENTITIES
    by_many, reloaded = with_identities(NO_IDENTITIES, identities), by_one
    for identity in identities:
        by_one = with_identity(by_one, identity)
        reloaded = with_identity(stored_set(reloaded), identity)

    for found in (by_one, by_many, reloaded, whole_set(stored_set(by_one))):
        assert size_of(found) == count
        assert stored_set(found) == [count, identities]


@pytest.mark.parametrize("count", [1, FEW, 3 * FEW])
def test_identities_that_a_set_has_do_not_change_it(count: int) -> None:
    found = with_identities(NO_IDENTITIES, numbered(0, count))

    assert with_identity(found, b"0") is found
    assert stored_set(with_identities(found, numbered(0, count))) == [count, numbered(0, count)]
