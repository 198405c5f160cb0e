"""Settings of a topic that show in how its partition writes."""

from __future__ import annotations

import pytest

from streamcore.errors import InvalidTimestampError, RecordTooLargeError
from streamcore.log.records.batch import parse_header
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.compression import CODECS
from streamcore.log.storage.partition.appending import jitter_ms, recompressed
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Isolation
from tests.support.partition_fixture import NOW_MS, ROOT, OnePartition

HOUR_MS = 3_600_000


def test_each_segment_rolls_earlier_by_a_jitter() -> None:
    config = TopicConfig.parse({"segment.ms": "1000", "segment.jitter.ms": "400"})
    jitters = [jitter_ms(ROOT / "t-0" / f"{base}.log", config) for base in range(200)]

    assert all(0 <= jitter < 400 for jitter in jitters)
    assert len(set(jitters)) > 50
    assert jitters == [jitter_ms(ROOT / "t-0" / f"{base}.log", config) for base in range(200)]
    assert jitter_ms(ROOT, TopicConfig.parse({"segment.ms": "1000"})) == 0


def test_jitter_closes_a_segment_before_its_time() -> None:
    one = OnePartition(segment_ms=str(HOUR_MS), segment_jitter_ms=str(HOUR_MS))
    early_ms = HOUR_MS - jitter_ms(one.log.active.data_path, one.log.config)
    one.append(b"first", time_ms=NOW_MS)

    one.append(b"second", time_ms=NOW_MS + early_ms)
    at_its_age = len(one.log.closed_segments) + 1
    one.append(b"third", time_ms=NOW_MS + early_ms + 1)
    one.log.sync()

    assert at_its_age == 1
    assert len(one.log.closed_segments) == 1


def test_a_relaxed_log_waits_for_the_disk_after_so_many_records() -> None:
    one = OnePartition(flush="relaxed", flush_messages="3")

    shown = []
    for value in (b"1", b"2", b"3", b"4"):
        one.append(value)
        shown.append(one.log.offsets.high_watermark)
    one.log.sync()

    assert shown == [1, 2, 2, 2]
    assert one.values(Isolation.READ_UNCOMMITTED) == [b"1", b"2", b"3", b"4"]
    one.append(b"5")
    assert one.log.offsets.high_watermark == 5


def test_a_relaxed_log_waits_for_the_disk_after_so_long() -> None:
    one = OnePartition(flush="relaxed", flush_ms="500")
    one.append(b"1")
    one.clock.advance(499)
    one.append(b"2")
    shown_before = one.log.offsets.high_watermark

    one.clock.advance(1)
    one.append(b"3")

    assert shown_before == 2
    assert one.log.offsets.high_watermark == 2
    one.log.sync()
    assert one.log.offsets.high_watermark == 3


def test_each_record_is_held_against_how_old_it_may_be() -> None:
    one = OnePartition(message_timestamp_before_max_ms="1000")
    times = [NOW_MS, NOW_MS - 1000, NOW_MS - 1001]

    with pytest.raises(InvalidTimestampError) as refused:
        one.log.append(encode_batch([None] * 3, [b"x"] * 3, times), now_ms=NOW_MS)

    assert list(refused.value.record_errors) == [2]
    one.log.append(encode_batch([None] * 2, [b"x"] * 2, times[:2]), now_ms=NOW_MS)


@pytest.mark.parametrize(("codec", "weak", "strong"), [("gzip", 1, 9), ("lz4", 9, 12), ("zstd", 1, 19)])
def test_a_batch_is_compressed_as_hard_as_the_topic_says(codec: str, weak: int, strong: int) -> None:
    words = [b"%d %d %d" % (number * 7919 % 1009, number % 17, number // 3) for number in range(3000)]
    batch = encode_batch([None] * len(words), words, [NOW_MS] * len(words))

    def size(level: int) -> int:
        config = TopicConfig.parse({"compression.type": codec, f"compression.{codec}.level": str(level)})
        changed = recompressed(batch, parse_header(batch), config)
        assert parse_header(changed).compression == CODECS[codec]
        return len(changed)

    assert size(strong) < size(weak) < len(batch)


def test_a_batch_that_is_too_large_only_uncompressed_is_refused() -> None:
    one = OnePartition(compression_type="uncompressed", max_message_bytes="1000")
    batch = encode_batch([None], [b"x" * 5000], [NOW_MS], compression="gzip")

    with pytest.raises(RecordTooLargeError):
        one.log.append(batch, now_ms=NOW_MS)

    assert one.log.offsets.log_end == 0


def test_files_that_retention_removed_stay_for_a_while() -> None:
    one = OnePartition(segment_bytes="200", retention_ms="1000", file_delete_delay_ms="5000")
    for _ in range(3):
        one.append(b"x" * 50)
    one.log.sync()
    one.clock.advance(2000)

    one.manager.maintain()
    soon = [name for name in one.disk.list_directory(ROOT / "t-0") if ".log" in name]
    one.clock.advance(5000)
    one.manager.maintain()
    later = [name for name in one.disk.list_directory(ROOT / "t-0") if ".log" in name]

    assert [name for name in soon if not name.endswith(".deleted")] == later
    assert len(soon) == 4
    assert len(later) == 1


def test_files_that_wait_to_be_removed_do_not_come_back() -> None:
    one = OnePartition(segment_bytes="200", file_delete_delay_ms="5000")
    for _ in range(3):
        one.append(b"x" * 50)
    one.log.sync()
    one.log.delete_records_before(3)

    one.reopen()

    assert one.values() == []
    assert not [name for name in one.disk.list_directory(ROOT / "t-0") if name.endswith(".deleted")]
