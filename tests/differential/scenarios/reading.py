"""Fetch, ListOffsets, OffsetForLeaderEpoch and DeleteRecords: what is in a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamcore.log.protocol.fields import ZERO_UUID
from streamcore.log.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from streamcore.log.protocol.messages.end_txn import EndTxnRequest
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from tests.differential.conversation import NO_TOPIC, Conversation, Topic
from tests.differential.registry import invalid, valid
from tests.differential.scenarios.producing import batch, produce_request, producer

_NO_WAIT: Final[dict[str, Any]] = {"max_wait_ms": 0, "min_bytes": 0}
_SPECIAL_TIMES: Final = (-1, -2, -3, -4, -5, -6)


def fetch_topic(topic: Topic, *partitions: tuple[int, int], **fields: Any) -> FetchTopic:
    """A topic of a fetch: the numbers of partitions, each with its offset."""
    wanted = [
        FetchPartition(**{"partition": each, "fetch_offset": at, "partition_max_bytes": 1_000_000} | fields)
        for each, at in partitions
    ]
    return FetchTopic(topic=topic.name, topic_id=topic.topic_id, partitions=wanted)


def fetch_request(topics: Sequence[FetchTopic], **fields: Any) -> FetchRequest:
    """A request that does not wait."""
    return FetchRequest(topics=list(topics), **(_NO_WAIT | fields))


def filled_topic(talk: Conversation, **options: Any) -> Topic:
    """A topic with three batches, of one, two and three records."""
    topic = talk.make_topic(**options)
    for count in (1, 2, 3):
        talk.prepare(produce_request(topic, batch(talk, [b"value %d" % count] * count)))
    return topic


@valid("Fetch")
def batches_are_read_from_an_offset_on(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for offset in (0, 1, 2, 5, 6):
        talk.ask(fetch_request([fetch_topic(topic, (0, offset))]))


@valid("Fetch")
def several_partitions_are_read_at_once(talk: Conversation) -> None:
    topic, other = filled_topic(talk, partitions=2), filled_topic(talk, role="other")

    talk.ask(fetch_request([fetch_topic(topic, (0, 0), (1, 0)), fetch_topic(other, (0, 3))]))


@valid("Fetch")
def a_batch_is_given_whole_even_where_it_is_larger_than_asked_for(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for partition_max_bytes, max_bytes in ((1, 1), (100, 10_000), (10_000, 100), (0, 10_000), (10_000, 0)):
        wanted = fetch_topic(topic, (0, 0), partition_max_bytes=partition_max_bytes)
        talk.ask(fetch_request([wanted], max_bytes=max_bytes))


@valid("Fetch")
def a_fetch_waits_for_its_time_where_there_is_too_little(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(fetch_request([fetch_topic(topic, (0, 6))], max_wait_ms=50, min_bytes=1))
    talk.ask(fetch_request([fetch_topic(topic, (0, 0))], max_wait_ms=50, min_bytes=1_000_000))


@valid("Fetch")
def a_fetch_of_nothing_is_answered(talk: Conversation) -> None:
    talk.ask(fetch_request([]))


@valid("Fetch")
def who_reads_what_is_committed_is_told_of_aborted_transactions(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    for committed in (False, True):
        who, epoch = producer(talk, name)
        records = batch(talk, producer_id=who, producer_epoch=epoch, base_sequence=0, transactional=True)
        talk.prepare(produce_request(topic, records, transactional_id=name))
        end = EndTxnRequest(transactional_id=name, producer_id=who, producer_epoch=epoch, committed=committed)
        talk.prepare(end, 4)
    who, epoch = producer(talk, name)
    records = batch(talk, producer_id=who, producer_epoch=epoch, base_sequence=0, transactional=True)
    talk.prepare(produce_request(topic, records, transactional_id=name))

    for isolation in (0, 1):
        for offset in (0, 2, 4):
            talk.ask(fetch_request([fetch_topic(topic, (0, offset))], isolation_level=isolation))


@valid("Fetch", since=7)
def a_session_remembers_what_is_read(talk: Conversation) -> None:
    topic = filled_topic(talk, partitions=2)

    first = talk.ask(fetch_request([fetch_topic(topic, (0, 0), (1, 0))], session_epoch=0))
    talk.ask(fetch_request([], session_id=first.session_id, session_epoch=1))


@invalid("Fetch", since=7)
def a_session_that_is_not_there_is_refused(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for session, epoch in ((4711, 1), (4711, -1), (0, 1), (0, 2)):
        wanted = [fetch_topic(topic, (0, 0))]
        talk.ask(fetch_request(wanted, session_id=session, session_epoch=epoch))


@invalid("Fetch", since=7)
def what_was_never_read_may_be_forgotten(talk: Conversation) -> None:
    topic = filled_topic(talk)
    forgotten = ForgottenTopic(topic=topic.name, topic_id=topic.topic_id, partitions=[0, 5])

    wanted = [fetch_topic(topic, (0, 0))]
    talk.ask(fetch_request(wanted, session_epoch=-1, forgotten_topics_data=[forgotten]))


@invalid("Fetch")
def an_offset_beyond_the_log_is_out_of_range(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for offset in (7, 1_000_000, -1, -2):
        talk.ask(fetch_request([fetch_topic(topic, (0, offset))]))


@invalid("Fetch")
def what_is_not_there_is_not_read(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(fetch_request([fetch_topic(NO_TOPIC, (0, 0)), fetch_topic(topic, (0, 0), (1, 0), (-1, 0))]))
    talk.ask(fetch_request([fetch_topic(NO_TOPIC, (0, 0))]))


@invalid("Fetch", since=13)
def a_topic_has_an_id(talk: Conversation) -> None:
    talk.ask(fetch_request([fetch_topic(Topic("", ZERO_UUID), (0, 0))]))


@invalid("Fetch", since=9)
def a_reader_with_another_leader_epoch_is_told_so(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for epoch in (-1, -2, 0, 1, 100):
        talk.ask(fetch_request([fetch_topic(topic, (0, 0), current_leader_epoch=epoch)]))


@invalid("Fetch", since=12)
def a_reader_that_has_read_another_history_is_told_so(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for offset, epoch in ((3, 0), (3, 5), (3, -2), (100, 0)):
        talk.ask(fetch_request([fetch_topic(topic, (0, offset), last_fetched_epoch=epoch)]))


@invalid("Fetch")
def a_partition_that_is_named_twice_is_read(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(fetch_request([fetch_topic(topic, (0, 0), (0, 3))]))
    talk.ask(fetch_request([fetch_topic(topic, (0, 0)), fetch_topic(topic, (0, 3))]))


@invalid("Fetch")
def levels_of_isolation_that_do_not_exist(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(fetch_request([fetch_topic(topic, (0, 0))], isolation_level=2))


@invalid("Fetch")
def negative_sizes_and_times(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(fetch_request([fetch_topic(topic, (0, 0))], max_bytes=-1))
    talk.ask(fetch_request([fetch_topic(topic, (0, 0), partition_max_bytes=-1)]))
    talk.ask(fetch_request([fetch_topic(topic, (0, 6))], max_wait_ms=-1, min_bytes=1))
    talk.ask(fetch_request([fetch_topic(topic, (0, 6))], max_wait_ms=10, min_bytes=-1))


@invalid("Fetch", until=14)
def a_follower_is_no_replica(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for replica in (1, 5, -2, -3):
        for epoch in (-1, 0, 3):
            wanted = fetch_topic(topic, (0, 0), current_leader_epoch=epoch)
            talk.ask(fetch_request([wanted], replica_id=replica))


# --- offsets ------------------------------------------------------------------------------------------


def offsets_request(topic: Topic, *partitions: tuple[int, int], **fields: Any) -> ListOffsetsRequest:
    """A request for offsets at times: numbers of partitions, each with a time."""
    epoch = fields.pop("current_leader_epoch", -1)
    wanted = [
        ListOffsetsPartition(partition_index=each, timestamp=at, current_leader_epoch=epoch)
        for each, at in partitions
    ]
    topics = [ListOffsetsTopic(name=topic.name, partitions=wanted)]
    standard: dict[str, Any] = {"replica_id": -1, "topics": topics}
    return ListOffsetsRequest(**(standard | fields))


@valid("ListOffsets")
def offsets_are_found_by_time(talk: Conversation) -> None:
    topic = talk.make_topic()
    for number in range(3):
        records = batch(talk, [b"v"] * 3, timestamp_ms=talk.now_ms - 10_000_000 + 100 * number)
        talk.prepare(produce_request(topic, records))

    for after_ms in (-1, 0, 1, 2, 50, 100, 202, 203, 1000):
        talk.ask(offsets_request(topic, (0, talk.now_ms - 10_000_000 + after_ms)))
    talk.ask(offsets_request(topic, (0, 0)))


@valid("ListOffsets")
def special_times_have_meanings(talk: Conversation) -> None:
    topic = filled_topic(talk, partitions=2)

    for special in _SPECIAL_TIMES[: _special_times(talk.version)]:
        talk.ask(offsets_request(topic, (0, special), (1, special)))


def _special_times(version: int) -> int:
    """How many of the special times a version has."""
    return 2 + sum(version >= since for since in (7, 8, 9, 11))


@valid("ListOffsets", since=2)
def who_reads_what_is_committed_has_another_end(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    talk.prepare(produce_request(topic, batch(talk)))
    records = batch(talk, producer_id=who, producer_epoch=epoch, base_sequence=0, transactional=True)
    talk.prepare(produce_request(topic, records, transactional_id=name))

    for isolation in (0, 1):
        for when in (-1, -2, talk.now_ms - 20_000_000):
            talk.ask(offsets_request(topic, (0, when), isolation_level=isolation))


@invalid("ListOffsets")
def times_that_a_version_does_not_know_are_refused(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for special in (*_SPECIAL_TIMES[_special_times(talk.version) :], -7, -100):
        talk.ask(offsets_request(topic, (0, special)))


@invalid("ListOffsets")
def what_is_not_there_has_no_offsets(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(offsets_request(topic, (0, -1), (1, -1), (-1, -1)))
    for when in (-1, -2, 0):
        talk.ask(offsets_request(NO_TOPIC, (0, when)))


@invalid("ListOffsets")
def a_partition_that_is_named_twice_has_no_offset(talk: Conversation) -> None:
    topic = filled_topic(talk)

    talk.ask(offsets_request(topic, (0, -1), (0, -2)))
    request = offsets_request(topic, (0, -1))
    request.topics.append(offsets_request(topic, (0, -2)).topics[0])
    talk.ask(request)


@invalid("ListOffsets", since=4)
def offsets_are_not_told_under_another_leader_epoch(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for epoch in (0, 1, 50, -2):
        for when in (-1, 0):
            talk.ask(offsets_request(topic, (0, when), current_leader_epoch=epoch))


@invalid("ListOffsets")
def offsets_for_other_replicas(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for replica in (-2, 0, 1, 7):
        talk.ask(offsets_request(topic, (0, -1), replica_id=replica))


@invalid("ListOffsets")
def no_topics_have_no_offsets(talk: Conversation) -> None:
    talk.ask(ListOffsetsRequest(replica_id=-1, topics=[]))
    talk.ask(offsets_request(filled_topic(talk)))


# --- leader epochs ------------------------------------------------------------------------------------


def epoch_request(topic: Topic, *partitions: tuple[int, int, int]) -> OffsetForLeaderEpochRequest:
    """A request for the ends of epochs: numbers of partitions, each with its leader epoch and the asked."""
    wanted = [
        OffsetForLeaderPartition(partition=each, current_leader_epoch=current, leader_epoch=epoch)
        for each, current, epoch in partitions
    ]
    topics = [OffsetForLeaderTopic(topic=topic.name, partitions=wanted)]
    return OffsetForLeaderEpochRequest(replica_id=-1, topics=topics)


@valid("OffsetForLeaderEpoch")
def the_end_of_an_epoch_is_told(talk: Conversation) -> None:
    topic = filled_topic(talk, partitions=2)

    talk.ask(epoch_request(topic, (0, -1, 0), (1, 0, 0)))


@invalid("OffsetForLeaderEpoch")
def epochs_that_never_were_have_no_end(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for current, epoch in ((-1, 1), (-1, -1), (-1, -5), (0, 7), (1, 0), (-2, 0)):
        talk.ask(epoch_request(topic, (0, current, epoch)))
    talk.ask(epoch_request(topic, (1, -1, 0), (-1, -1, 0)))
    talk.ask(epoch_request(NO_TOPIC, (0, -1, 0)))
    talk.ask(OffsetForLeaderEpochRequest(topics=[]))


@invalid("OffsetForLeaderEpoch", since=3)
def replicas_may_ask_too(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for replica in (-2, 1, 7):
        request = epoch_request(topic, (0, -1, 0))
        request.replica_id = replica
        talk.ask(request)


# --- deletion -----------------------------------------------------------------------------------------


def delete_request(topic: Topic, *partitions: tuple[int, int]) -> DeleteRecordsRequest:
    """A request to delete what is before offsets: numbers of partitions, each with an offset."""
    wanted = [DeleteRecordsPartition(partition_index=each, offset=to) for each, to in partitions]
    topics = [DeleteRecordsTopic(name=topic.name, partitions=wanted)]
    return DeleteRecordsRequest(topics=topics, timeout_ms=5000)


@valid("DeleteRecords")
def records_are_deleted_up_to_an_offset(talk: Conversation) -> None:
    topic = filled_topic(talk, partitions=2)

    for offset in (2, 1, -1, 6):
        talk.ask(delete_request(topic, (0, offset), (1, 0)))
        talk.ask(fetch_request([fetch_topic(topic, (0, 5))]))
    talk.ask(offsets_request(topic, (0, -2)))
    talk.ask(offsets_request(topic, (0, 0)))


@invalid("DeleteRecords")
def what_is_not_there_is_not_deleted(talk: Conversation) -> None:
    topic = filled_topic(talk)

    for offset in (7, -2):
        talk.ask(delete_request(topic, (0, offset), (1, 0), (-1, 0)))
    talk.ask(delete_request(NO_TOPIC, (0, 0)))
    talk.ask(delete_request(Topic("__consumer_offsets", bytes(16)), (0, 0)))
    talk.ask(delete_request(topic, (0, 1), (0, 2)))
    talk.ask(DeleteRecordsRequest(topics=[], timeout_ms=1000))
