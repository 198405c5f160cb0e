"""Parts: which sub-topologies are one, how long their rounds are, and when their work is committed."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.parts import Part, connected
from streamcore.processing.runtime.settings import WorkerSettings


def part_with(outputs: Outputs | None = None, **settings: int) -> tuple[Part, ManualClock]:
    clock = ManualClock(10_000)
    return Part([], outputs or Outputs(), WorkerSettings(**settings), clock), clock  # type: ignore[arg-type]


class Written(Outputs):
    """Outputs that hold so many records and bytes."""

    def __init__(self, record_count: int, size_bytes: int = 0) -> None:
        super().__init__()
        self.record_count, self.size_bytes = record_count, size_bytes


def groups_of(app: sc.App) -> list[set[str]]:
    return [
        {entry.topic.name for sub_topology in group for entry in sub_topology.inputs}
        for group in connected(app.plan())
    ]


def test_what_a_repartition_topic_connects_is_one_part() -> None:
    app = sc.App("app")
    orders = app.topic("orders", key=str, value=int)
    orders.group_by(lambda value: value % 3, key=int).count("counts")
    app.topic("other", key=str, value=int).count("others")

    assert groups_of(app) == [{"orders", "app-counts-repartition"}, {"other"}]


def test_a_topic_that_one_writes_and_another_reads_connects_them() -> None:
    app = sc.App("app")
    middle = app.topic("middle", key=str, value=int)
    app.topic("first", key=str, value=int).to(middle)
    middle.count("counts")

    assert groups_of(app) == [{"first", "middle"}]


def test_rounds_grow_while_they_are_quick_and_full_and_shrink_when_they_take_long() -> None:
    part, _ = part_with(commit_interval_ms=100, slice_records_start=8, slice_records_max=32)
    sizes = []
    # A round is to take half of a commit interval: 50 ms.
    for processed, seconds in (
        (8, 0.02),
        (16, 0.02),
        (32, 0.02),
        (5, 0.001),
        (32, 0.04),
        (32, 0.06),
        (16, 9.0),
    ):
        part.adapt(processed, seconds)
        sizes.append(part._slice_records)

    assert sizes == [16, 32, 32, 32, 32, 16, 8]


@pytest.mark.parametrize(
    ("outputs", "is_idle", "after_ms", "is_due"),
    [
        (Written(0), False, 0, False),
        (Written(1), False, 99, False),
        (Written(1), False, 100, True),
        (Written(1), True, 0, True),
        (Written(0), True, 0, False),
        (Written(20), False, 0, True),
        (Written(1, size_bytes=500), False, 0, True),
    ],
)
def test_work_is_committed_at_the_end_of_the_records_by_the_interval_or_by_its_size(
    outputs: Outputs, is_idle: bool, after_ms: int, is_due: bool
) -> None:
    part, clock = part_with(outputs, commit_interval_ms=100, pending_records_max=20, pending_bytes_max=500)
    part.is_idle = is_idle
    clock.advance(after_ms)

    assert bool(part.is_commit_due(clock.now_ms())) is is_due


def test_a_part_that_gets_more_from_another_is_not_at_its_end() -> None:
    part, clock = part_with(Written(1))
    part.is_idle = True

    assert not part.is_commit_due(clock.now_ms(), gets_more=True)


def test_the_interval_counts_from_the_end_of_the_last_commit() -> None:
    part, clock = part_with(Written(1), commit_interval_ms=100)
    clock.advance(150)
    part.committed(clock.now_ms())
    clock.advance(99)

    assert not part.is_commit_due(clock.now_ms())
    assert part.is_commit_due(clock.now_ms() + 1)


def test_a_part_at_rest_is_not_cut() -> None:
    part, _ = part_with()

    assert part.commit_due_ms() is None
    assert not part.is_busy
