"""Random clients of a model log, and the history that they write: one thread, one seed.

Each operation takes effect at one moment and lasts from some time before it until some time after it, so that
the operations of different clients overlap.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Final, NamedTuple

from tests.histories.operations import (
    Isolation,
    Operation,
    Outcome,
    Place,
    Poll,
    PositionsCommitted,
    PositionsRead,
    RecordId,
    RecordsDeleted,
    Send,
    TopicMade,
    Transaction,
)
from tests.property.histories.model_log import Fault, ModelLog

ORDERS: Final = Place("orders", 0)
REFUNDS: Final = Place("refunds", 0)
BILLS: Final = Place("bills", 0)
PRICES: Final = Place("prices", 0)
PLACES: Final = (ORDERS, REFUNDS, BILLS, PRICES)

_STEP_US: Final = 10
_LASTING_US_MAX: Final = 30


class _Span(NamedTuple):
    """When an operation lasted; no end if its answer is lost."""

    begun_us: int
    ended_us: int | None


class _Open(NamedTuple):
    """A transaction that is under way."""

    name: str
    begun_us: int


class RandomClients:
    """What they do, step by step."""

    def __init__(self, seed: int, fault: Fault | None) -> None:
        self.random = Random(seed)
        self.log = ModelLog(PLACES, fault)
        self.history: list[Operation] = [
            TopicMade(client="admin", begun_us=0, ended_us=1, topic="prices", is_compacted=True)
        ]
        self.moment_us = 0
        self.free_us: dict[str, int] = defaultdict(int)
        self.record_count = 0
        self.positions: dict[tuple[str, Place], int] = {}
        self.open: _Open | None = None
        self.watermarks: dict[Place, tuple[int, int]] = {}
        """The highest that each place was told to have, and when that was over."""

    def run(self, step_count: int, faulty_from: int) -> None:
        """Take steps, then read everything."""
        steps = (
            self.send,
            self.send,
            self.send_two_at_once,
            self.send_what_is_refused,
            self.send_with_keys,
            lambda: self.log.compact(PRICES),
            self.go_on_with_transaction,
            self.go_on_with_transaction,
            self.process,
            self.process,
            self.poll,
            self.poll,
            self.poll,
            self.commit_offsets,
            self.read_positions,
            self.delete_records,
            self.log.crash,
        )
        for index in range(step_count):
            self.log.is_due = index >= faulty_from
            self.moment_us += _STEP_US
            self.random.choice(steps)()
        if self.open is not None:
            self._end_transaction(commit=False)
        self._read_everything()

    # --- producers ------------------------------------------------------------------------------

    def send(self) -> None:
        """An idempotent producer sends a batch, perhaps several times; the last answer may be lost."""
        client = self.random.choice(("a", "b"))
        place = self.random.choice((ORDERS, REFUNDS))
        ids = self._ids()
        offset = self.log.append(place, ids)
        attempt_count = self.random.choice((1, 1, 2))
        if attempt_count > 1 and self.log.fails(Fault.APPEND_TWICE):
            self.log.append(place, ids)
        self._sent(client, self._span(client), place, ids, offset, attempt_count=attempt_count)

    def send_two_at_once(self) -> None:
        """Two batches are on their way at the same time."""
        ids = self._ids(), self._ids()
        turned = self.log.fails(Fault.SWAP)
        offsets = {each: self.log.append(ORDERS, each) for each in (reversed(ids) if turned else ids)}
        spans = self._span("a"), self._span("a", begun_us=self.moment_us + 1)
        for each, span in zip(ids, spans, strict=True):
            self._sent("a", span, ORDERS, each, offsets[each])

    def send_what_is_refused(self) -> None:
        ids = self._ids()
        if self.log.fails(Fault.KEEP_REFUSED):
            self.log.append(REFUNDS, ids)
        if self.log.fails(Fault.INVENT):
            self.log.append(REFUNDS, self._ids())
        span = self._span("a", loses_answer=False)
        self._sent("a", span, REFUNDS, ids, None, outcome=Outcome.FAILED)

    def send_with_keys(self) -> None:
        """To the topic that is compacted; but nothing that would explain what the fault took there."""
        if self.log.is_harmed:
            return
        ids = self._ids()
        keys = tuple(self.random.choice(("k", "l", "m")) for _ in ids)
        offset = self.log.append(PRICES, ids, keys=keys)
        self._sent("b", self._span("b"), PRICES, ids, offset, keys=keys)

    def _sent(
        self,
        client: str,
        span: _Span,
        place: Place,
        ids: tuple[RecordId, ...],
        offset: int | None,
        *,
        outcome: Outcome = Outcome.OK,
        attempt_count: int = 1,
        transaction: str | None = None,
        sources: tuple[RecordId, ...] = (),
        keys: tuple[str | None, ...] = (),
    ) -> None:
        if span.ended_us is None:
            outcome, offset = Outcome.UNKNOWN, None
        if offset is not None:
            self.log.told.update(ids)
            self._saw_watermark(place, offset + len(ids), span)
        send = Send(
            client=client,
            begun_us=span.begun_us,
            ended_us=span.ended_us,
            place=place,
            ids=ids,
            outcome=outcome,
            offset=offset,
            producer=client,
            attempt_count=attempt_count,
            transaction=transaction,
            sources=sources,
            keys=keys,
        )
        self.history.append(send)

    def go_on_with_transaction(self) -> None:
        """Begin one, send in it, or end it."""
        if self.open is None:
            self.open = _Open(f"t{self.moment_us}", self.moment_us)
        elif self.random.random() < 0.3:
            self._end_transaction(commit=self.random.random() < 0.6)
            return
        place, ids = self.random.choice((ORDERS, REFUNDS)), self._ids()
        offset = self.log.append(place, ids, self.open.name)
        span = self._span("t", loses_answer=False)
        self._sent("t", span, place, ids, offset, transaction=self.open.name)

    def _end_transaction(self, *, commit: bool) -> None:
        assert self.open is not None
        name, begun_us = self.open
        self.open = None
        span = self._span("t", loses_answer=commit)
        self.log.end_transaction(name, commit=commit)
        self._ended(name, "t", begun_us, span, commit=commit)

    def _ended(
        self,
        name: str,
        client: str,
        begun_us: int,
        span: _Span,
        *,
        commit: bool,
        group: str | None = None,
        positions: dict[str, int] | None = None,
    ) -> None:
        outcome = Outcome.UNKNOWN if span.ended_us is None else Outcome.OK
        self.history.append(
            Transaction(
                client=client,
                begun_us=begun_us,
                ended_us=span.ended_us,
                name=name,
                outcome=outcome if commit else Outcome.FAILED,
                commit_begun_us=span.begun_us if commit else None,
                group=group,
                positions=positions or {},
            )
        )

    def process(self) -> None:
        """Read orders from the committed position, write a bill for each, commit both; or abort."""
        start = self.log.positions.get(("billing", ORDERS), 0)
        poll = self._poll("p", ORDERS, Isolation.COMMITTED, start, self.log.last_stable(ORDERS))
        inputs, end = poll.records, poll.end
        if start == end:
            return
        span = self._span("p", loses_answer=False)
        name = f"p{self.moment_us}"
        if inputs:
            sources = tuple(id_ for _, id_ in inputs)
            ids = tuple(self._id() for _ in inputs)
            offset = self.log.append(BILLS, ids, name)
            self._sent("p", span, BILLS, ids, offset, transaction=name, sources=sources)
        self.moment_us += 3 * _STEP_US
        commit = self.random.random() < 0.7
        self.log.end_transaction(name, commit=commit, group="billing", positions={ORDERS: end})
        ending = self._span("p", loses_answer=commit)
        positions = {str(ORDERS): end}
        self._ended(name, "p", span.begun_us, ending, commit=commit, group="billing", positions=positions)

    # --- readers --------------------------------------------------------------------------------

    def poll(self) -> None:
        """One of two readers goes on where it was, in one of the places."""
        client = self.random.choice(("r1", "r2"))
        isolation = Isolation.UNCOMMITTED if client == "r1" else Isolation.COMMITTED
        place = self.random.choice(PLACES)
        start = max(self.positions.get((client, place), 0), self.log.partitions[place].start)
        limit = start + self.random.choice((0, 1, 2, 10))
        self.positions[client, place] = self._poll(client, place, isolation, start, limit).end

    def _poll(
        self,
        client: str,
        place: Place,
        isolation: Isolation,
        start: int,
        limit: int,
        *,
        is_final: bool = False,
    ) -> Poll:
        span = self._span(client, loses_answer=False)
        high_watermark = len(self.log.partitions[place].slots)
        last_stable = self.log.last_stable(place)
        visible_end = last_stable if isolation is Isolation.COMMITTED else high_watermark
        end = max(start, min(limit, visible_end))
        records = list(self.log.visible(place, start, end, isolation))
        if isolation is Isolation.COMMITTED and end == last_stable and self.log.shows_open(place):
            records += self.log.visible(place, end, high_watermark, Isolation.UNCOMMITTED)
            end = last_stable = high_watermark
            self.moment_us += 2 * _LASTING_US_MAX  # or a commit might have begun before the answer came
        is_known = bool(records) and records[0][1] in self.log.told and place is not PRICES
        if self.log.fails(Fault.SKIP, can_be_seen=is_known and not is_final):
            del records[0]
        self.log.told.update(id_ for _, id_ in records)
        poll = Poll(
            client=client,
            begun_us=span.begun_us,
            ended_us=span.ended_us,
            place=place,
            isolation=isolation,
            start=start,
            end=end,
            records=tuple(records),
            high_watermark=self._told_watermark(place, high_watermark, span),
            last_stable=last_stable,
            log_start=self.log.partitions[place].start,
            is_final=is_final,
        )
        self.history.append(poll)
        return poll

    def _told_watermark(self, place: Place, high_watermark: int, span: _Span) -> int:
        highest, over_us = self.watermarks.get(place, (0, 0))
        if self.log.fails(Fault.OLD_WATERMARK, can_be_seen=highest > 0 and over_us < span.begun_us):
            return highest - 1
        self._saw_watermark(place, high_watermark, span)
        return high_watermark

    def _saw_watermark(self, place: Place, high_watermark: int, span: _Span) -> None:
        if high_watermark > self.watermarks.get(place, (0, 0))[0] and span.ended_us is not None:
            self.watermarks[place] = high_watermark, span.ended_us

    def _read_everything(self) -> None:
        self.moment_us += 10 * _LASTING_US_MAX
        for place in PLACES:
            partition = self.log.partitions[place]
            if self.log.fails(Fault.RESURRECT, can_be_seen=self._is_deletion_told(place)):
                partition.start = 0
            for isolation in Isolation:
                self._poll("end", place, isolation, partition.start, len(partition.slots), is_final=True)
        self.moment_us += _LASTING_US_MAX
        self._read_positions("end", "billing", is_final=True)

    # --- positions and the rest -----------------------------------------------------------------

    def commit_offsets(self) -> None:
        """A group without transactions notes how far it is: further, or back again."""
        position = self.random.randrange(1000)
        span = self._span("m")
        self.log.positions["notes", ORDERS] = position
        self.history.append(
            PositionsCommitted(
                client="m",
                begun_us=span.begun_us,
                ended_us=span.ended_us,
                group="notes",
                positions={str(ORDERS): position},
                outcome=Outcome.UNKNOWN if span.ended_us is None else Outcome.OK,
            )
        )

    def read_positions(self) -> None:
        self._read_positions("m", self.random.choice(("notes", "billing")))

    def _read_positions(self, client: str, group: str, *, is_final: bool = False) -> None:
        span = self._span(client, loses_answer=False)
        position = self.log.positions.get((group, ORDERS))
        writes = [each for each in self.history if isinstance(each, PositionsCommitted)]
        told = [each for each in writes if each.ended_us is not None and each.ended_us < span.begun_us]
        can_be_seen = group == "notes" and bool(told)
        if self.log.fails(Fault.OLD_POSITION, can_be_seen=can_be_seen):
            position = None
        self.history.append(
            PositionsRead(
                client=client,
                begun_us=span.begun_us,
                ended_us=span.ended_us,
                group=group,
                positions={str(ORDERS): position},
                is_final=is_final,
            )
        )

    def _is_deletion_told(self, place: Place) -> bool:
        deletions = [each for each in self.history if isinstance(each, RecordsDeleted)]
        return any(each.place == place and each.log_start for each in deletions)

    def delete_records(self) -> None:
        """Only where nobody processes what is deleted; and not the traces of the fault."""
        if self.log.is_harmed:
            return
        before = self.random.randrange(len(self.log.partitions[REFUNDS].slots) + 1)
        span = self._span("admin")
        log_start = self.log.delete_records(REFUNDS, before)
        self.history.append(
            RecordsDeleted(
                client="admin",
                begun_us=span.begun_us,
                ended_us=span.ended_us,
                place=REFUNDS,
                before=before,
                outcome=Outcome.UNKNOWN if span.ended_us is None else Outcome.OK,
                log_start=None if span.ended_us is None else log_start,
            )
        )

    def _span(self, client: str, *, begun_us: int | None = None, loses_answer: bool = True) -> _Span:
        """A time around this moment; a client asks the next question when it has the last answer."""
        if begun_us is None:
            earliest_us = max(self.free_us[client] + 1, self.moment_us - _LASTING_US_MAX)
            if earliest_us > self.moment_us:
                self.moment_us = earliest_us
            begun_us = self.random.randint(earliest_us, self.moment_us)
        ended_us = self.moment_us + self.random.randint(1, _LASTING_US_MAX)
        self.free_us[client] = ended_us
        return _Span(begun_us, None if loses_answer and self.random.random() < 0.2 else ended_us)

    def _ids(self) -> tuple[RecordId, ...]:
        return tuple(self._id() for _ in range(self.random.choice((1, 1, 2, 3))))

    def _id(self) -> RecordId:
        self.record_count += 1
        return self.record_count
