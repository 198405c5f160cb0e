"""Records without a key stick to a partition for a batch, then move to another."""

from __future__ import annotations

from random import Random

from streamcore.log.client.producer.sticky_partition import StickyPartition


def test_the_sticky_partition_always_moves_to_another_and_reaches_all() -> None:
    sticky = StickyPartition(Random(1))
    before = sticky.next(4)
    seen = {before}
    for _ in range(100):
        after = sticky.next(4)
        assert after != before
        seen.add(after)
        before = after

    assert seen == {0, 1, 2, 3}


def test_the_only_partition_is_the_sticky_one() -> None:
    sticky = StickyPartition(Random(1))

    assert [sticky.next(1) for _ in range(3)] == [0, 0, 0]
