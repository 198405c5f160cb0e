"""A restored store equals the replay of its changelog, however the restore was interrupted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.clock import ManualClock
from streamcore.errors import OffsetOutOfRangeError, UnknownTopicError
from streamcore.model import TopicPartition
from streamcore.state import changelog, restore
from streamcore.state.engine import StoreWrites
from streamcore.state.memory import MemoryEngine
from streamcore.state.restore import Restored, RestoreTarget, restore_store
from streamcore.state.restoring import Checkpoint, Restoring
from tests.support.fake_log import FakeLog, Pair

SOURCE = TopicPartition("app-counts-changelog", 0)
TARGET = RestoreTarget(store="counts", partition=SOURCE)
DAY_MS = 86_400_000


class Killed(Exception):
    """The process ends here."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "CHUNK_RECORDS", 4)
    monkeypatch.setattr(restore, "CHUNK_FETCHES", 2)


@pytest.fixture
def log() -> FakeLog:
    return FakeLog(SOURCE)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


def held(engine: MemoryEngine) -> dict[bytes, bytes]:
    return dict(engine.scan("counts"))


def kill_at_fetch(log: FakeLog, count: int) -> None:
    fetches = iter(range(count))

    def before_fetch() -> None:
        if next(fetches, None) is None:
            raise Killed

    log.before_fetch = before_fetch


def numbered(count: int) -> list[Pair]:
    return [(b"k%d" % (number % 7), b"%d" % number) for number in range(count)]


def test_a_lost_store_gets_everything(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    log.append(*numbered(30))

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert restored.record_count == 30
    assert held(engine) == log.contents()


def test_an_intact_store_replays_nothing(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    log.append(*numbered(30))
    restore_store(engine, TARGET, log, clock)
    fetched_before = log.fetched_count

    restored = restore_store(engine, TARGET, log, clock)

    assert restored == Restored(restored.plan, 0)
    assert restored.plan.kind is Restoring.NOTHING
    assert log.fetched_count == fetched_before


def test_a_marker_behind_the_checkpoint_is_no_record(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    end = log.append(*numbered(5))
    engine.apply(
        [StoreWrites("counts", [b"k1"], [b"1"])],
        changelog.checkpoints({"counts": end}, clock.now_ms()),
        changelog.topic_notes({"counts": log.topic_id}),
    )

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.record_count == 0
    assert held(engine) == {b"k1": b"1"}
    assert changelog.checkpoint(engine, "counts") == Checkpoint(end + 1, log.topic_id, 1000)


def test_a_store_that_is_behind_gets_the_tail_alone(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append(*numbered(10))
    restore_store(engine, TARGET, log, clock)
    log.append((b"k1", None), (b"new", b"1"))

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.plan.kind is Restoring.TAIL
    assert restored.record_count == 2
    assert held(engine) == log.contents()
    assert b"k1" not in held(engine)


def test_what_is_not_decided_is_not_restored(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    log.append((b"a", b"1"))
    log.append_undecided((b"a", b"2"))

    restore_store(engine, TARGET, log, clock)

    assert held(engine) == {b"a": b"1"}


def test_records_without_a_key_change_nothing(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    log.append((None, b"x"), (b"a", b"1"), (None, None))

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.record_count == 3
    assert held(engine) == {b"a": b"1"}


@pytest.mark.parametrize("fetch_count", range(5))
def test_a_killed_restore_goes_on_from_its_last_chunk(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock, fetch_count: int
) -> None:
    log.append(*numbered(15))
    kill_at_fetch(log, fetch_count)
    with pytest.raises(Killed):
        restore_store(engine, TARGET, log, clock)
    log.before_fetch = lambda: None
    log.fetched_count = 0

    restored = restore_store(engine, TARGET, log, clock)

    assert held(engine) == log.contents()
    assert restored.record_count == log.fetched_count
    if fetch_count >= 2:
        assert restored.plan.kind is Restoring.TAIL
        assert log.fetched_count < 15


def test_a_rebuild_that_was_killed_never_keeps_stale_keys(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append((b"stale", b"1"), (b"a", b"1"))
    restore_store(engine, TARGET, log, clock)
    log.recreate()
    log.append(*numbered(15))
    kill_at_fetch(log, 0)
    with pytest.raises(Killed):
        restore_store(engine, TARGET, log, clock)
    log.before_fetch = lambda: None

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert held(engine) == log.contents()


def test_a_kill_between_the_mark_and_the_drop_leads_to_another_rebuild(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append((b"a", b"1"))
    engine.apply(
        [StoreWrites("counts", [b"stale"], [b"1"])],
        changelog.checkpoints({"counts": changelog.REBUILDING}, 0),
        changelog.topic_notes({"counts": log.topic_id}),
    )

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert held(engine) == {b"a": b"1"}


def test_a_store_ahead_of_its_log_is_rebuilt(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    """A power cut took the end of a log that was not kept durable."""
    log.append((b"a", b"1"))
    engine.apply(
        [StoreWrites("counts", [b"a", b"lost"], [b"9", b"9"])],
        changelog.checkpoints({"counts": log.log_end + 5}, 0),
        changelog.topic_notes({"counts": log.topic_id}),
    )

    restore_store(engine, TARGET, log, clock)

    assert held(engine) == {b"a": b"1"}


def test_a_tombstone_that_compaction_took_is_not_missed(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append((b"deleted later", b"1"), (b"a", b"1"))
    restore_store(engine, TARGET, log, clock)
    clock.advance(2 * DAY_MS)
    log.append((b"deleted later", None), (b"a", b"2"))
    log.compact()

    restored = restore_store(engine, TARGET, log, clock)

    assert restored.plan.kind is Restoring.REBUILD
    assert held(engine) == {b"a": b"2"}


def test_a_store_that_slept_over_a_marker_alone_is_kept(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append((b"a", b"1"))
    restore_store(engine, TARGET, log, clock)
    clock.advance(30 * DAY_MS)
    log.append()

    restored = restore_store(engine, TARGET, log, clock)

    assert (restored.plan.kind, restored.record_count) == (Restoring.TAIL, 0)
    assert held(engine) == {b"a": b"1"}


def test_a_log_start_that_moves_during_a_restore_makes_it_plan_again(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append(*numbered(30))
    fetches = iter(range(3))

    def before_fetch() -> None:
        if next(fetches, None) is None and log.log_start == 0:
            log.delete_before(20)

    log.before_fetch = before_fetch

    restored = restore_store(engine, TARGET, log, clock)

    assert (restored.plan.kind, restored.plan.start) == (Restoring.REBUILD, 20)
    assert held(engine) == log.contents()


def test_a_log_start_that_never_stands_still_is_reported(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append(*numbered(60))
    log.before_fetch = lambda: log.delete_before(log.log_start + 4)

    with pytest.raises(OffsetOutOfRangeError):
        restore_store(engine, TARGET, log, clock)


def test_progress_is_told_from_nothing_to_all(log: FakeLog, engine: MemoryEngine, clock: ManualClock) -> None:
    log.append(*numbered(20))
    told: list[tuple[int, int]] = []

    restore_store(engine, TARGET, log, clock, progress=lambda done, total: told.append((done, total)))

    assert told[0] == (0, 21)
    assert told[-1] == (21, 21)
    assert told == sorted(set(told))


def test_a_table_that_follows_a_topic_stops_where_the_task_reads_on(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append(*numbered(20))
    target = RestoreTarget(store="counts", partition=SOURCE, until=11)

    restored = restore_store(engine, target, log, clock)

    assert restored.record_count == 11
    assert held(engine) == dict(numbered(11))
    assert changelog.checkpoint(engine, "counts") == Checkpoint(11, log.topic_id, 1000)


def test_a_table_ahead_of_where_the_task_reads_on_is_rebuilt_up_to_there(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append(*numbered(20))
    restore_store(engine, TARGET, log, clock)

    restore_store(engine, RestoreTarget(store="counts", partition=SOURCE, until=3), log, clock)

    assert held(engine) == {b"k0": b"0", b"k1": b"1", b"k2": b"2"}


def test_a_transform_may_give_two_topic_keys_one_store_key(
    log: FakeLog, engine: MemoryEngine, clock: ManualClock
) -> None:
    log.append((b"A", b"1"), (b"a", b"2"), (b"A", b"3"), (b"B", b"4"), (b"b", None))
    target = RestoreTarget(
        store="counts",
        partition=SOURCE,
        transform=lambda keys, values: ([key.lower() for key in keys], values),
    )

    restore_store(engine, target, log, clock)

    assert held(engine) == {b"a": b"3"}


def test_a_topic_that_does_not_exist_is_named(engine: MemoryEngine, clock: ManualClock) -> None:
    other = FakeLog(TopicPartition("other", 0))

    with pytest.raises(UnknownTopicError, match="app-counts-changelog"):
        restore_store(engine, TARGET, other, clock)


PAIRS = st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.binary(max_size=2))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(PAIRS, max_size=8)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("recreate"), st.none()),
        st.tuples(st.just("restore"), st.none()),
        st.tuples(st.just("killed restore"), st.integers(0, 4)),
        st.tuples(st.just("sleep"), st.none()),
        st.tuples(st.just("commit"), st.lists(PAIRS, min_size=1, max_size=4)),
        st.tuples(st.just("commit killed before apply"), st.lists(PAIRS, min_size=1, max_size=4)),
    ),
    max_size=12,
)


@given(steps=STEPS)
def test_a_restored_store_is_the_replay_of_its_changelog(steps: list[tuple[str, object]]) -> None:
    log, engine, clock = FakeLog(SOURCE), MemoryEngine(), ManualClock(0)
    restore_store(engine, TARGET, log, clock)

    for what, argument in steps:
        log.before_fetch = lambda: None
        if what == "append":
            log.append(*argument)  # type: ignore[misc]
        elif what == "compact":
            # Compaction drops tombstones only after their time, during which the store was away.
            clock.advance(2 * DAY_MS)
            log.compact()
        elif what == "recreate":
            log.recreate()
        elif what == "sleep":
            clock.advance(2 * DAY_MS)
        elif what == "killed restore":
            kill_at_fetch(log, argument)  # type: ignore[arg-type]
            try:
                restore_store(engine, TARGET, log, clock)
            except Killed:
                continue
        else:
            restore_store(engine, TARGET, log, clock)
            assert held(engine) == log.contents()
            if what != "restore":
                pairs = dict(argument)  # type: ignore[call-overload]
                end = log.append(*pairs.items())
                if what == "commit":
                    engine.apply(
                        [StoreWrites("counts", list(pairs), list(pairs.values()))],
                        changelog.checkpoints({"counts": end}, clock.now_ms()),
                    )

    log.before_fetch = lambda: None
    restore_store(engine, TARGET, log, clock)
    assert held(engine) == log.contents()
