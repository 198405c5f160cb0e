"""The rules of what a producer may do to its transaction, by the newest record of its id. Pure.

There are two versions of transactions, side by side. Up to version 1 a producer keeps its epoch from one
transaction to the next, and only a newer producer, or a timeout, raises it. From version 2 on (KIP-890) every
ending raises the epoch: a late batch of one transaction can never get into the next, and the epoch
distinguishes a repeated ending from the ending of the next transaction.

Epochs are used up at ``EPOCH_LAST``: the producer then continues under a new producer id, from epoch 0. One
more epoch is kept for the markers of that last transaction, and for fencing; no producer ever has it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.transactions.records import (
    NO_EPOCH,
    NOT_STARTED,
    TransactionRecord,
    TransactionState,
)
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import ProducerId, TimestampMs, TopicPartition

EPOCH_LAST: Final = 32_766
"""The last epoch that a producer gets."""

EPOCH_PER_TRANSACTION: Final = 2
"""The first version of transactions in which each ending raises the epoch."""

_S = TransactionState


def owned(
    record: TransactionRecord | None, transactional_id: str, identity: ProducerIdentity
) -> TransactionRecord:
    """Return the record, if it belongs to this producer."""
    if record is None or record.identity.producer_id != identity.producer_id:
        raise ApiError(ErrorName.INVALID_PRODUCER_ID_MAPPING, transactional_id=transactional_id)
    if record.identity.epoch != identity.epoch or identity.epoch > EPOCH_LAST:
        raise _fenced_off(record, identity)
    return record


def _fenced_off(record: TransactionRecord, identity: ProducerIdentity) -> ApiError:
    return ApiError(
        ErrorName.PRODUCER_FENCED,
        transactional_id=record.transactional_id,
        epoch=identity.epoch,
        current_epoch=record.identity.epoch,
    )


# --- identities ---------------------------------------------------------------------------------


def is_used_up(record: TransactionRecord) -> bool:
    """Whether the producer id has no epoch left for another producer."""
    return record.identity.epoch >= EPOCH_LAST


def ensure_may_go_on(record: TransactionRecord, expected: ProducerIdentity) -> None:
    """Refuse a producer that requests its next epoch if a newer producer exists.

    The producer may have requested it before and lost the answer, or a timeout may have aborted its
    transaction; so the owner of the epoch before is accepted as long as no other producer has appeared. This
    does not hold while a transaction is open: only the producer that began it may have it aborted.
    """
    if expected == record.identity:
        return
    before = ProducerIdentity(record.identity.producer_id, record.last_epoch)
    is_before = expected == before or _is_rolled_over(record, expected)
    if not is_before or record.last_epoch == NO_EPOCH or record.state is _S.ONGOING:
        raise _fenced_off(record, expected)


def _is_rolled_over(record: TransactionRecord, before: ProducerIdentity) -> bool:
    """Whether a producer was the last of its producer id, and this record is of the next id."""
    return (
        before == ProducerIdentity(record.previous_producer_id, EPOCH_LAST)
        and record.identity.producer_id != before.producer_id
        and record.identity.epoch == 0
    )


def initialized(
    record: TransactionRecord,
    *,
    timeout_ms: int,
    expected: ProducerIdentity | None,
    new_producer_id: ProducerId | None,
    now_ms: TimestampMs,
) -> TransactionRecord:
    """Return the record that gives a producer its identity; no transaction of the id is open or being ended.

    Args:
        expected: the identity of a producer that continues; the caller called ``ensure_may_go_on``.
        new_producer_id: the next producer id, where the present one ``is_used_up``.
    """
    identity, last_epoch = record.identity, record.last_epoch
    if new_producer_id is not None or expected is None or expected == identity:
        last_epoch = NO_EPOCH if expected is None else identity.epoch
        identity = (
            ProducerIdentity(identity.producer_id, identity.epoch + 1)
            if new_producer_id is None
            else ProducerIdentity(new_producer_id, 0)
        )
    return replace(
        record.moved_to(_S.EMPTY, now_ms),
        identity=identity,
        last_epoch=last_epoch,
        timeout_ms=timeout_ms,
        partitions=frozenset(),
        started_ms=NOT_STARTED,
    )


def first_record(
    transactional_id: str, producer_id: ProducerId, timeout_ms: int, now_ms: TimestampMs
) -> TransactionRecord:
    """Return the record of an id that was never used."""
    return TransactionRecord(
        transactional_id,
        ProducerIdentity(producer_id, 0),
        timeout_ms,
        _S.EMPTY,
        frozenset(),
        now_ms,
        previous_producer_id=producer_id,
    )


def with_next_epoch(record: TransactionRecord) -> TransactionRecord:
    """Return the record with the next epoch, so that the owner of the present one is refused."""
    identity = record.identity
    assert identity.epoch <= EPOCH_LAST
    return replace(
        record,
        identity=ProducerIdentity(identity.producer_id, identity.epoch + 1),
        last_epoch=identity.epoch,
    )


# --- the open transaction -----------------------------------------------------------------------


def joined(
    record: TransactionRecord, joining: frozenset[TopicPartition], *, version: int, now_ms: TimestampMs
) -> TransactionRecord:
    """Return the record with more partitions in the open transaction, or of a transaction that begins with
    them.
    """
    begins = record.state is not _S.ONGOING
    return replace(
        record.moved_to(_S.ONGOING, now_ms),
        partitions=joining if begins else record.partitions | joining,
        started_ms=now_ms if begins else record.started_ms,
        client_version=version,
    )


# --- endings ------------------------------------------------------------------------------------


class Prepare(Struct, frozen=True):
    """End the transaction: write this state first."""

    state: TransactionState


class GoOn(Struct, frozen=True):
    """The ending was decided and interrupted: run its next steps."""


class AlreadyEnded(Struct, frozen=True):
    """The transaction has ended in the requested way already; the answer was lost."""


Ending: TypeAlias = Prepare | GoOn | AlreadyEnded


def ending(
    record: TransactionRecord | None,
    transactional_id: str,
    identity: ProducerIdentity,
    *,
    commit: bool,
    version: int,
) -> Ending:
    """Decide what to do for a producer that ends its transaction."""
    prepared = _S.PREPARE_COMMIT if commit else _S.PREPARE_ABORT
    complete = _S.COMPLETE_COMMIT if commit else _S.COMPLETE_ABORT
    if version < EPOCH_PER_TRANSACTION:
        record = owned(record, transactional_id, identity)
        is_repeated = True
    else:
        record, is_repeated = _owned_or_before(record, transactional_id, identity)
        may_be_empty = not commit and not is_repeated
        if may_be_empty and record.state in (_S.EMPTY, _S.COMPLETE_COMMIT, _S.COMPLETE_ABORT):
            # The client does not know whether its first batch arrived, so it aborts in any case.
            return Prepare(_S.PREPARE_ABORT)
    if record.state is _S.ONGOING:
        return Prepare(prepared)
    if is_repeated and record.state is complete:
        return AlreadyEnded()
    if record.state is prepared:
        return GoOn()
    raise ApiError(
        ErrorName.INVALID_TXN_STATE, transactional_id=transactional_id, state=record.state.kafka_name
    )


def _owned_or_before(
    record: TransactionRecord | None, transactional_id: str, identity: ProducerIdentity
) -> tuple[TransactionRecord, bool]:
    """Return the record, and whether the producer has the epoch before the ending in the record."""
    if record is None:
        raise ApiError(ErrorName.INVALID_PRODUCER_ID_MAPPING, transactional_id=transactional_id)
    is_over = record.state in (_S.COMPLETE_COMMIT, _S.COMPLETE_ABORT)
    if (is_over or record.is_preparing) and _is_before(record, identity):
        return record, True
    if record.is_preparing and record.identity.producer_id == identity.producer_id:
        raise _fenced_off(record, identity)
    return owned(record, transactional_id, identity), False


def _is_before(record: TransactionRecord, identity: ProducerIdentity) -> bool:
    """Whether a producer has the epoch that the ending has raised."""
    if record.client_version < EPOCH_PER_TRANSACTION and record.last_epoch != identity.epoch:
        return False  # the ending kept the epoch, and the one before it belongs to another producer
    current = record.identity
    return identity == ProducerIdentity(current.producer_id, current.epoch - 1) or (
        _is_rolled_over(record, identity)
    )


def prepared(
    record: TransactionRecord,
    state: TransactionState,
    *,
    version: int,
    next_producer_id: ProducerId,
    now_ms: TimestampMs,
) -> TransactionRecord:
    """Return the record that decides how a producer's transaction ends; the markers carry its epoch.

    Args:
        next_producer_id: the next producer id, where this ending uses up the present id's epochs; otherwise
            none.
    """
    is_empty = record.state is not _S.ONGOING
    moved = record.moved_to(state, now_ms)
    if version >= EPOCH_PER_TRANSACTION:
        moved = with_next_epoch(moved)
    return replace(
        moved,
        next_producer_id=next_producer_id,
        client_version=version,
        partitions=frozenset() if is_empty else record.partitions,
        started_ms=now_ms if is_empty else record.started_ms,
    )


def prepared_for_others(record: TransactionRecord, now_ms: TimestampMs) -> TransactionRecord:
    """Return the record that decides to abort an open transaction without its producer.

    The record raises the epoch, so that the producer is fenced: otherwise it would add its next records to
    the aborted transaction.
    """
    return with_next_epoch(record.moved_to(_S.PREPARE_ABORT, now_ms))


def completed(record: TransactionRecord, now_ms: TimestampMs) -> TransactionRecord:
    """Return the record that all markers of a prepared ending are written."""
    state = _S.COMPLETE_COMMIT if record.state is _S.PREPARE_COMMIT else _S.COMPLETE_ABORT
    identity = record.identity
    if record.next_producer_id != NO_PRODUCER_ID:
        identity = ProducerIdentity(record.next_producer_id, 0)
    return replace(
        record.moved_to(state, now_ms),
        identity=identity,
        partitions=frozenset(),
        next_producer_id=NO_PRODUCER_ID,
    )
