"""What a history proves, ordered so that the rules can ask for it.

A record is *known* to be at an offset if its producer was told so or some reader was given it there. Nothing
else is believed: in particular nothing that only ought to have happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

from tests.histories.operations import (
    Isolation,
    Operation,
    Outcome,
    Place,
    Poll,
    RecordId,
    RecordsDeleted,
    Send,
    TopicDeleted,
    TopicMade,
    Transaction,
)

K = TypeVar("K", bound=Operation)

NEVER_US: Final = float("inf")


@dataclass
class KnownLog:
    """One partition: which records are known to be where, who read it, who sent to it."""

    place: Place
    ids_at: dict[int, dict[RecordId, Operation]] = field(default_factory=lambda: defaultdict(dict))
    """Each with the first operation that proves it; there is one id unless something is wrong."""
    offsets_of: dict[RecordId, dict[int, Operation]] = field(default_factory=lambda: defaultdict(dict))
    sends: list[Send] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    deletions: list[RecordsDeleted] = field(default_factory=list)

    @cached_property
    def offsets(self) -> list[int]:
        """All offsets at which a record is known to be."""
        return sorted(self.ids_at)

    def offsets_in(self, start: int, end: int) -> Sequence[int]:
        """Those in ``[start, end)``."""
        return self.offsets[bisect_left(self.offsets, start) : bisect_left(self.offsets, end)]

    def final(self, isolation: Isolation) -> list[Poll]:
        """How the partition was read at the end."""
        return [poll for poll in self.polls if poll.is_final and poll.isolation is isolation]

    @property
    def deletion_asked(self) -> int:
        """Somebody asked for the deletion of records before this offset."""
        return max((deletion.before for deletion in self.deletions), default=0)

    def prove(self, offset: int, id_: RecordId, proof: Operation) -> None:
        """Somebody was told that a record is here."""
        self.ids_at[offset].setdefault(id_, proof)
        self.offsets_of[id_].setdefault(offset, proof)


class Known:
    """A history, and what it proves."""

    def __init__(self, history: Sequence[Operation]) -> None:
        self.history = sorted(history, key=lambda operation: operation.begun_us)
        self.send_of: dict[RecordId, Send] = {}
        self.logs: dict[Place, KnownLog] = {}
        self.topics = {made.topic: made for made in self.of(TopicMade)}
        self.transactions = {transaction.name: transaction for transaction in self.of(Transaction)}
        self.sends_of_transaction: dict[str, list[Send]] = defaultdict(list)
        for send in self.of(Send):
            self._take_send(send)
        for poll in self.of(Poll):
            log = self.log(poll.place)
            log.polls.append(poll)
            for offset, id_ in poll.records:
                log.prove(offset, id_, poll)
        for deletion in self.of(RecordsDeleted):
            self.log(deletion.place).deletions.append(deletion)

    def _take_send(self, send: Send) -> None:
        log = self.log(send.place)
        log.sends.append(send)
        if send.transaction is not None:
            self.sends_of_transaction[send.transaction].append(send)
        for index, id_ in enumerate(send.ids):
            self.send_of[id_] = send
            if send.offset is not None:
                log.prove(send.offset + index, id_, send)

    def of(self, kind: type[K]) -> list[K]:
        """All operations of one kind, in the order in which they began."""
        return [operation for operation in self.history if isinstance(operation, kind)]

    def log(self, place: Place) -> KnownLog:
        """What is known of a partition."""
        if place not in self.logs:
            self.logs[place] = KnownLog(place)
        return self.logs[place]

    @cached_property
    def deleted_topics(self) -> dict[str, TopicDeleted]:
        """Topics that somebody asked to delete, each with the first request that was answered, or any."""
        asked = sorted(self.of(TopicDeleted), key=lambda deleted: deleted.outcome is not Outcome.OK)
        found: dict[str, TopicDeleted] = {}
        for deleted in asked:
            found.setdefault(deleted.topic, deleted)
        return found

    @cached_property
    def visible_transactions(self) -> set[str]:
        """Transactions of which some reader of committed records saw a record."""
        return {
            send.transaction
            for log in self.logs.values()
            for poll in log.polls
            if poll.isolation is Isolation.COMMITTED
            for _, id_ in poll.records
            if (send := self.send_of.get(id_)) is not None and send.transaction is not None
        }

    @cached_property
    def proven_transactions(self) -> set[str]:
        """Transactions that are committed for certain."""
        unknown = {name for name, each in self.transactions.items() if each.outcome is Outcome.UNKNOWN}
        told = {name for name, each in self.transactions.items() if each.outcome is Outcome.OK}
        return told | (unknown & self.visible_transactions)

    def is_committed(self, id_: RecordId) -> bool:
        """Whether readers of committed records must see a record that is in the log."""
        send = self.send_of.get(id_)
        return send is not None and (send.transaction is None or send.transaction in self.proven_transactions)

    def readable(self, log: KnownLog, offset: int, isolation: Isolation) -> Iterator[RecordId]:
        """The records at an offset that a reader with this isolation must be given."""
        for id_ in log.ids_at[offset]:
            if isolation is Isolation.UNCOMMITTED or self.is_committed(id_):
                yield id_

    def may_be_compacted(self, log: KnownLog, offset: int, id_: RecordId) -> bool:
        """Whether compaction explains that a record is not there.

        A newer one has its key; or it deletes its key; or it is of a transaction that was aborted.
        """
        made = self.topics.get(log.place.topic)
        send = self.send_of.get(id_)
        if made is None or not made.is_compacted or send is None:
            return False
        if id_ in send.tombstones or not self.is_committed(id_):
            return True
        return self._newest[log.place].get(send.key_of(id_), -1) > offset

    @cached_property
    def _newest(self) -> dict[Place, dict[str | None, int]]:
        """Of each place and key, the highest offset of a record that counts."""
        return {
            place: {
                self.send_of[id_].key_of(id_): offset
                for offset in log.offsets
                for id_ in log.ids_at[offset]
                if self.is_committed(id_)
            }
            for place, log in self.logs.items()
        }
