"""The broker's own topics are read back whatever compaction has left of them."""

from __future__ import annotations

from streamcore.clock import ManualClock
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedMarker, ReplayedRecord
from streamcore.log.broker.partitions import Partitions
from streamcore.testing.sim_disk import SimDisk
from tests.support.managed_log import ManagedLog
from tests.support.partition_fixture import NOW_MS, ROOT

CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": "150",
    "delete.retention.ms": "0",
    "min.cleanable.dirty.ratio": "0",
}


def test_markers_of_which_compaction_has_left_the_header_say_nothing() -> None:
    clock = ManualClock(NOW_MS)
    manager = ManagedLog.open(ROOT, file_system=SimDisk(1), clock=clock)
    partitions = Partitions(manager, clock)
    topic = InternalTopic("__own", 1, CONFIG, partitions)
    log = topic.log_for("x")
    topic.append("x", [(b"k", b"old")], producer_id=7, producer_epoch=0)
    partitions.end_transaction(log, 7, 0, commit=True)

    for number in range(4):
        for key in (b"k", b"other"):
            topic.append("x", [(key, b"%d" % number)])
        log.sync()
        clock.advance(1)
        manager.maintain()

    replayed = list(topic.replay())
    newest = {entry.key: entry.value for entry in replayed if isinstance(entry, ReplayedRecord)}
    assert newest == {b"k": b"3", b"other": b"3"}
    assert not any(isinstance(entry, ReplayedMarker) for entry in replayed)
