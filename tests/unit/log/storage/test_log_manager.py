"""The log as a whole: topics, housekeeping, stopping."""

from __future__ import annotations

import pytest

from streamcore.errors import (
    ClosedError,
    CorruptDataError,
    InvalidConfigError,
    StorageError,
    TopicExistsError,
    UnknownTopicError,
    UnsupportedVersionError,
)
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.files import write_whole
from streamcore.log.storage.topics.topic_registry import REGISTRY_NAME
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import PowerCut
from tests.support.partition_fixture import NOW_MS, ROOT, TARGET, OnePartition


def test_topics_and_their_settings_survive_a_crash() -> None:
    one = OnePartition()
    created = one.manager.create_topic("orders", 3, {"cleanup.policy": "compact"})
    one.manager.add_partitions("orders", 5)
    one.manager.set_topic_config("orders", {"segment.bytes": "1000"})

    one.crash()

    topic = one.manager.topics["orders"]
    assert topic.topic_id == created.topic_id
    assert topic.partition_count == 5
    assert topic.config == {"segment.bytes": "1000"}
    assert one.manager.partition(TopicPartition("orders", 4)).config.segment_bytes == 1000


def test_a_topic_created_again_has_none_of_the_old_data() -> None:
    one = OnePartition()
    one.append(b"old")
    one.log.sync()
    one.log.delete_records_before(1)
    old_id = one.log.topic_id

    one.manager.delete_topic("t")
    assert not one.disk.exists(ROOT / "t-0")
    with pytest.raises(UnknownTopicError):
        one.manager.partition(TARGET)
    one.manager.create_topic("t", 1)

    assert one.log.topic_id != old_id
    assert one.crash().offsets.log_end == 0


@pytest.mark.parametrize("operation", range(1, 40))
def test_power_lost_while_topics_change_leaves_all_or_nothing(operation: int) -> None:
    one = OnePartition(seed=operation)
    one.append(b"kept")
    one.log.sync()
    one.manager.create_topic("gone", 2)
    one.disk.crash_at(operation)
    with pytest.raises(PowerCut):
        one.manager.create_topic("new", 2)
        one.manager.delete_topic("gone")
        one.manager.add_partitions("t", 3)
        for _ in range(40):
            one.disk.exists(ROOT)
            one.manager.set_topic_config("new", {})

    one.crash()

    counts = {name: topic.partition_count for name, topic in one.manager.topics.items()}
    assert counts["t"] in (1, 3)
    assert counts.get("new", 2) == 2
    assert counts.get("gone", 2) == 2
    for name, count in counts.items():
        for number in range(count):
            assert one.manager.partition(TopicPartition(name, number)).offsets.log_start == 0
    assert one.values() == [b"kept"]
    if "new" not in counts:
        one.manager.create_topic("new", 2)


def test_a_full_disk_refuses_a_topic_and_leaves_none() -> None:
    one = OnePartition()
    one.disk.fill_after(10)
    with pytest.raises(StorageError, match="space"):
        one.manager.create_topic("new", 2)
    one.disk.fill_after(None)

    assert "new" not in one.manager.topics
    assert one.manager.create_topic("new", 2).partition_count == 2


@pytest.mark.parametrize("sync_count", range(1, 8))
@pytest.mark.parametrize("is_power_lost", [False, True])
def test_a_failed_sync_while_a_topic_is_created_leaves_a_log_that_opens(
    sync_count: int, is_power_lost: bool
) -> None:
    one = OnePartition(seed=sync_count)
    one.append(b"kept")
    one.log.sync()
    one.disk.fail_sync(sync_count)
    with pytest.raises(StorageError):
        one.manager.create_topic("new", 2)
    assert "new" not in one.manager.topics

    if is_power_lost:
        one.disk.crash()
    one.leave()

    assert one.values() == [b"kept"]
    assert "new" not in one.manager.topics
    assert one.manager.create_topic("new", 2).partition_count == 2


@pytest.mark.parametrize("free_bytes", range(0, 1800, 100))
def test_a_creation_that_cannot_even_be_taken_back_is_there_whole_or_not_at_all(free_bytes: int) -> None:
    one = OnePartition(seed=free_bytes)
    # The last of its syncs is the one after the registry took its new name; the disk is full then.
    one.disk.fail_sync(7)
    one.disk.fill_after(free_bytes)
    with pytest.raises(StorageError):
        one.manager.create_topic("new", 2)
    one.disk.fail_sync(None)
    one.disk.fill_after(None)

    one.disk.crash()
    one.leave()

    if "new" in one.manager.topics:
        assert one.manager.partition(TopicPartition("new", 1)).offsets.log_end == 0
    else:
        one.manager.create_topic("new", 2)


def test_a_topic_that_could_not_be_created_can_be_created_once_the_disk_is_well() -> None:
    one = OnePartition()
    one.disk.fail_sync(7)
    with pytest.raises(StorageError):
        one.manager.create_topic("new", 2)

    one.manager.create_topic("new", 1)
    one.crash()

    assert one.manager.topics["new"].partition_count == 1
    assert not one.disk.exists(ROOT / "new-1")


@pytest.mark.parametrize("sync_count", [1, 2])
def test_a_topic_whose_deletion_failed_keeps_records_acknowledged_afterwards(sync_count: int) -> None:
    one = OnePartition(seed=sync_count)
    one.disk.fail_sync(sync_count)
    with pytest.raises(StorageError):
        one.manager.delete_topic("t")
    one.append(b"later")
    one.log.sync()

    one.crash()

    assert one.values() == [b"later"]


def test_a_partition_refuses_appends_if_its_deletion_can_neither_be_completed_nor_undone() -> None:
    one = OnePartition()
    one.disk.fail_sync(2)
    one.disk.fill_after(100)
    with pytest.raises(StorageError):
        one.manager.delete_topic("t")
    one.disk.fill_after(None)

    with pytest.raises(StorageError, match="given up"):
        one.append(b"later")


def test_files_of_a_deleted_topic_that_cannot_be_removed_never_become_those_of_a_new_one() -> None:
    one = OnePartition()
    one.append(b"old")
    one.log.sync()
    one.disk.fail_sync(3)
    one.manager.delete_topic("t")
    one.disk.fail_sync(None)

    one.manager.create_topic("t", 1, {"retention.ms": "-1"})
    one.append(b"new")
    one.log.sync()
    one.crash()

    assert one.values() == [b"new"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "x" * 250])
def test_names_that_kafka_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(InvalidConfigError, match="topic name"):
        OnePartition().manager.create_topic(name, 1)


def test_impossible_changes_are_refused() -> None:
    manager = OnePartition().manager

    with pytest.raises(TopicExistsError):
        manager.create_topic("t", 1)
    with pytest.raises(InvalidConfigError):
        manager.create_topic("u", 0)
    with pytest.raises(InvalidConfigError, match="only be added"):
        manager.add_partitions("t", 1)
    with pytest.raises(InvalidConfigError, match=r"retention\.ms"):
        manager.set_topic_config("t", {"retention": "1"})
    with pytest.raises(UnknownTopicError):
        manager.delete_topic("u")
    with pytest.raises(UnknownTopicError, match="partitions=1"):
        manager.partition(TopicPartition("t", 1))


def test_a_registry_of_a_newer_version_is_refused() -> None:
    one = OnePartition()
    write_whole(one.disk, ROOT / REGISTRY_NAME, b'{"version": 2, "new": true}')

    with pytest.raises(UnsupportedVersionError, match="version=2"):
        one.leave()


def test_a_damaged_or_missing_registry_is_refused() -> None:
    one = OnePartition()
    write_whole(one.disk, ROOT / REGISTRY_NAME, b'{"version": 1')
    with pytest.raises(CorruptDataError, match="restore the file"):
        one.leave()

    one.disk.remove(ROOT / REGISTRY_NAME)
    with pytest.raises(CorruptDataError, match="restore that file"):
        one.leave()


def test_a_missing_partition_folder_is_refused() -> None:
    one = OnePartition()
    for name in one.disk.list_directory(ROOT / "t-0"):
        one.disk.remove(ROOT / "t-0" / name)
    one.disk.remove_directory(ROOT / "t-0")

    with pytest.raises(CorruptDataError, match="missing"):
        one.leave()


def test_a_closed_log_takes_no_more_changes() -> None:
    one = OnePartition()
    one.manager.close()
    one.manager.close()

    with pytest.raises(ClosedError):
        one.manager.create_topic("u", 1)
    with pytest.raises(ClosedError):
        one.manager.maintain()


def test_a_stop_with_a_failed_partition_is_not_clean_and_loses_nothing_acknowledged() -> None:
    one = OnePartition()
    one.append(b"a")
    one.log.sync()
    one.append(b"b")
    one.disk.fail_sync(1)
    with pytest.raises(StorageError):
        one.manager.close()
    one.disk.fail_sync(None)

    one.crash()

    assert one.values()[:1] == [b"a"]


def test_a_partition_that_cannot_be_maintained_does_not_keep_the_others_from_it() -> None:
    one = OnePartition(retention_ms="1000")
    one.manager.create_topic("u", 1, {"retention.ms": "1000"})
    other = one.manager.partition(TopicPartition("u", 0))
    for log in (one.log, other):
        log.append(encode_batch([b"k"], [b"v"], [NOW_MS]), now_ms=NOW_MS)
    other.sync()
    one.disk.fail_sync(1)
    with pytest.raises(StorageError):
        one.log.sync()
    one.disk.fail_sync(None)
    one.clock.advance(2000)

    with pytest.raises(StorageError, match="t-0"):
        one.manager.maintain()

    assert other.offsets.log_start == 1
