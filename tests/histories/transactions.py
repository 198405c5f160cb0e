"""Rules about transactions: all of one is there or nothing, outputs and positions together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.known import Known
from tests.histories.operations import (
    Isolation,
    Operation,
    Place,
    PositionsRead,
    RecordId,
    Send,
    Transaction,
)


def torn(known: Known) -> Iterator[Anomaly]:
    """At the end a transaction is seen as a whole or not at all."""
    for name, sends in known.sends_of_transaction.items():
        found: list[tuple[RecordId, Send]] = []
        missing: list[tuple[RecordId, Send]] = []
        for send in sends:
            if send.place.topic in known.deleted_topics or send.offset is None:
                continue
            final = known.log(send.place).final(Isolation.COMMITTED)
            start = max((poll.log_start for poll in final), default=0)
            given = {id_ for poll in final for _, id_ in poll.records}
            for index, id_ in enumerate(send.ids):
                offset = send.offset + index
                if id_ in given:
                    found.append((id_, send))
                elif offset >= start and not known.may_be_compacted(known.log(send.place), offset, id_):
                    missing.append((id_, send))
        if found and missing:
            text = f"of {name} record {found[0][0]} is there and {missing[0][0]} is not"
            transaction = known.transactions.get(name)
            ends = () if transaction is None else (transaction,)
            yield Anomaly(Kind.TORN_TRANSACTION, text, (*ends, found[0][1], missing[0][1]))


@dataclass
class _Processing:
    """What a group did with one place: it reads there, and commits positions with its outputs."""

    group: str
    place: Place
    position: int = 0
    read: PositionsRead | None = None
    transactions: list[Transaction] = field(default_factory=list)


def wrongly_processed(known: Known) -> Iterator[Anomaly]:
    """Exactly the records before a group's position have an output, and each has one.

    For groups whose positions are committed in transactions. That they read a place whose records all stay
    there is up to the history.
    """
    outputs = _visible_outputs(known)
    for processing in _processings(known):
        log = known.log(processing.place)
        for offset in log.offsets:
            for id_ in known.readable(log, offset, Isolation.COMMITTED):
                found = outputs.get((processing.group, id_), [])
                yield from _judged(processing, offset, id_, found)


def _judged(processing: _Processing, offset: int, id_: RecordId, found: list[Send]) -> Iterator[Anomaly]:
    where = f"record {id_} at {offset} of {processing.place}"
    evidence: tuple[Operation, ...] = tuple(found)
    if processing.read is not None:
        evidence = (processing.read, *evidence)
    if len(found) > 1:
        text = f"{where} has {len(found)} outputs of {processing.group}"
        yield Anomaly(Kind.PROCESSED_TWICE, text, evidence)
    if not found and offset < processing.position:
        passing = [each for each in processing.transactions if each.positions[str(processing.place)] > offset]
        text = f"{where} has no output of {processing.group}, whose position is {processing.position}"
        yield Anomaly(Kind.NOT_PROCESSED, text, (*evidence, *passing[:1]))
    if found and offset >= processing.position:
        text = f"{where} has an output of {processing.group}, whose position is {processing.position}"
        yield Anomaly(Kind.PROCESSED_AHEAD, text, evidence)


def _visible_outputs(known: Known) -> dict[tuple[str, RecordId], list[Send]]:
    """By group and source, what readers of committed records see at the end."""
    given = {
        id_
        for log in known.logs.values()
        for poll in log.final(Isolation.COMMITTED)
        for _, id_ in poll.records
    }
    outputs: dict[tuple[str, RecordId], list[Send]] = defaultdict(list)
    for name, sends in known.sends_of_transaction.items():
        transaction = known.transactions.get(name)
        if transaction is None or transaction.group is None:
            continue
        for send in sends:
            for id_, source in zip(send.ids, send.sources, strict=False):
                if id_ in given:
                    outputs[transaction.group, source].append(send)
    return outputs


def _processings(known: Known) -> list[_Processing]:
    places = {str(place): place for place in known.logs}
    found: dict[tuple[str, str], _Processing] = {}
    for transaction in known.transactions.values():
        for text in transaction.positions:
            if transaction.group is not None and text in places:
                key = transaction.group, text
                processing = found.setdefault(key, _Processing(transaction.group, places[text]))
                processing.transactions.append(transaction)
    for read in known.of(PositionsRead):
        for text, position in read.positions.items():
            if read.is_final and (read.group, text) in found:
                processing = found[read.group, text]
                processing.position, processing.read = position or 0, read
    return list(found.values())
