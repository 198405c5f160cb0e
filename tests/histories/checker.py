"""Holds a history against what a log promises: every rule, over everything that clients were told.

In the manner of Jepsen's test of Kafka. There the order of a partition has to be inferred; here it is given
by the offsets, so that each rule is a plain statement about one.

What a history must bring: ids that are unique, all answers, and at the end a reading of every partition from
its start, for both isolations (``Poll.is_final``), and of the positions of groups that process
(``PositionsRead.is_final``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.histories import groups, marks, reads, transactions, writes
from tests.histories.anomalies import Anomaly
from tests.histories.known import Known
from tests.histories.operations import Operation

RULES: Final[tuple[Callable[[Known], Iterator[Anomaly]], ...]] = (
    writes.lost_writes,
    writes.duplicates,
    writes.reused_offsets,
    writes.reordered,
    writes.sent_backwards,
    reads.invented,
    reads.out_of_order,
    reads.beyond_visible_end,
    reads.skipped,
    reads.aborted_reads,
    transactions.torn,
    transactions.wrongly_processed,
    marks.marks_gone_back,
    marks.deleted_unasked,
    marks.came_back,
    groups.wrong_positions,
    groups.assigned_twice,
    groups.stale_commits,
)


def anomalies_of(history: Sequence[Operation]) -> list[Anomaly]:
    """Everything that is wrong with a history; nothing, if it may have happened to a sound log."""
    known = Known(history)
    return [anomaly for rule in RULES for anomaly in rule(known)]
