"""What the cache forgets, and what it must not."""

from __future__ import annotations

from streamcore.state.cache import TwoGenerationCache


def filled(entries_max: int, keys: range) -> TwoGenerationCache[int, int]:
    cache: TwoGenerationCache[int, int] = TwoGenerationCache(entries_max)
    for key in keys:
        cache.set(key, key)
    return cache


def test_nothing_is_forgotten_while_there_is_room() -> None:
    cache = filled(10, range(10))

    cache.trim(())

    assert cache.unknown([*range(11)][10:]) == [10]
    assert len(cache.hot) == 10


def test_the_oldest_are_forgotten_first() -> None:
    cache = filled(10, range(15))

    cache.trim(())

    assert cache.unknown(range(15)) == [0, 1, 2, 3, 4]


def test_what_was_used_since_outlives_what_was_not() -> None:
    cache = filled(10, range(10))
    cache.set(10, 10)
    cache.trim(())
    assert cache.unknown([1, 2]) == []
    for key in range(20, 25):
        cache.set(key, key)

    cache.trim(())

    assert cache.unknown([3, 4, 5, 6, 7]) == [3, 4, 5, 6, 7]
    assert {1, 2} <= set(cache.hot)


def test_pinned_keys_stay_hot_however_many_they_are() -> None:
    cache = filled(3, range(10))

    cache.trim(range(8))

    assert set(cache.hot) == set(range(8))
    assert not cache.cold


def test_known_absence_is_bounded_too_but_for_pinned_keys() -> None:
    cache: TwoGenerationCache[int, int] = TwoGenerationCache(5)
    for key in range(10):
        cache.set_absent(key)

    cache.trim([7])

    assert cache.absent == {7}


def test_a_new_value_replaces_a_cold_one_and_absence() -> None:
    cache = filled(2, range(4))
    cache.trim(())
    cache.set(3, 33)
    cache.set_absent(2)
    cache.set(2, 22)

    assert cache.unknown([]) == []
    assert cache.hot == {3: 33, 2: 22}
    assert not cache.absent
    assert 3 not in cache.cold


def test_large_values_leave_room_for_fewer_keys_and_small_ones_for_all() -> None:
    large: TwoGenerationCache[int, int] = TwoGenerationCache(100, bytes_max=1_000)
    small: TwoGenerationCache[int, int] = TwoGenerationCache(100, bytes_max=1_000)
    for key in range(150):
        large.set(key, key)
        small.set(key, key)

    large.weigh([bytes(50), None, bytes(150)])
    small.weigh([bytes(9), None, bytes(11)])
    large.trim(())
    small.trim(())

    assert len(large.hot) + len(large.cold) == 10
    assert len(small.hot) + len(small.cold) == 100


def test_a_value_larger_than_the_cache_leaves_room_for_one_key() -> None:
    cache = filled(10, range(10))
    cache.weigh([bytes(2 * cache.bytes_max)])

    cache.trim(())

    assert len(cache.hot) + len(cache.cold) == 1


def test_the_sizes_of_late_count_more_than_those_of_long_ago() -> None:
    cache: TwoGenerationCache[int, int] = TwoGenerationCache(1_000, bytes_max=10_000)
    cache.weigh([b"1"] * 70_000)
    assert cache.entries_wanted() == 1_000

    for _ in range(10):
        cache.weigh([bytes(100)] * 40_000)

    assert 100 <= cache.entries_wanted() <= 110


def test_without_sizes_the_number_of_keys_is_the_limit() -> None:
    cache = filled(10, range(15))
    cache.weigh([None, None])

    cache.trim(())

    assert len(cache.hot) + len(cache.cold) == 10
