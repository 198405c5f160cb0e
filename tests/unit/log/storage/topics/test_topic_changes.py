"""Topics that change while the log is used: begun, run elsewhere, completed; and what a crash leaves."""

from __future__ import annotations

import pytest

from streamcore.errors import StorageError, UnknownTopicError
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.checkpoints import RECOVERY_POINTS, read_checkpoint
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import PowerCut
from tests.support.partition_fixture import NOW_MS, ROOT, OnePartition


def test_nothing_is_seen_of_a_topic_before_it_is_complete() -> None:
    one = OnePartition()
    catalog = one.manager.catalog

    change = catalog.begin_creation([catalog.new_topic("new", 2, {})])
    change.run()
    seen_early = "new" in catalog.topics
    catalog.complete_creation(change)

    assert not seen_early
    assert len(catalog.logs("new")) == 2
    assert catalog.names[catalog.topics["new"].topic_id.bytes] == "new"


def test_changes_of_several_topics_may_run_side_by_side() -> None:
    one = OnePartition()
    catalog = one.manager.catalog
    creation = catalog.begin_creation([catalog.new_topic("new", 2, {}), catalog.new_topic("newer", 1, {})])
    settings = catalog.begin_settings([catalog.with_config("t", {"segment.bytes": "5000"})])
    one.manager.create_topic("meanwhile", 1)
    creation.run()
    settings.run()

    one.crash()

    topics = one.manager.topics
    assert {name: topic.partition_count for name, topic in topics.items()} == {
        "t": 1,
        "meanwhile": 1,
        "new": 2,
        "newer": 1,
    }
    assert topics["t"].config == {"segment.bytes": "5000"}


@pytest.mark.parametrize("operation", range(1, 70, 2))
def test_topics_made_together_are_there_all_or_none(operation: int) -> None:
    one = OnePartition(seed=operation)
    one.append(b"kept")
    one.log.sync()
    names = [f"n{number}" for number in range(4)]
    one.disk.crash_at(operation)
    with pytest.raises(PowerCut):
        catalog = one.manager.catalog
        change = catalog.begin_creation([catalog.new_topic(name, 2, {}) for name in names])
        change.run()
        catalog.complete_creation(change)
        for _ in range(100):
            one.manager.set_topic_config("t", {"retention.ms": "-1"})

    one.crash()

    assert sum(name in one.manager.topics for name in names) in (0, 4)
    assert one.values() == [b"kept"]
    for name in names:
        if name not in one.manager.topics:
            one.manager.create_topic(name, 1)


@pytest.mark.parametrize("operation", range(1, 30))
def test_topics_deleted_together_are_gone_all_or_none(operation: int) -> None:
    one = OnePartition(seed=operation)
    one.append(b"kept")
    one.log.sync()
    for name in ("a", "b"):
        one.manager.create_topic(name, 2)
        one.manager.catalog.logs(name)[1].append(encode_batch([b"k"], [b"v"], [NOW_MS]), now_ms=NOW_MS)
        one.manager.catalog.logs(name)[1].sync()
    one.disk.crash_at(operation)
    with pytest.raises(PowerCut):
        removal = one.manager.catalog.begin_removal(["a", "b"])
        removal.run()
        one.manager.catalog.complete_removal(removal)
        removal.remove_files()
        for _ in range(100):
            one.manager.set_topic_config("t", {"retention.ms": "-1"})

    one.crash()

    present = [name for name in ("a", "b") if name in one.manager.topics]
    assert present in ([], ["a", "b"])
    for name in ("a", "b"):
        if name in present:
            assert one.manager.catalog.logs(name)[1].offsets.log_end == 1
        else:
            one.manager.create_topic(name, 2)
            assert [log.offsets.log_end for log in one.manager.catalog.logs(name)] == [0, 0]
    assert one.values() == [b"kept"]


def test_a_sync_that_ends_after_the_deletion_leaves_no_trace_for_a_new_topic_of_the_name() -> None:
    one = OnePartition()
    one.append(b"old")
    old = one.log
    ticket = old.begin_sync()
    assert ticket is not None
    one.manager.delete_topic("t")
    one.manager.create_topic("t", 1, {"retention.ms": "-1"})

    ticket.is_synced = True
    old.complete_sync(ticket)
    old.note_recovery_point()
    one.manager.checkpoint()

    assert TopicPartition("t", 0) not in read_checkpoint(one.disk, ROOT / RECOVERY_POINTS)
    assert one.crash().offsets.log_end == 0


def test_a_new_partition_knows_whose_it_is_after_a_power_cut() -> None:
    one = OnePartition()
    made = one.manager.create_topic("new", 1)

    one.crash()

    text = one.disk.open(ROOT / "new-0" / "partition.metadata").read_at(0, 100)
    assert text.startswith(b"version: 0\ntopic_id: ")
    assert one.manager.topics["new"].topic_id == made.topic_id


def test_defaults_reach_the_topics_that_do_not_say_otherwise() -> None:
    one = OnePartition(segment_bytes="5000")
    one.manager.create_topic("plain", 1)
    catalog = one.manager.catalog

    catalog.set_defaults({"segment.bytes": "7000", "retention.ms": "9"})

    assert [catalog.logs(name)[0].config.segment_bytes for name in ("t", "plain")] == [5000, 7000]
    assert catalog.logs("plain")[0].config.retention_ms == 9


def test_topics_with_equal_settings_share_one_config() -> None:
    one = OnePartition()
    for name in ("a", "b"):
        one.manager.create_topic(name, 2, {"retention.ms": "5"})

    configs = {id(log.config) for name in ("a", "b") for log in one.manager.catalog.logs(name)}

    assert len(configs) == 1


def test_a_full_disk_leaves_no_folder_of_topics_that_were_made_together() -> None:
    one = OnePartition()
    one.disk.fill_after(150)
    catalog = one.manager.catalog
    change = catalog.begin_creation([catalog.new_topic(name, 2, {}) for name in ("a", "b")])
    with pytest.raises(StorageError):
        change.run()
    one.disk.fill_after(None)

    assert [name for name in one.disk.list_directory(ROOT) if name[0] in "ab"] == []
    with pytest.raises(UnknownTopicError):
        catalog.logs("a")


def test_an_untouched_partition_is_closed_and_opened_without_a_sync() -> None:
    one = OnePartition()
    one.manager.create_topic("idle", 30)
    one.reopen()

    # A stop writes its checkpoint and its mark, a start takes the mark away: nowhere near thirty syncs.
    one.disk.fail_sync(10)
    one.reopen()
    one.disk.fail_sync(None)

    assert one.disk.list_directory(ROOT / "idle-29") == ["00000000000000000000.log", "partition.metadata"]
