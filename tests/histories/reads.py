"""Rules about what readers are given: what was sent, in order, all of it, and nothing they may not see."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.known import NEVER_US, Known, KnownLog
from tests.histories.operations import Isolation, Outcome, Poll, RecordId


def invented(known: Known) -> Iterator[Anomaly]:
    """Every record that is read was sent there, before, and was not refused."""
    for log in known.logs.values():
        for poll in log.polls:
            for offset, id_ in poll.records:
                yield from _invented(known, poll, offset, id_)
            for offset in poll.corrupt:
                text = f"the record at {offset} of {log.place} is not what was sent"
                yield Anomaly(Kind.CORRUPT, text, (poll,))


def _invented(known: Known, poll: Poll, offset: int, id_: RecordId) -> Iterator[Anomaly]:
    send = known.send_of.get(id_)
    if send is None:
        yield Anomaly(Kind.PHANTOM, f"nobody sent record {id_}, at {offset} of {poll.place}", (poll,))
    elif send.place != poll.place:
        text = f"record {id_} was sent to {send.place} and is at {offset} of {poll.place}"
        yield Anomaly(Kind.PHANTOM, text, (send, poll))
    elif _end_us(poll) < send.begun_us:
        text = f"record {id_} was read at {offset} of {poll.place} before it was sent"
        yield Anomaly(Kind.PHANTOM, text, (send, poll))
    elif send.outcome is Outcome.FAILED:
        text = f"record {id_} was refused and is at {offset} of {poll.place}"
        yield Anomaly(Kind.FAILED_WRITE_READ, text, (send, poll))


def out_of_order(known: Known) -> Iterator[Anomaly]:
    """Within a poll offsets grow, and lie between where it began and where it ended."""
    for log in known.logs.values():
        for poll in log.polls:
            places = [poll.start - 1, *(offset for offset, _ in poll.records), poll.end]
            if any(before >= after for before, after in pairwise(places)):
                text = f"offsets {places[1:-1]} of {log.place} in a poll of [{poll.start}, {poll.end})"
                yield Anomaly(Kind.POLL_OUT_OF_ORDER, text, (poll,))


def beyond_visible_end(known: Known) -> Iterator[Anomaly]:
    """Records are read between the marks that the same answer gives, and the marks are in order."""
    for log in known.logs.values():
        for poll in log.polls:
            end = poll.last_stable if poll.isolation is Isolation.COMMITTED else poll.high_watermark
            is_outside = any(offset >= end for offset, _ in poll.records) or poll.start < poll.log_start
            if is_outside or not poll.log_start <= poll.last_stable <= poll.high_watermark:
                text = (
                    f"a poll of {log.place} that began at {poll.start} shows what lies outside of its marks"
                )
                yield Anomaly(Kind.BEYOND_VISIBLE_END, text, (poll,))


def skipped(known: Known) -> Iterator[Anomaly]:
    """Who passes over an offset is given the record there."""
    for log in known.logs.values():
        for poll in log.polls:
            if not poll.is_final:  # what the last reading lacks is lost
                yield from _skipped(known, log, poll)


def _skipped(known: Known, log: KnownLog, poll: Poll) -> Iterator[Anomaly]:
    given = {id_ for _, id_ in poll.records}
    for offset in log.offsets_in(poll.start, poll.end):
        for id_ in known.readable(log, offset, poll.isolation):
            if id_ not in given and not known.may_be_compacted(log, offset, id_):
                text = f"record {id_} is at {offset} of {log.place}, and a reader passed over it"
                yield Anomaly(Kind.SKIPPED, text, (log.ids_at[offset][id_], poll))


def aborted_reads(known: Known) -> Iterator[Anomaly]:
    """Readers of committed records see nothing of transactions that are not committed, or not yet."""
    for log in known.logs.values():
        for poll in log.polls:
            if poll.isolation is Isolation.COMMITTED:
                for offset, id_ in poll.records:
                    yield from _aborted_read(known, poll, offset, id_)


def _aborted_read(known: Known, poll: Poll, offset: int, id_: RecordId) -> Iterator[Anomaly]:
    send = known.send_of.get(id_)
    transaction = None
    if send is not None and send.transaction is not None:
        transaction = known.transactions.get(send.transaction)
    if send is None or transaction is None:
        return
    evidence = (send, transaction, poll)
    where = f"record {id_} at {offset} of {poll.place}"
    if transaction.outcome is Outcome.FAILED:
        yield Anomaly(Kind.ABORTED_READ, f"{where}: {transaction.name} is aborted", evidence)
    elif transaction.commit_begun_us is None or _end_us(poll) < transaction.commit_begun_us:
        text = f"{where}: it was read before {transaction.name} was to be committed"
        yield Anomaly(Kind.DIRTY_READ, text, evidence)


def _end_us(poll: Poll) -> float:
    return NEVER_US if poll.ended_us is None else poll.ended_us
