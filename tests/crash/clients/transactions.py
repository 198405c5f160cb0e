"""Transactions over the wire, of the older protocol and the newer one (KIP-890).

A transaction is named in the history by a name of its own; a transactional id has one after the other. It
counts as aborted unless somebody asked to commit it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeAlias

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from streamcore.log.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from streamcore.log.protocol.messages.end_txn import EndTxnRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.crash.clients.client import Client, NoAnswer
from tests.crash.clients.producing import (
    RETRIABLE,
    VERSION_MIN,
    VERSION_OF_OLD_TRANSACTIONS_MAX,
    Batch,
    codes_and_offsets,
    new_batch,
    produce_request,
)
from tests.crash.clients.world import now_us
from tests.histories.operations import Outcome, Place, RecordId, Transaction

_PATIENCE_S: Final = 8.0
_NEWER_PRODUCE: Final = 12
_NEWER_END: Final = 5
_NEWER_POSITIONS: Final = 5

_CodeIn: TypeAlias = Callable[[Any], ErrorCode]
"""Finds in an answer what became of the question."""


class TransactionLost(Exception):
    """The transaction cannot go on: it was refused, has timed out, or nobody answers."""


@dataclass
class _Open:
    """The transaction that is under way."""

    name: str
    begun_us: int
    joined: set[Place] = field(default_factory=set)
    commit_begun_us: int | None = None
    group: str | None = None
    positions: dict[str, int] = field(default_factory=dict)


class TransactionSession:
    """One transactional id, used by one client: as by a program that is started again now and then.

    Each time it may be of another version, the newer one in ``newer_share`` of them.
    """

    def __init__(
        self, client: Client, transactional_id: str, *, timeout_ms: int, newer_share: float = 0.0
    ) -> None:
        self.transactional_id = transactional_id
        self.identity: tuple[int, int] | None = None
        self._client = client
        self._timeout_ms = timeout_ms
        self._newer_share = newer_share
        self._is_newer = False
        self._sequences: dict[Place, int] = {}
        self._open: _Open | None = None

    @property
    def name(self) -> str | None:
        """The transaction that is under way."""
        return None if self._open is None else self._open.name

    def identify(self) -> None:
        """Take the transactional id over: whoever had it is fenced, what was open is aborted."""
        request = InitProducerIdRequest(
            transactional_id=self.transactional_id, transaction_timeout_ms=self._timeout_ms
        )
        answer = self._answer(request, self._client.version_of("InitProducerId", 0, 5), _error_code)
        assert answer.error_code == ErrorCode.NONE, f"{ErrorCode(answer.error_code)!r} for {request}"
        self.identity = answer.producer_id, answer.producer_epoch
        self._sequences.clear()
        self._is_newer = self._client.random.random() < self._newer_share

    def begin(self) -> None:
        """Begin a transaction; the broker hears of it with the first record."""
        if self.identity is None:
            self.identify()
        self._open = _Open(self._client.world.new_name(self._client.name), now_us())

    def send(self, chosen: Sequence[tuple[Place, tuple[RecordId, ...], tuple[RecordId, ...]]]) -> None:
        """Send records to places, each place once: ids, and the sources they were made from.

        Raises:
            TransactionLost: they were refused.
        """
        assert self._open is not None
        self._join([place for place, _, _ in chosen])
        batches = [self._batch(place, ids, sources) for place, ids, sources in chosen]
        request = produce_request(batches, acks=-1, transactional_id=self.transactional_id)
        version = _NEWER_PRODUCE
        if not self._is_newer:
            version = self._client.version_of("Produce", VERSION_MIN, VERSION_OF_OLD_TRANSACTIONS_MAX)
        self._produce(batches, request, version)

    def _batch(self, place: Place, ids: tuple[RecordId, ...], sources: tuple[RecordId, ...]) -> Batch:
        assert self._open is not None
        assert self.identity is not None
        sequence = self._sequences.get(place, 0)
        self._sequences[place] = sequence + len(ids)
        return new_batch(
            self._client.world.topic(place.topic),
            place.partition,
            ids,
            producer_id=self.identity[0],
            epoch=self.identity[1],
            sequence=sequence,
            producer=self._client.name,
            transaction=self._open.name,
            sources=sources,
        )

    def _produce(self, batches: list[Batch], request: Message, version: int) -> None:
        waiting = {batch.place: batch for batch in batches}
        is_unsure = False
        try:
            while waiting:
                is_unsure |= self._produce_once(waiting, request, version, is_unsure)
        finally:
            for batch in waiting.values():
                self._client.world.record(batch.operation(self._client.name, Outcome.UNKNOWN))

    def _produce_once(
        self, waiting: dict[Place, Batch], request: Message, version: int, is_unsure: bool
    ) -> bool:
        """Send everything, take out of ``waiting`` what is settled; return whether something is in doubt.

        A batch that is refused now may be in the log all the same, if an answer before this one is missing.
        """
        for batch in waiting.values():
            batch.attempt_count += 1
        try:
            results = codes_and_offsets(self._client.ask(request, version))
        except NoAnswer:
            self._ensure_patience()
            return True
        for place, batch in list(waiting.items()):
            code, offset = results[place]
            if code is ErrorCode.NONE:
                self._client.world.record(batch.operation(self._client.name, Outcome.OK, offset))
            elif code in RETRIABLE:
                self._ensure_patience()
                continue
            else:
                outcome = Outcome.UNKNOWN if is_unsure else Outcome.FAILED
                self._client.world.record(batch.operation(self._client.name, outcome))
                del waiting[place]
                raise TransactionLost(code.name)
            del waiting[place]
        return False

    def _ensure_patience(self) -> None:
        assert self._open is not None
        if now_us() - self._open.begun_us > _PATIENCE_S * 1_000_000:
            raise TransactionLost("no answer")
        self._client.pause()

    def _join(self, places: list[Place]) -> None:
        assert self._open is not None
        new = [place for place in places if place not in self._open.joined]
        if new and not self._is_newer:
            producer_id, epoch = self._producer()
            by_topic: dict[str, list[int]] = {}
            for place in new:
                by_topic.setdefault(place.topic, []).append(place.partition)
            request = AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=self.transactional_id,
                v3_and_below_producer_id=producer_id,
                v3_and_below_producer_epoch=epoch,
                v3_and_below_topics=[
                    AddPartitionsToTxnTopic(name=name, partitions=partitions)
                    for name, partitions in by_topic.items()
                ],
            )
            version = self._client.version_of("AddPartitionsToTxn", 0, 3)
            _ensure_none(self._answer(request, version, _joining_code), _joining_code)
        self._open.joined.update(new)

    def add_positions(self, group: str, positions: dict[Place, int], member_id: str, generation: int) -> None:
        """Make a group's positions part of the transaction.

        Raises:
            TransactionLost: they were refused, perhaps because another member owns the places by now.
        """
        assert self._open is not None
        producer_id, epoch = self._producer()
        if not self._is_newer:
            joining = AddOffsetsToTxnRequest(
                transactional_id=self.transactional_id,
                producer_id=producer_id,
                producer_epoch=epoch,
                group_id=group,
            )
            version = self._client.version_of("AddOffsetsToTxn", 0, 4)
            _ensure_none(self._answer(joining, version, _error_code), _error_code)
        request = TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=group,
            producer_id=producer_id,
            producer_epoch=epoch,
            generation_id=generation,
            member_id=member_id,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name=place.topic,
                    partitions=[
                        TxnOffsetCommitRequestPartition(
                            partition_index=place.partition, committed_offset=offset, committed_metadata=""
                        )
                    ],
                )
                for place, offset in positions.items()
            ],
        )
        version = _NEWER_POSITIONS if self._is_newer else self._client.version_of("TxnOffsetCommit", 3, 4)
        _ensure_none(self._answer(request, version, _positions_code), _positions_code)
        self._open.group = group
        self._open.positions = {str(place): offset for place, offset in positions.items()}

    def end(self, *, commit: bool) -> None:
        """Commit or abort.

        Raises:
            TransactionLost: it was refused, or it is not known what became of it.
        """
        assert self._open is not None
        producer_id, epoch = self._producer()
        request = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=producer_id,
            producer_epoch=epoch,
            committed=commit,
        )
        if commit:
            self._open.commit_begun_us = now_us()
        version = _NEWER_END if self._is_newer else self._client.version_of("EndTxn", 0, 4)
        answer = self._answer(request, version, _error_code)
        if answer.error_code != ErrorCode.NONE:
            self._close(Outcome.FAILED)
            raise TransactionLost(ErrorCode(answer.error_code).name)
        self._close(Outcome.OK if commit else Outcome.FAILED)
        if self._is_newer:
            if (answer.producer_id, answer.producer_epoch) != self.identity:
                self._sequences.clear()
            self.identity = answer.producer_id, answer.producer_epoch

    def abandon(self) -> None:
        """Let it be, without a word to the broker; the next one takes the transactional id over."""
        if self._open is not None:
            is_asked = self._open.commit_begun_us is not None
            self._close(Outcome.UNKNOWN if is_asked else Outcome.FAILED)
        self.identity = None

    def _close(self, outcome: Outcome) -> None:
        assert self._open is not None
        was, self._open = self._open, None
        self._client.world.record(
            Transaction(
                client=self._client.name,
                begun_us=was.begun_us,
                ended_us=None if outcome is Outcome.UNKNOWN else now_us(),
                name=was.name,
                outcome=outcome,
                commit_begun_us=was.commit_begun_us,
                group=was.group,
                positions=was.positions,
            )
        )

    def _producer(self) -> tuple[int, int]:
        assert self.identity is not None
        return self.identity

    def _answer(self, request: Message, version: int, code_in: _CodeIn) -> Any:
        """Ask until there is an answer that is more than "not now"."""
        deadline_s = monotonic() + _PATIENCE_S
        while True:
            try:
                answer = self._client.ask(request, version)
                if code_in(answer) not in RETRIABLE:
                    return answer
            except NoAnswer:
                pass
            if monotonic() > deadline_s:
                raise TransactionLost("no answer")
            self._client.pause()


def _error_code(answer: Any) -> ErrorCode:
    return ErrorCode(answer.error_code)


def _joining_code(answer: Any) -> ErrorCode:
    codes = [
        ErrorCode(each.partition_error_code)
        for topic in answer.results_by_topic_v3_and_below
        for each in topic.results_by_partition
    ]
    return next((code for code in codes if code is not ErrorCode.NONE), ErrorCode.NONE)


def _positions_code(answer: Any) -> ErrorCode:
    codes = [ErrorCode(each.error_code) for topic in answer.topics for each in topic.partitions]
    return next((code for code in codes if code is not ErrorCode.NONE), ErrorCode.NONE)


def _ensure_none(answer: Any, code_in: _CodeIn) -> None:
    code = code_in(answer)
    if code is not ErrorCode.NONE:
        raise TransactionLost(code.name)
