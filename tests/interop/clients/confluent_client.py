"""confluent-kafka (librdkafka) as a client under test; the steps are described in ``steps.py``."""

from __future__ import annotations

import platform
import time
from concurrent.futures import Future
from importlib.metadata import version
from typing import Any

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.interop.clients.steps import (
    asked_to_stop,
    call,
    encoded,
    encoded_headers,
    expect,
    refused,
    run,
    say,
    say_record,
)

LIMIT_S = 30.0


def versions(address: str) -> None:
    say(
        client=f"{version('confluent-kafka')} (librdkafka {confluent_kafka.libversion()[0]})",
        runtime=f"Python {platform.python_version()}",
    )


def produce(address: str, topic: str, codec: str, records: list[dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": address, "compression.type": codec, "linger.ms": 20})
    for record in records:
        producer.produce(
            topic,
            key=encoded(record["key"]),
            value=encoded(record["value"]),
            headers=encoded_headers(record["headers"]),
            partition=record["partition"],
            on_delivery=_raise_failure,
        )
    expect(producer.flush(LIMIT_S) == 0, "records are left in the producer's queue")
    say(produced=len(records))


def _raise_failure(error: Any, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def consume(address: str, topic: str, count: int, isolation: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": f"{topic}-reader",
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, each, 0) for each in partitions])
    seen = 0
    while seen < count:
        seen += _say_next(consumer) is not None
    consumer.close()


def _say_next(consumer: Consumer) -> Message | None:
    message = consumer.poll(0.2)
    if message is None or (message.error() is not None and message.error().retriable()):
        return None
    if message.error() is not None:
        raise KafkaException(message.error())
    say_record(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers(),
        message.timestamp()[1],
    )
    return message


def member(address: str, topic: str, group: str, protocol: str) -> None:
    settings: dict[str, Any] = {
        "bootstrap.servers": address,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if protocol == "classic":
        settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    stopping = asked_to_stop()
    assigned: list[int] = []
    while not stopping.is_set():
        message = _say_next(consumer)
        if message is not None:
            consumer.commit(message=message, asynchronous=False)
        now = sorted(each.partition for each in consumer.assignment())
        if now != assigned:
            assigned = now
            say(assigned=assigned)
    consumer.close()


def transactions(address: str, topic: str, source: str, group: str, transactional_id: str) -> None:
    settings = {"bootstrap.servers": address, "transactional.id": transactional_id}
    producer = Producer(settings)
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    for value in ("committed-1", "committed-2"):
        producer.produce(topic, value.encode())
    producer.commit_transaction(LIMIT_S)
    say(did="commit")
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.flush(LIMIT_S)
    producer.abort_transaction(LIMIT_S)
    say(did="abort")
    _move(address, source, group, topic, producer)
    say(did="positions")
    successor = Producer(settings)
    successor.init_transactions(LIMIT_S)
    with refused(KafkaException, "fenced"):
        producer.begin_transaction()
        producer.produce(topic, b"fenced")
        producer.commit_transaction(LIMIT_S)
    say(did="fenced")
    successor.begin_transaction()
    successor.produce(topic, b"end")
    successor.commit_transaction(LIMIT_S)


def _move(address: str, source: str, group: str, topic: str, producer: Producer) -> None:
    """One transaction that takes two records from one topic to another."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([source])
    producer.begin_transaction()
    moved = 0
    while moved < 2:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            producer.produce(topic, b"moved-" + message.value())
            moved += 1
    positions = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), LIMIT_S)
    producer.commit_transaction(LIMIT_S)
    consumer.close()


def stream(address: str, topic: str, count: int, pause_ms: int) -> None:
    producer = Producer({"bootstrap.servers": address, "enable.idempotence": True})

    def acknowledged(error: Any, message: Message) -> None:
        _raise_failure(error, message)
        say(sent=int(message.value()))

    for number in range(count):
        producer.produce(topic, str(number).encode(), on_delivery=acknowledged)
        producer.poll(0)
        time.sleep(pause_ms / 1000)
    producer.flush(LIMIT_S)


def admin(address: str, topic: str, seen: str, group: str) -> None:
    client = AdminClient({"bootstrap.servers": address})
    _admin_topics(client, topic)
    _admin_configs(client, topic)
    _admin_records(client, seen)
    _admin_groups(client, seen, group)


def _one(futures: dict[Any, Future[Any]]) -> Any:
    """The result of a call that was made for one thing."""
    (future,) = futures.values()
    return future.result(LIMIT_S)


def _admin_topics(client: AdminClient, topic: str) -> None:
    wanted = NewTopic(topic, 2, 1, config={"retention.ms": "3600000"})
    with call("create topic"):
        _one(client.create_topics([wanted]))
    with call("create topic again: refused"), refused(KafkaException, "TOPIC_ALREADY_EXISTS"):
        _one(client.create_topics([wanted]))
    with call("list topics"):
        expect(topic in client.list_topics(timeout=LIMIT_S).topics, topic)
    with call("describe topic"):
        described = _one(client.describe_topics(confluent_kafka.TopicCollection([topic])))
        expect(len(described.partitions) == 2, described.partitions)
    with call("create partitions"):
        _one(client.create_partitions([NewPartitions(topic, 3)]))
    with call("delete topic"):
        _one(client.create_topics([NewTopic(topic + "-gone", 1, 1)]))
        _one(client.delete_topics([topic + "-gone"]))
    with call("describe cluster"):
        cluster = client.describe_cluster().result(LIMIT_S)
        expect(len(cluster.nodes) == 1 and bool(cluster.cluster_id), cluster)


def _admin_configs(client: AdminClient, topic: str) -> None:
    with call("describe configs"):
        found = _one(client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
        expect(found["retention.ms"].value == "3600000", found["retention.ms"].value)
        expect(found["cleanup.policy"].value == "delete", found["cleanup.policy"].value)
    with call("alter configs"):
        entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        _one(client.incremental_alter_configs([change]))


def _admin_records(client: AdminClient, seen: str) -> None:
    partition = TopicPartition(seen, 0)
    with call("delete records"):
        _one(client.delete_records([TopicPartition(seen, 0, 4)]))
    with call("list offsets"):
        earliest = _one(client.list_offsets({partition: OffsetSpec.earliest()}))
        latest = _one(client.list_offsets({partition: OffsetSpec.latest()}))
        expect((earliest.offset, latest.offset) == (4, 10), (earliest.offset, latest.offset))


def _admin_groups(client: AdminClient, seen: str, group: str) -> None:
    with call("list groups"):
        listed = client.list_consumer_groups().result(LIMIT_S).valid
        expect(group in {each.group_id for each in listed}, listed)
    with call("describe group"):
        described = _one(client.describe_consumer_groups([group]))
        expect(described.state.name == "EMPTY", described.state)
    with call("list group positions"):
        found = _one(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
        expect([each.offset for each in found.topic_partitions] == [6], found.topic_partitions)
    with call("alter group positions"):
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(seen, 0, 7)])
        _one(client.alter_consumer_group_offsets([wanted]))
        found = _one(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
        expect([each.offset for each in found.topic_partitions] == [7], found.topic_partitions)
    with call("delete group"):
        _one(client.delete_consumer_groups([group]))


if __name__ == "__main__":
    run(
        {
            "versions": versions,
            "produce": produce,
            "consume": consume,
            "member": member,
            "transactions": transactions,
            "admin": admin,
            "stream": stream,
        }
    )
