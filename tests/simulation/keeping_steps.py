"""Steps around what was appended: syncing, time, deletion, topics, reading."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamcore.errors import (
    OffsetOutOfRangeError,
    StorageError,
)
from streamcore.log.storage.partition.offset_lookup import offset_for_time
from streamcore.model import Isolation
from tests.simulation.checks import rows_read
from tests.simulation.partition_model import PartitionModel
from tests.simulation.world import PendingSync, World


def begin_sync(world: World) -> None:
    """Take a ticket for what is unsynced; it is used some steps later, or never."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    tp, log, model = target
    if any(pending.target == tp for pending in world.tickets):
        return
    ticket = log.begin_sync()
    if ticket is None:
        assert log.offsets.high_watermark == model.log_end
    else:
        world.tickets.append(PendingSync(tp, log, model, ticket, model.log_end))


def complete_sync(world: World) -> None:
    """Sync with a ticket; what stood in the log when it was taken is acknowledged."""
    if world.tickets:
        _complete(world, world.tickets.pop(world.random.randrange(len(world.tickets))))


def _complete(world: World, pending: PendingSync) -> None:
    if pending.target in world.unsure:
        return
    pending.ticket.sync()
    pending.log.complete_sync(pending.ticket)
    assert pending.log.offsets.high_watermark >= pending.end
    pending.model.synced(pending.end)


def sync_everything(world: World) -> None:
    """Acknowledge all that was appended."""
    while world.tickets:
        complete_sync(world)
    for tp, log, model in world.partitions():
        if tp not in world.unsure:
            end = model.log_end
            ticket = log.begin_sync()
            if ticket is not None:
                _complete(world, PendingSync(tp, log, model, ticket, end))
            assert log.offsets.high_watermark == end
            model.synced(end)


def fail_a_sync(world: World) -> None:
    """A failed sync is the end of the partition: it refuses all work until it is opened again."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    tp, log, model = target
    world.tickets = [pending for pending in world.tickets if pending.target != tp]
    high_watermark = log.offsets.high_watermark
    ticket = log.begin_sync()
    if ticket is None:
        return
    world.unsure.add(tp)
    world.disk.fail_sync(1)
    with pytest.raises(StorageError):
        ticket.sync()
    world.disk.fail_sync(None)
    with pytest.raises(StorageError):
        log.append(world.encoded(world.plain_batch(model)), now_ms=world.clock.now_ms())
    assert model.synced_end <= high_watermark
    if world.random.random() < 0.5:
        world.crash()


def advance_time(world: World) -> None:
    """Let a second or some minutes pass."""
    world.clock.advance(world.random.choice((10, 1_000, 20_000, 200_000)))


def maintain(world: World) -> None:
    """Retention, compaction and expiry, in one partition or in all, often cut short."""
    for _, log, model in world.partitions():
        model.bytes_seen = max(model.bytes_seen, log.size_bytes)
    if world.random.random() < 0.4:
        world.disk.crash_at(world.random.randrange(1, 50))
    targets = world.partitions()
    if world.unsure:
        targets = [target for target in targets if target[0] not in world.unsure]
        for tp, _, _ in targets[:2]:
            world.log.maintain_partition(tp)
        return
    world.log.maintain()


def delete_records(world: World) -> None:
    """Move a log start forward; once that is acknowledged it never goes back."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    _, log, model = target
    # With relaxed flushing more is visible than is synced.
    end = max(log.offsets.log_start, min(log.offsets.high_watermark, model.synced_end))
    offset = world.random.randint(log.offsets.log_start, end)
    model.delete_requested = max(model.delete_requested, offset)
    log.delete_records_before(offset)
    assert log.offsets.log_start == offset
    model.log_start = offset
    with pytest.raises(OffsetOutOfRangeError):
        log.delete_records_before(log.offsets.high_watermark + 1)


def look_up_a_time(world: World) -> None:
    """The offset for a time is the first one that is not earlier."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure or target[2].is_compacted:
        return
    tp, log, _ = target
    rows = rows_read(log, Isolation.READ_UNCOMMITTED, world.random)
    time_ms = world.clock.now_ms() - world.random.choice((0, 5, 1_000, 100_000, 10**9))
    found = offset_for_time(log, time_ms)
    expected = min((offset for offset, row in rows.items() if row[2] >= time_ms), default=None)
    place = log.offsets.log_end if found is None else found.offset
    is_marker = found is not None and found.offset not in rows
    is_right = place < (expected or place + 1) if is_marker else expected in (place, None)
    assert is_right, f"{tp}: the first offset at {time_ms} is {expected}, not {found}"
    assert found is None or is_marker or found.timestamp_ms == rows[found.offset][2]


def read_out_of_range(world: World) -> None:
    """Reading before the log start or past the visible end is refused."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    _, log, _ = target
    offsets = log.offsets
    for start in (offsets.log_start - 1, offsets.log_end + 1):
        with pytest.raises(OffsetOutOfRangeError):
            log.read(start, bytes_max=1000, isolation=Isolation.READ_UNCOMMITTED)


def create_topic(world: World) -> None:
    """Create a topic: a crash in the middle leaves the whole topic or none."""
    if len(world.topics) >= 3:
        return
    # Names come back, so that a deleted topic's leftovers would be found out.
    name = world.random.choice([n for n in ("a", "b", "c", "d") if n not in world.topics])
    config = world.some_config()
    count = world.random.choice((1, 1, 2, 3))

    def settle() -> None:
        if name in world.log.topics:
            world.add_topic(name, config, count)

    _change_topics(world, lambda: world.log.create_topic(name, count, config), settle)


def delete_topic(world: World) -> None:
    """Delete a topic: a crash in the middle leaves all of it or nothing."""
    if len(world.topics) < 2:
        return
    name = world.random.choice(sorted(world.topics))
    world.tickets = [pending for pending in world.tickets if pending.target.topic != name]
    world.unsure = {tp for tp in world.unsure if tp.topic != name}

    def settle() -> None:
        if name not in world.log.topics:
            del world.topics[name]

    _change_topics(world, lambda: world.log.delete_topic(name), settle)


def add_partitions(world: World) -> None:
    """Add a partition: a crash in the middle leaves it whole or not at all."""
    if not world.topics:
        return
    topic = world.topics[world.random.choice(sorted(world.topics))]
    count = len(topic.partitions) + 1
    if count > 4:
        return

    def settle() -> None:
        if world.log.topics[topic.name].partition_count == count:
            topic.partitions.append(PartitionModel(topic.config))

    _change_topics(world, lambda: world.log.add_partitions(topic.name, count), settle)


def _change_topics(world: World, change: Callable[[], object], settle: Callable[[], None]) -> None:
    world.uncertain = settle
    change()
    settle()
    world.uncertain = None
