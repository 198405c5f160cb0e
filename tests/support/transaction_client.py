"""A client that asks about transactions in any version, request by request, and gives back the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from streamcore.log.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from streamcore.log.protocol.messages.describe_transactions import (
    DescribeTransactionsRequest,
    TransactionState,
)
from streamcore.log.protocol.messages.end_txn import EndTxnRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.support.serving import batch, produce_request
from tests.support.wire_client import WireClient

NOBODY = ProducerIdentity(-1, -1)
_BATCHED_FROM = 4
_TIMEOUT_MS = 60_000


class TransactionClient:
    """Requests of a transactional producer, by hand."""

    def __init__(self, client: WireClient) -> None:
        self.client = client

    def init(
        self,
        name: str | None,
        expected: ProducerIdentity = NOBODY,
        *,
        timeout_ms: int = _TIMEOUT_MS,
        version: int = 5,
    ) -> tuple[ErrorCode, ProducerIdentity]:
        request = InitProducerIdRequest(
            transactional_id=name,
            transaction_timeout_ms=timeout_ms,
            producer_id=expected.producer_id,
            producer_epoch=expected.epoch,
        )
        answer = self.client.ask(request, version)
        return ErrorCode(answer.error_code), ProducerIdentity(answer.producer_id, answer.producer_epoch)

    def begin(self, name: str) -> ProducerIdentity:
        """The identity of a new producer."""
        code, identity = self.init(name)
        assert code is ErrorCode.NONE
        return identity

    def add_partitions(
        self,
        name: str,
        identity: ProducerIdentity,
        partitions: Mapping[str, Sequence[int]],
        *,
        version: int = 3,
        verify_only: bool = False,
    ) -> list[ErrorCode]:
        topics = [
            AddPartitionsToTxnTopic(name=topic, partitions=list(numbers))
            for topic, numbers in partitions.items()
        ]
        if version < _BATCHED_FROM:
            request = AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=name,
                v3_and_below_producer_id=identity.producer_id,
                v3_and_below_producer_epoch=identity.epoch,
                v3_and_below_topics=topics,
            )
            results = self.client.ask(request, version).results_by_topic_v3_and_below
        else:
            transaction = AddPartitionsToTxnTransaction(
                transactional_id=name,
                producer_id=identity.producer_id,
                producer_epoch=identity.epoch,
                verify_only=verify_only,
                topics=topics,
            )
            answer = self.client.ask(AddPartitionsToTxnRequest(transactions=[transaction]), version)
            if answer.error_code:
                return [ErrorCode(answer.error_code)]
            results = answer.results_by_transaction[0].topic_results
        return [
            ErrorCode(each.partition_error_code) for topic in results for each in topic.results_by_partition
        ]

    def add_offsets(
        self, name: str, identity: ProducerIdentity, group: str, *, version: int = 4
    ) -> ErrorCode:
        request = AddOffsetsToTxnRequest(
            transactional_id=name,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            group_id=group,
        )
        return ErrorCode(self.client.ask(request, version).error_code)

    def commit_offsets(
        self,
        name: str,
        identity: ProducerIdentity,
        group: str,
        offsets: Mapping[str, int],
        *,
        version: int = 5,
        metadata: str = "",
    ) -> list[ErrorCode]:
        """Commit an offset of partition 0 of each topic."""
        topics = [
            TxnOffsetCommitRequestTopic(
                name=topic,
                partitions=[
                    TxnOffsetCommitRequestPartition(
                        partition_index=0, committed_offset=offset, committed_metadata=metadata
                    )
                ],
            )
            for topic, offset in offsets.items()
        ]
        request = TxnOffsetCommitRequest(
            transactional_id=name,
            group_id=group,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            topics=topics,
        )
        answer = self.client.ask(request, version)
        return [ErrorCode(each.error_code) for topic in answer.topics for each in topic.partitions]

    def produce(
        self,
        name: str | None,
        identity: ProducerIdentity,
        topic: str,
        *,
        sequence: int = 0,
        value: bytes = b"v",
        version: int = 12,
        transactional: bool = True,
    ) -> ErrorCode:
        records = batch(
            value,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            base_sequence=sequence,
            transactional=transactional,
        )
        request = produce_request(topic, records)
        request.transactional_id = name
        answer = self.client.ask(request, version).responses[0].partition_responses[0]
        return ErrorCode(answer.error_code)

    def end(
        self, name: str, identity: ProducerIdentity, *, commit: bool = True, version: int = 5
    ) -> tuple[ErrorCode, ProducerIdentity]:
        request = EndTxnRequest(
            transactional_id=name,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            committed=commit,
        )
        answer = self.client.ask(request, version)
        return ErrorCode(answer.error_code), ProducerIdentity(answer.producer_id, answer.producer_epoch)

    def describe(self, name: str) -> TransactionState:
        answer = self.client.ask(DescribeTransactionsRequest(transactional_ids=[name]), 0)
        (state,) = answer.transaction_states
        assert isinstance(state, TransactionState)
        return state
