"""kafka-python, 2.x and 3, as a client under test; the steps are described in ``steps.py``."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

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

LIMIT_S = 30
IS_NEW = not version("kafka-python").startswith("2.")


def versions(address: str) -> None:
    say(client=version("kafka-python"), runtime=f"Python {platform.python_version()}")


def _producer(address: str, **settings: Any) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=address, **settings)


def _consumer(address: str, *topics: str, **settings: Any) -> KafkaConsumer:
    return KafkaConsumer(
        *topics,
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **settings,
    )


def produce(address: str, topic: str, codec: str, records: list[dict[str, Any]]) -> None:
    compression = None if codec == "none" else codec
    producer = _producer(address, compression_type=compression, linger_ms=20)
    sending = [
        producer.send(
            topic,
            key=encoded(record["key"]),
            value=encoded(record["value"]),
            headers=encoded_headers(record["headers"]),
            partition=record["partition"],
        )
        for record in records
    ]
    for sent in sending:
        sent.get(timeout=LIMIT_S)
    producer.close()
    say(produced=len(records))


def consume(address: str, topic: str, count: int, isolation: str) -> None:
    consumer = _consumer(address, topic, isolation_level=isolation)
    for _ in range(count):
        _say(next(consumer))
    consumer.close()


def _say(record: Any) -> None:
    say_record(
        record.partition, record.offset, record.key, record.value, list(record.headers), record.timestamp
    )


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc] # the library is not seen by mypy
    def on_partitions_revoked(self, revoked: Any) -> None:
        say(assigned=[])

    def on_partitions_assigned(self, assigned: Any) -> None:
        say(assigned=sorted(each.partition for each in assigned))


def member(address: str, topic: str, group: str, protocol: str) -> None:
    consumer = _consumer(address, group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=500)
    consumer.subscribe([topic], listener=_Assignments())
    stopping = asked_to_stop()
    while not stopping.is_set():
        for partition, records in consumer.poll(timeout_ms=200).items():
            for record in records:
                _say(record)
            consumer.commit({partition: OffsetAndMetadata(records[-1].offset + 1, "", -1)})
    consumer.close()


def transactions(address: str, topic: str, source: str, group: str, transactional_id: str) -> None:
    producer = _producer(address, transactional_id=transactional_id)
    producer.init_transactions()
    producer.begin_transaction()
    for value in (b"committed-1", b"committed-2"):
        producer.send(topic, value)
    producer.commit_transaction()
    say(did="commit")
    producer.begin_transaction()
    producer.send(topic, b"aborted").get(timeout=LIMIT_S)
    producer.abort_transaction()
    say(did="abort")
    _move(address, source, group, topic, producer)
    say(did="positions")
    successor = _producer(address, transactional_id=transactional_id)
    successor.init_transactions()
    with refused(KafkaError, "fence", "InvalidProducerEpoch"):
        producer.begin_transaction()
        producer.send(topic, b"fenced").get(timeout=LIMIT_S)
        producer.commit_transaction()
    say(did="fenced")
    successor.begin_transaction()
    successor.send(topic, b"end")
    successor.commit_transaction()
    successor.close()


def _move(address: str, source: str, group: str, topic: str, producer: KafkaProducer) -> None:
    """One transaction that takes two records from one topic to another."""
    consumer = _consumer(address, source, group_id=group)
    producer.begin_transaction()
    for _ in range(2):
        producer.send(topic, b"moved-" + next(consumer).value)
    positions = {each: OffsetAndMetadata(consumer.position(each), "", -1) for each in consumer.assignment()}
    producer.send_offsets_to_transaction(positions, consumer.group_metadata() if IS_NEW else group)
    producer.commit_transaction()
    consumer.close()


def stream(address: str, topic: str, count: int, pause_ms: int) -> None:
    producer = _producer(address, enable_idempotence=True)
    for number in range(count):
        producer.send(topic, str(number).encode()).get(timeout=LIMIT_S)
        say(sent=number)
        time.sleep(pause_ms / 1000)
    producer.close()


def admin(address: str, topic: str, seen: str, group: str) -> None:
    client = KafkaAdminClient(bootstrap_servers=address)
    _admin_topics(client, topic)
    _admin_configs(client, topic)
    _admin_records(address, client, seen)
    partition = TopicPartition(seen, 0)
    if IS_NEW:
        _admin_groups(client, partition, group)
        _admin_transactions(client, partition)
    else:
        _admin_groups_2(client, partition, group)
    client.close()


def _admin_topics(client: KafkaAdminClient, topic: str) -> None:
    wanted = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})
    with call("create topic"):
        client.create_topics([wanted])
    with call("create topic again: refused"), refused(TopicAlreadyExistsError, "exists"):
        client.create_topics([wanted])
    with call("list topics"):
        expect(topic in client.list_topics(), topic)
    with call("describe topic"):
        (described,) = client.describe_topics([topic])
        expect(len(described["partitions"]) == 2, described)
    with call("create partitions"):
        client.create_partitions({topic: NewPartitions(3)})
    with call("delete topic"):
        client.create_topics([NewTopic(topic + "-gone", 1, 1)])
        client.delete_topics([topic + "-gone"])
    with call("describe cluster"):
        cluster = client.describe_cluster()
        expect(len(cluster["brokers"]) == 1 and bool(cluster["cluster_id"]), cluster)
    if IS_NEW:  # the other asks in a version that Kafka 4 does not know
        with call("describe log dirs"):
            expect(bool(client.describe_log_dirs()), "no log directory")


def _admin_configs(client: KafkaAdminClient, topic: str) -> None:
    with call("describe configs"):
        found = _described(client, topic)
        expect(found.get("retention.ms") == "3600000", found.get("retention.ms"))
        expect(found.get("cleanup.policy") == "delete", found.get("cleanup.policy"))
    with call("alter configs"):
        client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})]
        )
        found = _described(client, topic)
        expect(found.get("retention.ms") == "7200000", found.get("retention.ms"))


def _described(client: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    if IS_NEW:
        found = client.describe_configs([resource], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}
    (answer,) = client.describe_configs([resource])
    ((_, _, _, _, entries),) = answer.resources
    return {entry[0]: entry[1] for entry in entries}


def _admin_records(address: str, client: KafkaAdminClient, seen: str) -> None:
    partition = TopicPartition(seen, 0)
    with call("delete records"):
        client.delete_records({partition: 4})
    with call("list offsets"):
        consumer = _consumer(address)
        earliest, latest = consumer.beginning_offsets([partition]), consumer.end_offsets([partition])
        consumer.close()
        expect((earliest[partition], latest[partition]) == (4, 10), (earliest, latest))


def _admin_groups(client: KafkaAdminClient, partition: TopicPartition, group: str) -> None:
    with call("list groups"):
        listed = client.list_groups()
        expect(group in {each["group_id"] for each in listed}, listed)
    with call("describe group"):
        described = client.describe_groups([group])[group]
        expect(described["group_state"] == "Empty", described)
    with call("list group positions"):
        found = client.list_group_offsets([group])[group]
        expect({each: found[each].offset for each in found} == {partition: 6}, found)
    with call("alter group positions"):
        client.alter_group_offsets(group, {partition: OffsetAndMetadata(7, "", -1)})
        found = client.list_group_offsets([group])[group]
        expect(found[partition].offset == 7, found)
    with call("delete group"):
        client.delete_groups([group])


def _admin_transactions(client: KafkaAdminClient, partition: TopicPartition) -> None:
    with call("list transactions"):
        client.list_transactions()
    with call("describe producers"):
        client.describe_producers([partition])


def _admin_groups_2(client: KafkaAdminClient, partition: TopicPartition, group: str) -> None:
    """The same with the names of 2.x."""
    with call("list groups"):
        listed = client.list_consumer_groups()
        expect(group in {name for name, *_ in listed}, listed)
    with call("describe group"):
        (described,) = client.describe_consumer_groups([group])
        expect(described.state == "Empty", described)
    with call("list group positions"):
        found = client.list_consumer_group_offsets(group)
        expect({each: found[each].offset for each in found} == {partition: 6}, found)
    with call("delete group"):
        client.delete_consumer_groups([group])


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
