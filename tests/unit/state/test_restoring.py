"""What a store needs, decided from its checkpoint and the marks of its changelog."""

from __future__ import annotations

from uuid import UUID

import pytest

from streamcore.state.restoring import (
    ChangelogExtent,
    Checkpoint,
    RestorePlan,
    RestoreRules,
    Restoring,
    plan_restore,
)

TOPIC = UUID(int=1)
ANOTHER = UUID(int=2)
HOUR_MS = 3_600_000


def plan(
    checkpoint: Checkpoint | None,
    *,
    log_start: int = 10,
    visible_end: int = 90,
    log_end: int = 100,
    is_windowed: bool = False,
    is_changelog: bool = False,
    may_lose_end: bool = False,
    replaced_ids: frozenset[UUID] = frozenset(),
    now_ms: int = 0,
) -> RestorePlan:
    return plan_restore(
        checkpoint,
        ChangelogExtent(TOPIC, log_start, visible_end, log_end),
        RestoreRules(
            is_windowed=is_windowed,
            now_ms=now_ms,
            delete_retention_ms=24 * HOUR_MS,
            is_changelog=is_changelog,
            may_lose_end=may_lose_end,
            replaced_ids=replaced_ids,
        ),
    )


def test_a_store_without_checkpoint_is_rebuilt_from_the_log_start() -> None:
    found = plan(None)

    assert (found.kind, found.start, found.end) == (Restoring.REBUILD, 10, 90)


@pytest.mark.parametrize("offset", [90, 95, 100])
def test_a_store_that_reaches_the_visible_end_needs_nothing(offset: int) -> None:
    assert plan(Checkpoint(offset, TOPIC)).kind is Restoring.NOTHING


@pytest.mark.parametrize("offset", [10, 50, 89])
def test_a_store_that_is_behind_gets_the_tail(offset: int) -> None:
    found = plan(Checkpoint(offset, TOPIC))

    assert (found.kind, found.start, found.end) == (Restoring.TAIL, offset, 90)


def test_a_checkpoint_ahead_of_the_log_end_is_of_a_log_that_is_gone() -> None:
    found = plan(Checkpoint(101, TOPIC))

    assert (found.kind, found.start) == (Restoring.REBUILD, 10)


def test_a_checkpoint_of_another_incarnation_means_nothing() -> None:
    assert plan(Checkpoint(90, ANOTHER)).kind is Restoring.REBUILD


def test_a_key_value_store_before_the_log_start_may_have_missed_tombstones() -> None:
    assert plan(Checkpoint(9, TOPIC)).kind is Restoring.REBUILD


def test_a_windowed_store_before_the_log_start_keeps_its_own_windows() -> None:
    found = plan(Checkpoint(9, TOPIC), is_windowed=True)

    assert (found.kind, found.start) == (Restoring.TAIL, 10)


def test_a_store_away_for_longer_than_tombstones_live_does_not_trust_the_tail() -> None:
    stamped = Checkpoint(50, TOPIC, stamped_ms=0)

    assert plan(stamped, now_ms=24 * HOUR_MS).kind is Restoring.TAIL
    assert plan(stamped, now_ms=24 * HOUR_MS + 1).kind is Restoring.TAIL_IF_EMPTY
    assert plan(stamped, now_ms=24 * HOUR_MS + 1, is_windowed=True).kind is Restoring.TAIL
    assert plan(stamped, now_ms=24 * HOUR_MS + 1).as_rebuild().start == 10


def test_a_store_without_checkpoint_and_an_empty_changelog_meet_at_the_end() -> None:
    found = plan(None, log_start=7, visible_end=7, log_end=7)

    assert (found.start, found.end) == (7, 7)


def test_a_changelog_that_lost_records_rebuilds_no_table() -> None:
    assert plan(None, is_changelog=True).kind is Restoring.REFUSE
    assert plan(Checkpoint(8, TOPIC), is_changelog=True).kind is Restoring.REFUSE
    assert plan(None, is_changelog=True, log_start=0).kind is Restoring.REBUILD
    assert plan(None, is_changelog=True, is_windowed=True).kind is Restoring.REBUILD
    late = Checkpoint(50, TOPIC, stamped_ms=0)
    assert plan(late, is_changelog=True, now_ms=25 * HOUR_MS).as_rebuild().kind is Restoring.REFUSE


def test_a_store_that_misses_only_the_marker_of_its_own_commit_is_complete() -> None:
    found = plan(Checkpoint(9, TOPIC), is_changelog=True)

    assert (found.kind, found.start) == (Restoring.TAIL, 10)
    assert plan(Checkpoint(9, TOPIC), is_changelog=True, visible_end=10).kind is Restoring.TAIL


def test_a_topic_that_a_table_follows_may_have_any_record_where_a_changelog_has_a_marker() -> None:
    assert plan(Checkpoint(9, TOPIC), is_changelog=False).kind is Restoring.REBUILD


def test_a_changelog_of_another_incarnation_is_taken_only_after_a_reset() -> None:
    other = Checkpoint(90, ANOTHER)

    assert plan(other, is_changelog=True, log_start=0).kind is Restoring.REFUSE
    assert plan(other, is_changelog=True, replaced_ids=frozenset({ANOTHER})).kind is Restoring.REBUILD


def test_a_store_ahead_of_its_changelog_is_made_anew_only_where_a_log_may_lose_its_end() -> None:
    ahead = Checkpoint(101, TOPIC)

    assert plan(ahead, is_changelog=True, log_start=0).kind is Restoring.REFUSE
    assert plan(ahead, is_changelog=True, log_start=0, may_lose_end=True).kind is Restoring.REBUILD
