"""Produce: batches of every kind, good and bad."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from streamcore.log.records.batch import patch_checksum
from streamcore.log.records.builder import encode_batch
from tests.differential.conversation import NO_TOPIC, Conversation, Topic
from tests.differential.registry import invalid, valid

_THREE_HOURS_MS: Final = 3 * 3_600_000
_DAY_MS: Final = 24 * 3_600_000
_MAGIC_AT: Final = 16
_ATTRIBUTES_AT: Final = 21
_LAST_OFFSET_DELTA_AT: Final = 23
_COUNT_AT: Final = 57


def batch(talk: Conversation, values: Sequence[bytes | None] = (b"v",), **options: Any) -> bytearray:
    """A batch of these values."""
    then_ms = options.pop("timestamp_ms", talk.now_ms - _THREE_HOURS_MS)
    keys = options.pop("keys", [None] * len(values))
    return encode_batch(keys, values, [then_ms + index for index in range(len(values))], **options)


def produce_request(
    topic: Topic, *batches: bytes | bytearray | None, acks: int = -1, **fields: Any
) -> ProduceRequest:
    """A request with a batch for each of the topic's first partitions."""
    data = [PartitionProduceData(index=index, records=each) for index, each in enumerate(batches)]
    topics = [TopicProduceData(name=topic.name, topic_id=topic.topic_id, partition_data=data)]
    return ProduceRequest(acks=acks, timeout_ms=5000, topic_data=topics, **fields)


def producer(talk: Conversation, name: str | None = None, **fields: Any) -> tuple[int, int]:
    """A new producer's id and epoch."""
    request = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=60_000, **fields)
    answer = talk.prepare(request)
    assert not answer.error_code, answer
    talk.know("producer_id", answer.producer_id)
    return answer.producer_id, answer.producer_epoch


@valid("Produce")
def batches_are_appended_to_several_partitions(talk: Conversation) -> None:
    topic = talk.make_topic(partitions=2)

    talk.ask(produce_request(topic, batch(talk), batch(talk, [b"a", b"b", None])))
    talk.ask(produce_request(topic, batch(talk, [b"c"]), batch(talk)))


@valid("Produce")
def a_batch_of_each_compression_is_appended(talk: Conversation) -> None:
    topic = talk.make_topic()

    for name in ("gzip", "snappy", "lz4", "zstd"):
        talk.ask(produce_request(topic, batch(talk, [b"v" * 200] * 3, compression=name)))


@valid("Produce")
def the_leader_alone_may_acknowledge(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk), acks=1))


@valid("Produce")
def nothing_is_answered_where_no_acknowledgement_is_asked_for(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.tell(produce_request(topic, batch(talk), acks=0))
    talk.ask(produce_request(topic, batch(talk), acks=1))


@valid("Produce")
def a_request_without_topics_is_answered(talk: Conversation) -> None:
    talk.ask(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[]))


@valid("Produce")
def a_topic_may_stamp_records_itself(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"message.timestamp.type": "LogAppendTime"})

    talk.ask(produce_request(topic, batch(talk)))


@valid("Produce")
def a_topic_may_compress_records_itself(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"compression.type": "gzip"})

    talk.ask(produce_request(topic, batch(talk, [b"v" * 100] * 5)))


@valid("Produce")
def a_batch_is_acknowledged_again_but_written_once(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, epoch = producer(talk)
    first = batch(talk, [b"a", b"b"], producer_id=who, producer_epoch=epoch, base_sequence=0)
    second = batch(talk, [b"c"], producer_id=who, producer_epoch=epoch, base_sequence=2)

    for each in (first, second, first, second):
        talk.ask(produce_request(topic, bytearray(each)))


@invalid("Produce")
def acknowledgements_by_two_brokers_are_not_to_be_had(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk), acks=2))
    talk.ask(produce_request(topic, batch(talk), acks=-2))


@invalid("Produce")
def a_topic_that_is_not_there_takes_nothing(talk: Conversation) -> None:
    talk.ask(produce_request(NO_TOPIC, batch(talk)))
    talk.ask(produce_request(NO_TOPIC, batch(talk), acks=1))


@invalid("Produce")
def nothing_is_written_to_a_partition_that_is_not_there(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk), batch(talk)))
    for number in (-1, 7):
        request = produce_request(topic, batch(talk))
        request.topic_data[0].partition_data[0].index = number
        talk.ask(request)


@invalid("Produce")
def an_unwanted_batch_closes_the_connection_where_no_answer_was_asked_for(talk: Conversation) -> None:
    talk.tell(produce_request(NO_TOPIC, batch(talk), acks=0))
    talk.ask(produce_request(NO_TOPIC, batch(talk), acks=1))


@invalid("Produce")
def a_batch_with_a_wrong_checksum_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    damaged = batch(talk)
    damaged[-1] ^= 1

    talk.ask(produce_request(topic, damaged))


@invalid("Produce")
def no_records_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, b""))


@invalid("Produce", since=13)
def null_records_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, None))


@invalid("Produce")
def a_batch_that_is_cut_off_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk, [b"v" * 50])[:-10]))


@invalid("Produce")
def less_than_a_header_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk)[:30]))


@invalid("Produce")
def two_batches_for_a_partition_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk) + batch(talk)))


@invalid("Produce")
def formats_of_other_versions_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    for magic in (0, 1, 3, -1):
        changed = batch(talk)
        struct.pack_into(">b", changed, _MAGIC_AT, magic)
        talk.ask(produce_request(topic, changed))


@invalid("Produce")
def a_message_of_the_format_before_batches_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    message = struct.pack(">bbqi", 1, 0, talk.now_ms, -1) + struct.pack(">i", 1) + b"v"
    message = struct.pack(">I", 0) + message

    talk.ask(produce_request(topic, struct.pack(">qi", 0, len(message)) + message))


@invalid("Produce")
def a_batch_that_is_too_large_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"max.message.bytes": "300"})

    talk.ask(produce_request(topic, batch(talk, [b"v" * 400])))


@invalid("Produce")
def a_wrong_count_of_records_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    for at, count in ((_COUNT_AT, 5), (_LAST_OFFSET_DELTA_AT, 4), (_COUNT_AT, 0)):
        changed = batch(talk, [b"a", b"b"])
        struct.pack_into(">i", changed, at, count)
        patch_checksum(changed)
        talk.ask(produce_request(topic, changed))


@invalid("Produce")
def attributes_that_clients_may_not_set_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    for attributes in (0x20, 0x40, 0x05, 0x07, 0x80):
        changed = batch(talk)
        struct.pack_into(">h", changed, _ATTRIBUTES_AT, attributes)
        patch_checksum(changed)
        talk.ask(produce_request(topic, changed))


@invalid("Produce")
def a_client_may_not_stamp_a_batch_with_the_time_of_its_append(talk: Conversation) -> None:
    topic = talk.make_topic()
    changed = batch(talk)
    struct.pack_into(">h", changed, _ATTRIBUTES_AT, 0x08)
    patch_checksum(changed)

    talk.ask(produce_request(topic, changed))


@invalid("Produce")
def a_batch_of_fewer_than_no_records_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    changed = batch(talk)
    struct.pack_into(">i", changed, _COUNT_AT, -1)
    patch_checksum(changed)

    talk.ask(produce_request(topic, changed))


@invalid("Produce")
def a_record_without_a_key_is_refused_where_keys_are_needed(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"cleanup.policy": "compact"})

    talk.ask(produce_request(topic, batch(talk, [b"a", b"b"], keys=[b"k", None])))
    talk.ask(produce_request(topic, batch(talk, [b"a"], keys=[b"k"])))
    several = [None, *[b"k"] * 9, None]
    talk.ask(produce_request(topic, batch(talk, [b"v"] * 11, keys=several)))
    talk.ask(produce_request(topic, batch(talk, [b"v"] * 11, keys=several, compression="gzip")))
    talk.ask(produce_request(topic, batch(talk, [b"v"] * 5, keys=[None] * 5)))


@invalid("Produce")
def records_of_the_future_are_refused(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(produce_request(topic, batch(talk, timestamp_ms=talk.now_ms + _DAY_MS)))
    talk.ask(produce_request(topic, batch(talk, timestamp_ms=0)))
    later_ms = talk.now_ms + _DAY_MS
    times_ms = [talk.now_ms, later_ms, talk.now_ms, later_ms + 1, 5]
    talk.ask(produce_request(topic, encode_batch([None] * 5, [b"v"] * 5, times_ms)))


@invalid("Produce")
def all_bad_records_of_a_batch_are_named_keys_and_times(talk: Conversation) -> None:
    topic = talk.make_topic(
        settings={"cleanup.policy": "compact", "message.timestamp.before.max.ms": str(_DAY_MS)}
    )
    times_ms = [talk.now_ms, talk.now_ms + _DAY_MS, talk.now_ms, 7, talk.now_ms, -1]
    keys = [None, b"k", b"k", b"k", None, b"k"]
    talk.ask(produce_request(topic, encode_batch(keys, [b"v"] * 6, times_ms)))
    talk.ask(produce_request(topic, encode_batch(keys[:3], [b"v"] * 3, [talk.now_ms] * 3)))


@invalid("Produce")
def records_of_the_past_are_refused_where_the_topic_says_so(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"message.timestamp.before.max.ms": "1000"})

    talk.ask(produce_request(topic, batch(talk)))


@invalid("Produce")
def a_sequence_that_is_out_of_order_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, epoch = producer(talk)

    for sequence in (0, 5, 1, 0, 3, 2):
        each = batch(talk, producer_id=who, producer_epoch=epoch, base_sequence=sequence)
        talk.ask(produce_request(topic, each))


@invalid("Produce")
def a_new_producer_may_begin_anywhere_but_a_new_epoch_at_zero(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, epoch = producer(talk)

    for later, sequence in ((0, 7), (0, 8), (1, 9), (1, 0), (0, 9)):
        each = batch(talk, producer_id=who, producer_epoch=epoch + later, base_sequence=sequence)
        talk.ask(produce_request(topic, each))


@invalid("Produce")
def a_producer_without_a_sequence_or_an_epoch_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, _ = producer(talk)

    for epoch, sequence in ((0, -1), (-1, 0), (-1, -1)):
        each = batch(talk, producer_id=who, producer_epoch=epoch, base_sequence=sequence)
        talk.ask(produce_request(topic, each))


@invalid("Produce")
def a_producer_that_nobody_made_is_taken_at_its_word(talk: Conversation) -> None:
    topic = talk.make_topic()

    each = batch(talk, producer_id=987_654_321, producer_epoch=3, base_sequence=0)
    talk.ask(produce_request(topic, each))


@invalid("Produce")
def a_topic_named_twice_is_answered_as_it_comes(talk: Conversation) -> None:
    topic = talk.make_topic()
    request = produce_request(topic, batch(talk))
    request.topic_data.append(produce_request(topic, batch(talk, [b"again"])).topic_data[0])

    talk.ask(request)


@invalid("Produce")
def nobody_writes_to_the_topics_of_the_broker(talk: Conversation) -> None:
    request = produce_request(Topic("__consumer_offsets", bytes(16)), batch(talk, [b"a"], keys=[b"k"]))

    if talk.version <= 12:
        talk.ask(request)


@invalid("Produce")
def a_transactional_batch_without_a_transaction_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    options: dict[str, Any] = {"producer_id": who, "producer_epoch": epoch, "transactional": True}

    talk.ask(produce_request(topic, batch(talk, base_sequence=0, **options)))
    talk.ask(produce_request(topic, batch(talk, base_sequence=0, **options), transactional_id=name))


@invalid("Produce")
def a_batch_outside_of_the_transaction_is_refused_while_it_is_open(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    options: dict[str, Any] = {"producer_id": who, "producer_epoch": epoch}
    first = batch(talk, base_sequence=0, transactional=True, **options)
    talk.prepare(produce_request(topic, first, transactional_id=name), 12)

    talk.ask(produce_request(topic, batch(talk, base_sequence=1, **options), transactional_id=name))
    talk.ask(produce_request(topic, batch(talk, base_sequence=1, **options)))


@invalid("Produce", since=12)
def a_batch_in_the_name_of_another_producer(talk: Conversation) -> None:
    topic = talk.make_topic()
    who, epoch = producer(talk, talk.name("producer"))
    options: dict[str, Any] = {"producer_id": who, "producer_epoch": epoch, "transactional": True}

    other = talk.name("somebody-else")
    talk.ask(produce_request(topic, batch(talk, base_sequence=0, **options), transactional_id=other))


@invalid("Produce")
def a_fenced_transactional_producer_is_refused(talk: Conversation) -> None:
    topic = talk.make_topic()
    name = talk.name("producer")
    who, epoch = producer(talk, name)
    _, newer = producer(talk, name)

    for each, sequence in ((epoch, 0), (newer, 0), (epoch, 1), (newer + 1, 0)):
        records = batch(
            talk, producer_id=who, producer_epoch=each, base_sequence=sequence, transactional=True
        )
        talk.ask(produce_request(topic, records, transactional_id=name))
