"""Rules about what is in a partition: nothing is lost, nothing twice, each in its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.known import Known, KnownLog
from tests.histories.marks import Told, falls
from tests.histories.operations import Isolation, Outcome, Poll, RecordId, Send


def lost_writes(known: Known) -> Iterator[Anomaly]:
    """Whatever was acknowledged or seen is read at the end, if it was not deleted or replaced."""
    for log in known.logs.values():
        if log.place.topic in known.deleted_topics:
            continue
        for isolation in Isolation:
            yield from _lost(known, log, isolation)


def _lost(known: Known, log: KnownLog, isolation: Isolation) -> Iterator[Anomaly]:
    final = log.final(isolation)
    start = max((poll.log_start for poll in final), default=0)
    end = max((poll.end for poll in final), default=0)
    found = {id_ for poll in final for _, id_ in poll.records}
    for offset in log.offsets_in(start, 1 << 63):
        for id_ in known.readable(log, offset, isolation):
            if id_ in found or known.may_be_compacted(log, offset, id_):
                continue
            evidence = (log.ids_at[offset][id_], *_covering(final, offset))
            if offset < end:
                text = f"record {id_} was at {offset} of {log.place}, and is not there at the end"
                yield Anomaly(Kind.LOST_WRITE, text, evidence)
            else:
                text = (
                    f"record {id_} is at {offset} of {log.place}; readers of {isolation} records end at {end}"
                )
                yield Anomaly(Kind.UNSEEN, text, evidence)


def _covering(polls: list[Poll], offset: int) -> Iterator[Poll]:
    for poll in polls:
        if poll.start <= offset < poll.end:
            yield poll


def duplicates(known: Known) -> Iterator[Anomaly]:
    """A record is at one offset, or at no more than its producer sent copies."""
    for log in known.logs.values():
        for id_, offsets in log.offsets_of.items():
            send = known.send_of.get(id_)
            if send is None:
                continue
            copies_max = 1 if send.producer is not None else send.attempt_count
            if len(offsets) > copies_max:
                text = (
                    f"record {id_} is at {sorted(offsets)} of {log.place}, its producer allows {copies_max}"
                )
                yield Anomaly(Kind.DUPLICATE, text, (send, *offsets.values()))


def reused_offsets(known: Known) -> Iterator[Anomaly]:
    """One offset has one record, whoever looks and whenever."""
    for log in known.logs.values():
        for offset, ids in log.ids_at.items():
            if len(ids) > 1:
                text = f"records {sorted(ids)} are all at {offset} of {log.place}"
                yield Anomaly(Kind.OFFSET_REUSED, text, tuple(ids.values()))


def reordered(known: Known) -> Iterator[Anomaly]:
    """The records of an idempotent producer stand in the order in which it sent them."""
    for log in known.logs.values():
        by_producer: dict[str, list[tuple[int, RecordId, Send]]] = defaultdict(list)
        for send in log.sends:
            for id_ in send.ids:
                offsets = log.offsets_of.get(id_)
                if send.producer is not None and offsets:
                    by_producer[send.producer].append((min(offsets), id_, send))
        for producer, records in by_producer.items():
            for (offset, id_, send), (next_offset, next_id, next_send) in pairwise(records):
                if offset >= next_offset:
                    text = (
                        f"{producer} sent record {id_} before {next_id}, and they are at {offset} and "
                        f"{next_offset} of {log.place}"
                    )
                    yield Anomaly(Kind.REORDERED, text, (send, next_send))


def sent_backwards(known: Known) -> Iterator[Anomaly]:
    """What was sent after an acknowledgement stands after what was acknowledged."""
    for log in known.logs.values():
        told = [
            Told(send, send.offset, send.offset + len(send.ids))
            for send in log.sends
            if send.outcome is Outcome.OK and send.offset is not None
        ]
        for earlier, later in falls(told):
            text = f"an earlier batch ends at {earlier.floor} of {log.place}, a later one is at {later.value}"
            yield Anomaly(Kind.SENT_BACKWARDS, text, (earlier.operation, later.operation))
