"""Every setting of a topic that is accepted is obeyed: set over the wire, seen there or on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.api.error_codes import ErrorCode as E
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.records.batch import iter_batches
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.compression import CODECS
from streamcore.log.records.decode import batch_records
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS
from streamcore.model import TopicPartition
from tests.support.serving import client_of, fetch, produce, records_of

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class Place:
    """A served log whose clock stands still, and a topic of one partition on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = StandingClock(NOW_MS)
        self.served = sc.serve(folder, listen="127.0.0.1:0", clock=self.clock)
        self.client = client_of(self.served)
        self.name = ""

    def topic(self, **settings: str) -> None:
        """Begin with another topic, with these settings."""
        self.name = f"t{len(self.served.log.topics())}"
        configs = [
            CreatableTopicConfig(name=name.replace("_", "."), value=value) for name, value in settings.items()
        ]
        wanted = CreatableTopic(
            name=self.name, num_partitions=1, replication_factor=1, assignments=[], configs=configs
        )
        (result,) = self.client.ask(CreateTopicsRequest(topics=[wanted]), 7).topics
        assert result.error_code == E.NONE, result.error_message

    def write(
        self,
        *values: bytes | None,
        key: bytes | None = b"k",
        times: Sequence[int] | None = None,
        compression: str = "none",
    ) -> int:
        """Produce one batch; the code it is answered with."""
        stamps = times or [self.clock.now_ms()] * len(values)
        encoded = encode_batch([key] * len(values), list(values), stamps, compression=compression)
        return int(produce(self.client, self.name, bytes(encoded)).error_code)

    def maintain(self) -> None:
        self.served.log.embedded.maintain()

    def stored(self) -> list[tuple[int, bytes | None, int, int]]:
        """Offset, value, time and codec of all records that can be read."""
        found: list[tuple[int, bytes | None, int, int]] = []
        partition = TopicPartition(self.name, 0)
        offset = self.served.log.embedded.offsets([partition])[partition].log_start
        while data := records_of(fetch(self.client, self.name, offset)):
            for start, header in iter_batches(data, check=True):
                for record in batch_records(data, start, header):
                    stamp = header.max_timestamp_ms if header.has_append_time else record.timestamp
                    found.append((record.offset, record.value, stamp, header.compression))
                offset = header.end_offset
        return found

    def values(self) -> list[bytes | None]:
        return [value for _, value, _, _ in self.stored()]

    def files(self, suffix: str) -> list[str]:
        partition = self.folder / "log" / f"{self.name}-0"
        return sorted(path.name for path in partition.iterdir() if path.name.endswith(suffix))


class StandingClock(ManualClock):
    """Its time of day stands still, as records see it; its monotonic time runs, as the server needs it."""

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("served"))
    yield place
    place.client.close()
    place.served.close()


@pytest.fixture
def place(shared: Place) -> Place:
    return shared


def test_retention_ms_deletes_by_age(place: Place) -> None:
    place.topic(retention_ms="1000", segment_bytes="200", file_delete_delay_ms="0")
    for value in (b"1" * 60, b"2" * 60):
        place.write(value)
    place.clock.advance(1500)
    place.write(b"3" * 60)

    place.maintain()

    assert place.values() == [b"3" * 60]


def test_retention_bytes_deletes_by_size(place: Place) -> None:
    place.topic(retention_bytes="300", segment_bytes="200")
    for number in range(6):
        place.write(b"%d" % number * 60)

    place.maintain()

    assert place.values() == [b"%d" % number * 60 for number in (3, 4, 5)]


def test_segment_bytes_begins_new_files(place: Place) -> None:
    place.topic(segment_bytes="200")
    for number in range(3):
        place.write(b"%d" % number * 60)

    assert len(place.files(".log")) == 3


def test_segment_ms_begins_a_new_file_by_the_records_time(place: Place) -> None:
    place.topic(segment_ms="1000")
    for stamp in (NOW_MS, NOW_MS + 1000, NOW_MS + 1001):
        place.write(b"v", times=[stamp])

    assert place.files(".log") == [f"{base:020}.log" for base in (0, 2)]


def test_segment_jitter_ms_begins_it_earlier(place: Place) -> None:
    counts = []
    for _ in range(3):  # the jitter depends on the file's path, and may be smaller than a step
        place.topic(segment_ms="1000000", segment_jitter_ms="1000000")
        for step in range(100):
            place.write(b"v", times=[NOW_MS + 10_000 * step])
        counts.append(len(place.files(".log")))

    assert max(counts) > 1


def test_segment_index_bytes_begins_a_new_file_when_an_index_is_full(place: Place) -> None:
    place.topic(segment_index_bytes="24", index_interval_bytes="0")
    for number in range(6):
        place.write(b"v", times=[NOW_MS + number])

    assert len(place.files(".log")) > 1


def test_index_interval_bytes_is_how_dense_an_index_is(place: Place) -> None:
    sizes: list[int] = []
    for interval in ("0", "1000"):
        place.topic(index_interval_bytes=interval, segment_bytes="2000")
        for number in range(60):
            place.write(b"v" * 20, times=[NOW_MS + number])
        partition = place.folder / "log" / f"{place.name}-0"
        sizes.append((partition / f"{0:020}.index").stat().st_size)

    assert sizes[0] > 5 * sizes[1]


def test_compaction_keeps_the_newest_and_its_settings_say_when(place: Place) -> None:
    place.topic(
        cleanup_policy="compact",
        segment_bytes="200",
        min_cleanable_dirty_ratio="0.9",
        min_compaction_lag_ms="5000",
        max_compaction_lag_ms="60000",
        delete_retention_ms="100000",
    )
    for number in range(4):
        place.write(b"%d" % number * 60)
    place.maintain()
    too_young = len(place.values())
    place.clock.advance(6000)
    place.maintain()
    compacted = place.values()
    place.write(b"4" * 60)
    place.write(b"5" * 60)
    place.clock.advance(6000)
    place.maintain()
    too_little = len(place.values())
    place.clock.advance(60_000)
    place.maintain()

    assert too_young == 4
    assert compacted == [b"2" * 60, b"3" * 60]
    assert too_little == 4
    assert place.values() == [b"4" * 60, b"5" * 60]


def test_delete_retention_ms_is_how_long_tombstones_stay(place: Place) -> None:
    place.topic(
        cleanup_policy="compact",
        segment_bytes="200",
        min_cleanable_dirty_ratio="0",
        delete_retention_ms="5000",
    )
    place.write(b"old" * 20)
    place.write(None)
    place.write(b"x" * 60, key=b"other")
    place.write(b"y" * 60, key=b"last")
    place.maintain()
    with_tombstone = place.values()
    place.clock.advance(6000)
    place.write(b"z" * 60, key=b"more")
    place.maintain()

    assert with_tombstone[0] is None
    assert None not in place.values()


def test_cleanup_policy_may_be_both_or_none(place: Place) -> None:
    place.topic(cleanup_policy="", retention_ms="1000", segment_bytes="200")
    for number in range(3):
        place.write(b"%d" % number * 60)
    place.clock.advance(5000)
    place.maintain()
    kept = len(place.values())
    place.topic(
        cleanup_policy="compact,delete",
        retention_ms="1000",
        segment_bytes="200",
        min_cleanable_dirty_ratio="0",
    )
    for number in range(3):
        place.write(b"%d" % number * 60)
    place.maintain()
    compacted = len(place.values())
    place.clock.advance(5000)
    place.maintain()

    assert (kept, compacted, len(place.values())) == (3, 2, 0)


def test_max_message_bytes_is_the_largest_batch(place: Place) -> None:
    place.topic(max_message_bytes="200")

    assert place.write(b"x" * 100) == E.NONE
    assert place.write(b"x" * 200) == E.MESSAGE_TOO_LARGE


def test_message_timestamp_type_says_whose_time_a_record_has(place: Place) -> None:
    place.topic(message_timestamp_type="LogAppendTime")
    place.write(b"v", times=[5])
    by_the_broker = place.stored()[0][2]
    place.topic(message_timestamp_type="CreateTime")
    place.write(b"v", times=[5])

    assert by_the_broker == place.clock.now_ms()
    assert place.stored()[0][2] == 5


def test_message_timestamps_are_held_against_the_clock(place: Place) -> None:
    place.topic(message_timestamp_before_max_ms="1000", message_timestamp_after_max_ms="2000")
    now_ms = place.clock.now_ms()

    assert place.write(b"a", b"b", times=[now_ms - 1000, now_ms + 2000]) == E.NONE
    assert place.write(b"a", b"b", times=[now_ms, now_ms - 1001]) == E.INVALID_TIMESTAMP
    assert place.write(b"a", times=[now_ms + 2001]) == E.INVALID_TIMESTAMP
    assert len(place.values()) == 2


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"])
def test_compression_type_is_how_batches_are_stored(place: Place, codec: str) -> None:
    place.topic(compression_type=codec)

    place.write(b"v" * 500, compression="gzip")

    expected = {"uncompressed": "none", "producer": "gzip"}.get(codec, codec)
    assert place.stored()[0][3] == CODECS[expected]
    assert place.values() == [b"v" * 500]


@pytest.mark.parametrize(
    ("codec", "levels"), [("gzip", ("1", "9")), ("lz4", ("9", "12")), ("zstd", ("1", "19"))]
)
def test_compression_levels_are_how_hard_the_broker_compresses(
    place: Place, codec: str, levels: tuple[str, str]
) -> None:
    values = [b"%d %d" % (number * 7919 % 1009, number // 3) for number in range(3000)]
    sizes: list[int] = []
    for level in levels:
        place.topic(**{"compression_type": codec, f"compression_{codec}_level": level})
        place.write(*values)
        sizes.append((place.folder / "log" / f"{place.name}-0" / f"{0:020}.log").stat().st_size)

    assert sizes[1] < sizes[0]


def test_file_delete_delay_ms_is_how_long_removed_files_stay(place: Place) -> None:
    place.topic(retention_ms="1000", segment_bytes="200", file_delete_delay_ms="30000")
    for number in range(3):
        place.write(b"%d" % number * 60)
    place.clock.advance(2000)
    place.maintain()
    waiting = len(place.files(".deleted"))
    place.clock.advance(30_000)
    place.maintain()

    assert waiting == 3
    assert place.files(".deleted") == []


def test_settings_without_effect_here_are_accepted_as_they_have_none(place: Place) -> None:
    place.topic(
        **{
            "unclean_leader_election_enable": "true",
            "leader_replication_throttled_replicas": "*",
            "follower_replication_throttled_replicas": "0:1",
            "local_retention_ms": "5",
            "local_retention_bytes": "5",
            "remote_log_copy_disable": "true",
            "remote_log_delete_on_disable": "true",
            "min_insync_replicas": "1",
            "preallocate": "false",
            "remote_storage_enable": "false",
        }
    )

    assert place.write(b"v") == E.NONE


@pytest.mark.parametrize("setting", ["flush.messages", "flush.ms"])
def test_a_relaxed_log_syncs_by_its_flush_settings(tmp_path: Path, setting: str) -> None:
    clock = StandingClock(NOW_MS)
    options: dict[str, Any] = {"listen": "127.0.0.1:0", "durability": "relaxed", "clock": clock}
    with sc.serve(tmp_path, **options) as served, client_of(served) as client:
        served.log.create_topic("t", config={setting: "2", "retention.ms": "-1"})
        log = served.log.embedded.node.broker.partition(TopicPartition("t", 0))
        one = bytes(encode_batch([None], [b"v"], [NOW_MS]))

        produce(client, "t", one)
        clock.advance(2)
        answer = produce(client, "t", one)

        assert answer.error_code == E.NONE
        assert not log.shows_unsynced
        assert not log.has_unsynced


def test_every_setting_is_tried_here() -> None:
    here = Path(__file__).read_text("utf-8")

    untried = {name for name in TOPIC_SETTINGS if name not in here and name.replace(".", "_") not in here}

    assert untried <= {f"compression.{codec}.level" for codec in ("gzip", "lz4", "zstd")}
