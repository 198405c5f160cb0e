"""Steps that append: what must be taken, recognised or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamcore.errors import (
    InvalidRecordError,
    OutOfOrderSequenceError,
    ProducerFencedError,
    StorageError,
    StreamCoreError,
)
from tests.simulation.partition_model import ModelBatch, PartitionModel
from tests.simulation.world import PLAIN_PRODUCERS, TRANSACTIONAL_PRODUCERS, Target, World


def append_plain(world: World) -> None:
    """A batch without a producer id."""
    _append(world, world.any_partition(), producer_id=-1, is_transactional=False)


def append_idempotent(world: World) -> None:
    """The next batch of an idempotent producer."""
    producer_id = world.random.choice(PLAIN_PRODUCERS)
    _append(world, world.any_partition(), producer_id=producer_id, is_transactional=False)


def append_in_transaction(world: World) -> None:
    """The next batch of a transactional producer; opens a transaction where none is open."""
    producer_id = world.random.choice(TRANSACTIONAL_PRODUCERS)
    _append(world, world.any_partition(), producer_id=producer_id, is_transactional=True)


def append_many(world: World) -> None:
    """A busy partition: segments fill up, so that there is something to delete and to compact."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    for _ in range(world.random.randrange(5, 30)):
        if world.random.random() < 0.2:
            _end_transaction(world, target)
        producer_id = world.random.choice((-1, *PLAIN_PRODUCERS, *TRANSACTIONAL_PRODUCERS))
        is_transactional = producer_id in TRANSACTIONAL_PRODUCERS
        _append(world, target, producer_id=producer_id, is_transactional=is_transactional)
    target[1].sync()
    target[2].synced(target[2].log_end)


def _append(world: World, target: Target | None, *, producer_id: int, is_transactional: bool) -> None:
    if target is None:
        return
    model = target[2]
    epoch, sequence = world.next_of(model, producer_id)
    batch = ModelBatch(
        model.log_end,
        -1,
        world.some_rows(model),
        producer_id,
        epoch,
        sequence,
        is_transactional,
    )
    _try_append(world, target, replace(batch, end_offset=batch.base_offset + len(batch.rows)))


def _try_append(world: World, target: Target, batch: ModelBatch) -> None:
    """Append; the model believes it from the start, as a crash may come after the write."""
    tp, log, model = target
    batch = replace(batch, appended_ms=world.clock.now_ms())
    model.batches.append(batch)
    try:
        if batch.marker is None:
            result = log.append(world.encoded(batch), now_ms=world.clock.now_ms())
        else:
            result = log.append_marker(
                batch.producer_id, batch.producer_epoch, batch.marker, 0, world.clock.now_ms()
            )
    except StreamCoreError as error:
        refused = model.batches.pop()
        if isinstance(error, StorageError) and tp in world.unsure:
            model.ghosts.append(refused)
            return
        raise
    assert not result.is_duplicate
    assert (result.base_offset, result.last_offset + 1) == (batch.base_offset, batch.end_offset)


def end_transaction(world: World) -> None:
    """Commit or abort an open transaction, now and then with a newer epoch that fences its producer."""
    target = world.any_partition()
    if target is not None:
        _end_transaction(world, target)


def _end_transaction(world: World, target: Target) -> None:
    model = target[2]
    open_ones = [(p, state) for p, state in model.producers().items() if state.open_since is not None]
    if not open_ones and world.random.random() < 0.9:
        return
    if open_ones:
        producer_id, state = world.random.choice(open_ones)
        epoch = state.epoch
    else:
        # A marker without data: the coordinator repeats them after a restart.
        producer_id = world.random.choice(TRANSACTIONAL_PRODUCERS)
        known = model.producers().get(producer_id)
        epoch = known.epoch if known else 0
    is_fencing = world.random.random() < 0.15
    base = model.log_end
    batch = ModelBatch(
        base,
        base + 1,
        (),
        producer_id,
        epoch + is_fencing,
        marker=not is_fencing and world.random.random() < 0.6,
    )
    _try_append(world, target, batch)


def send_again(world: World) -> None:
    """A producer that got no answer sends its last batch again; it must be recognised."""
    target = world.any_partition()
    if target is None:
        return
    tp, log, model = target
    if tp in world.unsure:
        return
    batches = [
        state.last_data
        for state in model.producers().values()
        if state.last_data is not None and state.last_data.producer_epoch == state.epoch
    ]
    batches += _recent_of_one(world, model)
    # What retention took may be forgotten after a restart.
    batches = [batch for batch in batches if batch.base_offset >= log.offsets.log_start]
    if not batches:
        return
    batch = world.random.choice(batches)

    result = log.append(world.encoded(batch), now_ms=world.clock.now_ms())

    assert result.is_duplicate, f"a batch sent again was appended twice: {batch}"
    assert (result.base_offset, result.last_offset + 1) == (batch.base_offset, batch.end_offset)


def _recent_of_one(world: World, model: PartitionModel) -> list[ModelBatch]:
    """The last five batches of a producer: all of them may have been on their way at once.

    A power cut may take the snapshots of producers. Then the log alone tells what there was, and
    compaction may have taken some of it.
    """
    producer_id = world.random.choice(PLAIN_PRODUCERS + TRANSACTIONAL_PRODUCERS)
    state = model.producers().get(producer_id)
    if state is None:
        return []
    recent = [
        batch
        for batch in model.batches
        if batch.producer_id == producer_id and batch.marker is None and batch.producer_epoch == state.epoch
    ]
    first = model.session_start if model.is_compacted else 0
    return [batch for batch in recent[-5:] if batch.base_offset >= first]


def append_what_must_be_refused(world: World) -> None:
    """Gaps, old epochs, missing keys, records outside a transaction: nothing of it is written."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    _, log, model = target
    now_ms = world.clock.now_ms()
    rows = world.some_rows(model)
    end_before = log.offsets.log_end
    known = [
        (producer_id, state)
        for producer_id, state in model.producers().items()
        if state.last_data is not None and state.last_data.base_offset >= log.offsets.log_start
    ]
    kind = world.random.randrange(4)
    if kind == 0 and known:
        producer_id, state = world.random.choice(known)
        assert state.last_data is not None
        gap = ModelBatch(
            0,
            0,
            rows,
            producer_id,
            state.epoch,
            state.last_data.next_sequence + 5,
            producer_id in TRANSACTIONAL_PRODUCERS,
        )
        with pytest.raises(OutOfOrderSequenceError):
            log.append(world.encoded(gap), now_ms=now_ms)
    elif kind == 1 and known:
        producer_id, state = world.random.choice(known)
        if state.epoch == 0:
            return
        old = ModelBatch(0, 0, rows, producer_id, state.epoch - 1, 0, True)
        with pytest.raises(ProducerFencedError):
            log.append(world.encoded(old), now_ms=now_ms)
    elif kind == 2 and model.is_compacted:
        keyless = ModelBatch(0, 0, ((None, b"no key", now_ms),))
        with pytest.raises(InvalidRecordError):
            log.append(world.encoded(keyless), now_ms=now_ms)
    elif kind == 3:
        late = ModelBatch(0, 0, ((b"k", b"from tomorrow", now_ms + 86_400_000),))
        with pytest.raises(InvalidRecordError):
            log.append(world.encoded(late), now_ms=now_ms)
    assert log.offsets.log_end == end_before


def append_to_a_full_disk(world: World) -> None:
    """An append that the disk has no room for is refused, and the log goes on when there is room."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    world.disk.fill_after(world.random.choice((0, 10, 61, 100, 300)))
    world.unsure.add(target[0])
    _append(world, target, producer_id=-1, is_transactional=False)
    world.disk.fill_after(None)
    world.unsure.discard(target[0])
    if target[2].ghosts:
        # Whatever was written of it is cut off: the next batch takes its place.
        _append(world, target, producer_id=-1, is_transactional=False)
