"""Producer ids and transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from streamcore.log.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from streamcore.log.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from streamcore.log.protocol.messages.describe_transactions import DescribeTransactionsRequest
from streamcore.log.protocol.messages.end_txn import EndTxnRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.list_transactions import ListTransactionsRequest
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from streamcore.log.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.differential.conversation import NO_TOPIC, Conversation, Topic, error_codes
from tests.differential.registry import invalid, valid
from tests.differential.scenarios.groups import joined
from tests.differential.scenarios.positions import fetch_request
from tests.differential.scenarios.producing import batch, produce_request, producer
from tests.differential.scenarios.reading import offsets_request

_INT16_MAX: Final = 32_767


def init_request(name: str | None, timeout_ms: int = 60_000, **fields: Any) -> InitProducerIdRequest:
    """A request for a producer id."""
    return InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=timeout_ms, **fields)


def partitions_request(
    name: str, who: int, epoch: int, partitions: Mapping[str, Sequence[int]], *, verify_only: bool = False
) -> AddPartitionsToTxnRequest:
    """A request to take partitions into a transaction, in the words of before and of now."""
    topics = [AddPartitionsToTxnTopic(name=each, partitions=list(n)) for each, n in partitions.items()]
    transaction = AddPartitionsToTxnTransaction(
        transactional_id=name, producer_id=who, producer_epoch=epoch, verify_only=verify_only, topics=topics
    )
    return AddPartitionsToTxnRequest(
        transactions=[transaction],
        v3_and_below_transactional_id=name,
        v3_and_below_producer_id=who,
        v3_and_below_producer_epoch=epoch,
        v3_and_below_topics=topics,
    )


def offsets_to_txn_request(name: str, who: int, epoch: int, group: str) -> AddOffsetsToTxnRequest:
    """A request to take positions of a group into a transaction."""
    return AddOffsetsToTxnRequest(
        transactional_id=name, producer_id=who, producer_epoch=epoch, group_id=group
    )


def end_request(name: str, who: int, epoch: int, *, committed: bool = True) -> EndTxnRequest:
    """A request to end a transaction."""
    return EndTxnRequest(transactional_id=name, producer_id=who, producer_epoch=epoch, committed=committed)


def commit_request(
    name: str, who: int, epoch: int, group: str, topic: Topic, *positions: tuple[int, int], **fields: Any
) -> TxnOffsetCommitRequest:
    """A request to commit positions with a transaction."""
    metadata = fields.pop("metadata", "")
    partitions = [
        TxnOffsetCommitRequestPartition(
            partition_index=each, committed_offset=offset, committed_metadata=metadata
        )
        for each, offset in positions
    ]
    topics = [TxnOffsetCommitRequestTopic(name=topic.name, partitions=partitions)]
    return TxnOffsetCommitRequest(
        transactional_id=name, group_id=group, producer_id=who, producer_epoch=epoch, topics=topics, **fields
    )


def written(talk: Conversation, topic: Topic, name: str, who: int, epoch: int, sequence: int = 0) -> None:
    """Write a batch within a transaction, which begins with it."""
    options: dict[str, Any] = {"producer_id": who, "producer_epoch": epoch, "base_sequence": sequence}
    records = batch(talk, transactional=True, **options)
    answer = talk.prepare(produce_request(topic, records, transactional_id=name), 12)
    assert not answer.responses[0].partition_responses[0].error_code, answer


def wait_for_end(talk: Conversation, topic: Topic) -> None:
    """Wait until a transaction is ended in partition 0 of a topic, and tell where that is."""
    talk.ask_until(offsets_request(topic, (0, -1), isolation_level=1), _reaches_end(talk, topic))


def _reaches_end(talk: Conversation, topic: Topic) -> Callable[[Any], bool]:
    def reaches(answer: Any) -> bool:
        end = talk.prepare(offsets_request(topic, (0, -1)))
        return bool(answer.topics[0].partitions[0].offset == end.topics[0].partitions[0].offset)

    return reaches


@valid("InitProducerId")
def producers_are_given_ids(talk: Conversation) -> None:
    name = talk.name("producer")

    talk.ask(init_request(None))
    talk.ask(init_request(None, -1))
    talk.ask(init_request(name))
    talk.ask(init_request(name))


@valid("InitProducerId", since=3)
def a_producer_that_recovers_gets_the_next_epoch(talk: Conversation) -> None:
    name = talk.name("producer")
    first = talk.ask(init_request(name))

    for epoch in (0, 0, 1, 5, -1):
        talk.ask(init_request(name, producer_id=first.producer_id, producer_epoch=epoch))
    talk.ask(init_request(name, producer_id=first.producer_id + 1000, producer_epoch=0))


@valid("InitProducerId")
def a_new_producer_aborts_what_the_one_before_has_begun(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    written(talk, topic, name, who, epoch)

    talk.ask_until_settled(init_request(name))
    wait_for_end(talk, topic)


@invalid("InitProducerId")
def impossible_names_and_times_are_refused(talk: Conversation) -> None:
    talk.ask(init_request(""))
    for timeout_ms in (0, -1, 900_001, 2**31 - 1):
        talk.ask(init_request(talk.name(str(timeout_ms)), timeout_ms))


@invalid("InitProducerId", since=3)
def a_producer_that_recovers_is_known(talk: Conversation) -> None:
    for who, epoch in ((5, 0), (-1, 0), (5, -1), (-5, 3), (5, _INT16_MAX)):
        talk.ask(init_request(talk.name(f"{who}{epoch}"), producer_id=who, producer_epoch=epoch))
        talk.ask(init_request(None, producer_id=who, producer_epoch=epoch))


@valid("AddPartitionsToTxn")
def partitions_are_taken_into_a_transaction(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    name = talk.name("producer")
    who, epoch = producer(talk, name)

    for verify_only in (True, False, True):
        talk.ask(partitions_request(name, who, epoch, {topic.name: [0, 1]}, verify_only=verify_only))
    talk.ask(DescribeTransactionsRequest(transactional_ids=[name]))


@invalid("AddPartitionsToTxn")
def partitions_are_taken_from_its_producer_only(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)

    for verify_only in (False, True):
        options = {"verify_only": verify_only}
        talk.ask(partitions_request(name, who, epoch + 1, {topic.name: [0]}, **options))
        talk.ask(partitions_request(name, who, -1, {topic.name: [0]}, **options))
        talk.ask(partitions_request(name, who + 1000, epoch, {topic.name: [0]}, **options))
        talk.ask(partitions_request(talk.name("unknown"), who, epoch, {topic.name: [0]}, **options))
        talk.ask(partitions_request("", who, epoch, {topic.name: [0]}, **options))


@invalid("AddPartitionsToTxn")
def partitions_that_are_not_there_are_not_taken(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)

    talk.ask(partitions_request(name, who, epoch, {topic.name: [0], NO_TOPIC.name: [0]}))
    talk.ask(partitions_request(name, who, epoch, {topic.name: [0, 7, -1]}))
    talk.ask(partitions_request(name, who, epoch, {}))
    talk.ask(partitions_request(name, who, epoch, {topic.name: []}))
    talk.ask(partitions_request(name, who, epoch, {topic.name: [0, 0]}))
    talk.ask(DescribeTransactionsRequest(transactional_ids=[name]))


@invalid("AddPartitionsToTxn", since=4)
def several_transactions_are_answered_for_themselves(talk: Conversation) -> None:
    topic = talk.make_topic()
    one, other = talk.name("one"), talk.name("other")
    request = partitions_request(one, *producer(talk, one), {topic.name: [0]})
    request.transactions += partitions_request(other, *producer(talk, other), {topic.name: [0]}).transactions
    request.transactions += partitions_request(talk.name("x"), 5, 0, {topic.name: [0]}).transactions

    talk.ask(request)
    request.transactions[:] = []
    talk.ask(request)


@valid("AddOffsetsToTxn")
def positions_are_taken_into_a_transaction(talk: Conversation) -> None:
    name = talk.name("producer")
    who, epoch = producer(talk, name)

    talk.ask(offsets_to_txn_request(name, who, epoch, talk.name("group")))
    talk.ask(DescribeTransactionsRequest(transactional_ids=[name]))


@invalid("AddOffsetsToTxn")
def positions_are_taken_from_its_producer_only(talk: Conversation) -> None:
    name, group = talk.name("producer"), talk.name("group")
    who, epoch = producer(talk, name)

    talk.ask(offsets_to_txn_request(name, who, epoch + 1, group))
    talk.ask(offsets_to_txn_request(name, who + 1000, epoch, group))
    talk.ask(offsets_to_txn_request(talk.name("unknown"), who, epoch, group))
    talk.ask(offsets_to_txn_request("", who, epoch, group))
    talk.ask(offsets_to_txn_request(name, who, epoch, ""))


@valid("EndTxn")
def transactions_are_ended(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    for number, committed in enumerate((True, False)):
        written(talk, topic, name, who, epoch, number if talk.version < 5 else 0)

        ended = talk.ask_until_settled(end_request(name, who, epoch, committed=committed))
        talk.ask_until_settled(end_request(name, who, epoch, committed=committed))
        wait_for_end(talk, topic)
        if talk.version >= 5:
            who, epoch = ended.producer_id, ended.producer_epoch


@invalid("EndTxn")
def what_has_not_begun_does_not_end(talk: Conversation) -> None:
    name = talk.name("producer")
    who, epoch = producer(talk, name)

    for committed in (True, False):
        talk.ask(end_request(name, who, epoch, committed=committed))


@invalid("EndTxn")
def transactions_are_ended_by_their_producer_only(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    written(talk, topic, name, who, epoch)

    for each, when in ((who, epoch + 1), (who, epoch - 1), (who + 1000, epoch), (-1, -1)):
        talk.ask(end_request(name, each, when))
    talk.ask(end_request(talk.name("unknown"), who, epoch))
    talk.ask(end_request("", who, epoch))
    talk.ask_until_settled(end_request(name, who, epoch))
    talk.ask_until_settled(end_request(name, who, epoch, committed=False))


@valid("TxnOffsetCommit")
def positions_are_committed_with_a_transaction(talk: Conversation) -> None:
    topic = talk.make_topic()
    name, group = talk.name("producer"), talk.name("group")
    who, epoch = producer(talk, name)
    if talk.version < 5:
        talk.prepare(offsets_to_txn_request(name, who, epoch, group))

    talk.ask(commit_request(name, who, epoch, group, topic, (0, 5), metadata="note"))
    talk.ask(fetch_request(group, [(topic, [0])], require_stable=True))
    talk.ask(fetch_request(group, [(topic, [0])]))
    talk.prepare(end_request(name, who, epoch), 5 if talk.version >= 5 else 4)
    request = fetch_request(group, [(topic, [0])], require_stable=True)
    talk.ask_until(request, lambda answer: ErrorCode.UNSTABLE_OFFSET_COMMIT not in error_codes(answer))


@invalid("TxnOffsetCommit")
def positions_are_committed_by_their_producer_only(talk: Conversation) -> None:
    topic = talk.make_topic()
    name, group = talk.name("producer"), talk.name("group")
    who, epoch = producer(talk, name)
    if talk.version < 5:
        talk.prepare(offsets_to_txn_request(name, who, epoch, group))

    talk.ask(commit_request(name, who, epoch + 1, group, topic, (0, 5)))
    talk.ask(commit_request(talk.name("unknown"), who, epoch, group, topic, (0, 5)))
    talk.ask(commit_request(name, who, epoch, "", topic, (0, 5)))
    talk.ask(commit_request(name, who, epoch, group, NO_TOPIC, (0, 5)))
    talk.ask(commit_request(name, who, epoch, group, topic, (0, 5), (7, 5), (-1, 5)))
    talk.ask(commit_request(name, who, epoch, group, topic, (0, 5), metadata="x" * 5000))
    talk.ask(commit_request(name, who, epoch, group, topic))


@invalid("TxnOffsetCommit", since=3)
def positions_are_committed_for_members_only(talk: Conversation) -> None:
    topic = talk.make_topic()
    name, group = talk.name("producer"), talk.name("group")
    member, generation = joined(talk, group, group_instance_id="instance")
    who, epoch = producer(talk, name)
    if talk.version < 5:
        talk.prepare(offsets_to_txn_request(name, who, epoch, group))

    for each, when, instance in (
        (member, generation, None),
        (member, generation + 1, None),
        ("nobody", generation, None),
        ("nobody", generation, "instance"),
        (member, generation, "other"),
        ("", -1, None),
        (member, -1, None),
        ("", generation, None),
    ):
        fields = {"member_id": each, "generation_id": when, "group_instance_id": instance}
        talk.ask(commit_request(name, who, epoch, group, topic, (0, 5), **fields))


# --- markers, and looking at transactions -------------------------------------------------------------


def markers_request(
    who: int, epoch: int, topic: Topic, *numbers: int, committed: bool = False, coordinator_epoch: int = 0
) -> WriteTxnMarkersRequest:
    """A request to end a transaction in some partitions."""
    topics = [WritableTxnMarkerTopic(name=topic.name, partition_indexes=list(numbers))]
    marker = WritableTxnMarker(
        producer_id=who,
        producer_epoch=epoch,
        transaction_result=committed,
        topics=topics,
        coordinator_epoch=coordinator_epoch,
    )
    return WriteTxnMarkersRequest(markers=[marker])


@valid("WriteTxnMarkers")
def a_transaction_is_ended_in_a_partition(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    written(talk, topic, name, who, epoch)

    talk.ask(markers_request(who, epoch, topic, 0))
    wait_for_end(talk, topic)
    talk.ask(producers_request(topic, 0))


@invalid("WriteTxnMarkers")
def markers_are_written_where_there_is_something_to_end(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, epoch = producer(talk, talk.name("producer"))

    talk.ask(markers_request(who, epoch, topic, 0, committed=True))
    talk.ask(markers_request(who, epoch, topic, 0, 1, -1))
    talk.ask(markers_request(who, epoch, NO_TOPIC, 0))
    talk.ask(markers_request(4711, 5, topic, 0))
    talk.ask(markers_request(who, epoch, topic))
    talk.ask(WriteTxnMarkersRequest(markers=[]))


def producers_request(topic: Topic, *numbers: int) -> DescribeProducersRequest:
    """A request about who writes to partitions."""
    return DescribeProducersRequest(topics=[TopicRequest(name=topic.name, partition_indexes=list(numbers))])


@valid("DescribeProducers")
def who_writes_to_a_partition_is_told(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    written(talk, topic, name, who, epoch)
    talk.ask(producers_request(topic, 0, 1))
    talk.prepare(end_request(name, who, epoch), 4)
    wait_for_end(talk, topic)

    talk.ask(producers_request(topic, 0))


@invalid("DescribeProducers")
def nobody_writes_to_what_is_not_there(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(producers_request(topic, 0, 1, -1))
    talk.ask(producers_request(NO_TOPIC, 0))
    talk.ask(DescribeProducersRequest(topics=[]))


@valid("DescribeTransactions")
def transactions_are_described(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)
    name, idle = talk.name("producer"), talk.name("idle")
    who, epoch = producer(talk, name)
    producer(talk, idle)
    written(talk, topic, name, who, epoch)

    talk.ask(DescribeTransactionsRequest(transactional_ids=[name, idle]))


@invalid("DescribeTransactions")
def transactions_that_are_not_there_are_not_described(talk: Conversation) -> None:
    talk.ask(DescribeTransactionsRequest(transactional_ids=[talk.name("unknown"), ""]))
    talk.ask(DescribeTransactionsRequest(transactional_ids=[]))
    name = talk.name("producer")
    producer(talk, name)
    talk.ask(DescribeTransactionsRequest(transactional_ids=[name, name]))


def list_request(
    states: Sequence[str] = (), producers: Sequence[int] = (), **fields: Any
) -> ListTransactionsRequest:
    """A request for transactions."""
    return ListTransactionsRequest(state_filters=list(states), producer_id_filters=list(producers), **fields)


@valid("ListTransactions")
def transactions_are_listed(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    written(talk, topic, name, who, epoch)

    talk.ask(list_request(), own=True)
    for states in (["Ongoing"], ["Empty"], ["CompleteCommit", "Ongoing"]):
        talk.ask(list_request(states), own=True)
    talk.ask(list_request(producers=[who]))
    if talk.version >= 1:
        for duration_ms in (0, 1, 1_000_000, -5):
            talk.ask(list_request(duration_filter=duration_ms), own=True)
    if talk.version >= 2:
        for pattern in (None, "", name, ".*", ".*producer", "[a-z"):
            talk.ask(list_request(transactional_id_pattern=pattern), own=True)


@invalid("ListTransactions")
def states_that_do_not_exist_are_told(talk: Conversation) -> None:
    producer(talk, talk.name("producer"))

    for states in (["Unheard"], ["Unheard", "Empty"], [""], ["empty"], ["Dead"]):
        talk.ask(list_request(states), own=True)
    talk.ask(list_request(producers=[-1, 4711]))
