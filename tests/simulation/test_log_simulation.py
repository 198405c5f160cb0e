"""The whole storage on a disk that crashes, against a model: one thread, one seed, one history.

``SIMULATION_SEEDS=5000`` tries that many seeds, ``SIMULATION_SEED=17`` only that one. What must hold
stands in ``checks.py`` and in the steps themselves: nothing acknowledged or seen is ever lost, no
offset is used twice for what was seen, no aborted record is shown to readers of committed data, a
batch sent again is recognised, compaction keeps the newest record of each key, and a reader that goes by
leader epochs never takes other records for those that a crash took from it.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation import appending_steps, keeping_steps, reading_steps
from tests.simulation.world import Step, World

STEP_COUNT = 120
STEPS: dict[Step, int] = {
    appending_steps.append_plain: 12,
    appending_steps.append_idempotent: 10,
    appending_steps.append_in_transaction: 12,
    appending_steps.append_many: 6,
    appending_steps.end_transaction: 8,
    appending_steps.send_again: 6,
    appending_steps.append_what_must_be_refused: 4,
    appending_steps.append_to_a_full_disk: 2,
    keeping_steps.begin_sync: 8,
    keeping_steps.complete_sync: 8,
    keeping_steps.sync_everything: 4,
    keeping_steps.fail_a_sync: 1,
    keeping_steps.maintain: 8,
    keeping_steps.advance_time: 5,
    keeping_steps.delete_records: 2,
    keeping_steps.look_up_a_time: 3,
    keeping_steps.read_out_of_range: 1,
    reading_steps.follow_by_epochs: 6,
    keeping_steps.create_topic: 3,
    keeping_steps.delete_topic: 1,
    keeping_steps.add_partitions: 1,
    World.close_and_open: 2,
    World.crash: 2,
    World.kill: 2,
}


def run(seed: int) -> str:
    """Run one history; return the digest of all that the disk was asked to do."""
    world = World(seed)
    try:
        keeping_steps.create_topic(world)
        world.run(list(STEPS), list(STEPS.values()), STEP_COUNT)
        world.close_and_verify()
    except BaseException as error:
        error.add_note(
            f"run it again: SIMULATION_SEED={seed} python -m pytest tests/simulation/test_log_simulation.py"
        )
        raise
    return world.disk.trace_digest()


def seeds() -> list[int]:
    """The seeds to try."""
    if "SIMULATION_SEED" in os.environ:
        return [int(os.environ["SIMULATION_SEED"])]
    return list(range(int(os.environ.get("SIMULATION_SEEDS", "4"))))


@pytest.mark.parametrize(
    "first", range(0, len(seeds()), 10), ids=lambda first: f"seeds {first} to {first + 9}"
)
def test_a_log_keeps_its_promises_whatever_happens_to_the_disk(first: int) -> None:
    for seed in seeds()[first : first + 10]:
        run(seed)


def test_the_same_seed_gives_the_same_history() -> None:
    assert run(3) == run(3)
    assert run(3) != run(4)
