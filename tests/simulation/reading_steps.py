"""Steps of readers that go by leader epochs."""

from __future__ import annotations

from streamcore.model import Isolation
from tests.simulation.checks import rows_read
from tests.simulation.epoch_reader import EpochReader
from tests.simulation.world import World


def follow_by_epochs(world: World) -> None:
    """What a reader still believes to have read is what stands there, if anything does."""
    target = world.any_partition()
    if target is None or target[0] in world.unsure:
        return
    tp, log, model = target
    reader = world.readers.setdefault((log.topic_id, tp.partition), EpochReader())
    rows = rows_read(log, Isolation.READ_UNCOMMITTED, world.random)

    reader.ask(log, may_be_cut=world.flush == "relaxed")

    for offset, row in reader.seen.items():
        if offset >= log.offsets.log_start and not (model.is_compacted and offset not in rows):
            assert rows.get(offset) == row, f"{tp}: {offset} held {row} and holds {rows.get(offset)}"
    reader.read_on(log, rows)
