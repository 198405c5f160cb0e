"""A set of identities grows without a copy, and every earlier state of it stays as it was."""

from __future__ import annotations

from streamcore.processing.topology.identity_sets import IdentitySet


def test_a_set_that_grows_leaves_the_earlier_one_as_it_was() -> None:
    empty = IdentitySet()
    one = empty.with_one(b"a")
    three = one.united([b"b", b"a", b"c"])

    assert [len(found) for found in (empty, one, three)] == [0, 1, 3]
    assert [list(found) for found in (empty, one, three)] == [[], [b"a"], [b"a", b"b", b"c"]]
    assert [list(found.as_map()) for found in (empty, one, three)] == [[], [b"a"], [b"a", b"b", b"c"]]


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


def test_growing_by_n_identities_makes_no_copies() -> None:
    found = IdentitySet()
    shared = found.as_map()
    for number in range(1_000):
        found = found.with_one(b"%d" % number)

    assert found.as_map() is shared
