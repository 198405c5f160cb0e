"""Short ways to write operations by hand: what a test does not name is as plain as it can be.

Moments are whole numbers; an operation that begins at 10 ends at 15, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.histories.anomalies import Kind
from tests.histories.checker import anomalies_of
from tests.histories.operations import Isolation, Operation, Outcome, Place, Poll, Send, Transaction

ORDERS = Place("orders", 0)
PAYMENTS = Place("payments", 0)
OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN
COMMITTED, UNCOMMITTED = Isolation.COMMITTED, Isolation.UNCOMMITTED

DURATION_US = 5
THE_END_US = 1_000_000


def sent(
    at_us: int,
    offset: int | None,
    *ids: int,
    outcome: Outcome = OK,
    place: Place = ORDERS,
    producer: str | None = "producer",
    attempt_count: int = 1,
    transaction: str | None = None,
    keys: tuple[str | None, ...] = (),
    tombstones: tuple[int, ...] = (),
    sources: tuple[int, ...] = (),
) -> Send:
    """A batch that was acknowledged at an offset, or was not."""
    return Send(
        client="a",
        begun_us=at_us,
        ended_us=None if outcome is UNKNOWN else at_us + DURATION_US,
        place=place,
        ids=ids,
        outcome=outcome,
        offset=offset,
        producer=producer,
        attempt_count=attempt_count,
        transaction=transaction,
        keys=keys,
        tombstones=tombstones,
        sources=sources,
    )


def polled(
    at_us: int,
    start: int,
    end: int,
    *records: tuple[int, int],
    place: Place = ORDERS,
    isolation: Isolation = UNCOMMITTED,
    high_watermark: int | None = None,
    last_stable: int | None = None,
    log_start: int = 0,
    corrupt: tuple[int, ...] = (),
    is_final: bool = False,
) -> Poll:
    """A poll of ``[start, end)`` that came to the end of the log, if no marks are given."""
    high_watermark = end if high_watermark is None else high_watermark
    return Poll(
        client="r",
        begun_us=at_us,
        ended_us=at_us + DURATION_US,
        place=place,
        isolation=isolation,
        start=start,
        end=end,
        records=records,
        high_watermark=high_watermark,
        last_stable=high_watermark if last_stable is None else last_stable,
        log_start=log_start,
        corrupt=corrupt,
        is_final=is_final,
    )


def read_at_the_end(
    end: int,
    *records: tuple[int, int],
    place: Place = ORDERS,
    committed: Sequence[tuple[int, int]] | None = None,
    log_start: int = 0,
) -> list[Operation]:
    """The last reading of a partition, by both kinds of readers; ``committed`` where they differ."""
    both = {UNCOMMITTED: records, COMMITTED: records if committed is None else tuple(committed)}
    return [
        polled(
            THE_END_US,
            log_start,
            end,
            *seen,
            place=place,
            isolation=isolation,
            log_start=log_start,
            is_final=True,
        )
        for isolation, seen in both.items()
    ]


def transaction(
    at_us: int,
    name: str,
    outcome: Outcome = OK,
    *,
    lasts_us: int = 100,
    group: str | None = None,
    positions: dict[str, int] | None = None,
) -> Transaction:
    """A transaction that is to be committed at its end, or aborted if it failed."""
    return Transaction(
        client="a",
        begun_us=at_us,
        ended_us=None if outcome is UNKNOWN else at_us + lasts_us,
        name=name,
        outcome=outcome,
        commit_begun_us=None if outcome is FAILED else at_us + lasts_us - DURATION_US,
        group=group,
        positions=positions or {},
    )


def kinds_in(*parts: Operation | Sequence[Operation]) -> set[Kind]:
    """The kinds of anomalies in a history that is given in parts."""
    history: list[Operation] = []
    for part in parts:
        history += part if isinstance(part, Sequence) else [part]
    return {anomaly.kind for anomaly in anomalies_of(history)}
