"""aiokafka as a client under test; the steps are described in ``steps.py``."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import ProducerFenced, TopicAlreadyExistsError, for_code

from tests.interop.clients.steps import (
    Step,
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


def in_loop(step: Callable[..., Awaitable[None]]) -> Step:
    """A step that is a coroutine, to be called like others."""

    def run_step(address: str, **arguments: Any) -> None:
        async def main() -> None:
            await step(address, **arguments)

        asyncio.run(main())

    return run_step


def versions(address: str) -> None:
    say(client=version("aiokafka"), runtime=f"Python {platform.python_version()}")


@asynccontextmanager
async def _producer(address: str, **settings: Any) -> Any:
    producer = AIOKafkaProducer(bootstrap_servers=address, **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _consumer(address: str, *topics: str, **settings: Any) -> Any:
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **settings,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def produce(address: str, topic: str, codec: str, records: list[dict[str, Any]]) -> None:
    compression = None if codec == "none" else codec
    async with _producer(address, compression_type=compression, linger_ms=20) as producer:
        sending = [
            await producer.send(
                topic,
                key=encoded(record["key"]),
                value=encoded(record["value"]),
                headers=encoded_headers(record["headers"]),
                partition=record["partition"],
            )
            for record in records
        ]
        await asyncio.gather(*sending)
    say(produced=len(records))


async def consume(address: str, topic: str, count: int, isolation: str) -> None:
    async with _consumer(address, topic, isolation_level=isolation) as consumer:
        for _ in range(count):
            _say(await consumer.getone())


def _say(record: Any) -> None:
    headers = list(record.headers)
    say_record(record.partition, record.offset, record.key, record.value, headers, record.timestamp)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    async def on_partitions_revoked(self, revoked: Any) -> None:
        say(assigned=[])

    async def on_partitions_assigned(self, assigned: Any) -> None:
        say(assigned=sorted(each.partition for each in assigned))


async def member(address: str, topic: str, group: str, protocol: str) -> None:
    stopping = asked_to_stop()
    settings = {"group_id": group, "session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
    async with _consumer(address, **settings) as consumer:
        consumer.subscribe([topic], listener=_Assignments())
        while not stopping.is_set():
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    _say(record)
                await consumer.commit({partition: records[-1].offset + 1})


async def transactions(address: str, topic: str, source: str, group: str, transactional_id: str) -> None:
    async with _producer(address, transactional_id=transactional_id) as producer:
        async with producer.transaction():
            for value in (b"committed-1", b"committed-2"):
                await producer.send_and_wait(topic, value)
        say(did="commit")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        say(did="abort")
        await _move(address, source, group, topic, producer)
        say(did="positions")
        async with _producer(address, transactional_id=transactional_id) as successor:
            with refused(ProducerFenced, "newer"):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"fenced")
                await producer.commit_transaction()
            say(did="fenced")
            async with successor.transaction():
                await successor.send_and_wait(topic, b"end")


async def _move(address: str, source: str, group: str, topic: str, producer: AIOKafkaProducer) -> None:
    """One transaction that takes two records from one topic to another."""
    async with _consumer(address, source, group_id=group) as consumer, producer.transaction():
        for _ in range(2):
            record = await consumer.getone()
            await producer.send_and_wait(topic, b"moved-" + record.value)
        positions = {each: await consumer.position(each) for each in consumer.assignment()}
        await producer.send_offsets_to_transaction(positions, group)


async def stream(address: str, topic: str, count: int, pause_ms: int) -> None:
    async with _producer(address, enable_idempotence=True) as producer:
        for number in range(count):
            await producer.send_and_wait(topic, str(number).encode())
            say(sent=number)
            await asyncio.sleep(pause_ms / 1000)


async def admin(address: str, topic: str, seen: str, group: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=address)
    await client.start()
    try:
        await _admin_topics(client, topic)
        await _admin_configs(client, topic)
        await _admin_records(address, client, seen)
        await _admin_groups(client, seen, group)
    finally:
        await client.close()


async def _admin_topics(client: AIOKafkaAdminClient, topic: str) -> None:
    wanted = NewTopic(topic, 2, 1, topic_configs={"retention.ms": "3600000"})
    with call("create topic"):
        _raise_errors((await client.create_topics([wanted])).topic_errors)
    with call("create topic again: refused"), refused(TopicAlreadyExistsError, "exists"):
        _raise_errors((await client.create_topics([wanted])).topic_errors)
    with call("list topics"):
        expect(topic in await client.list_topics(), topic)
    with call("describe topic"):
        (described,) = await client.describe_topics([topic])
        expect(len(described["partitions"]) == 2, described)
    with call("create partitions"):
        _raise_errors((await client.create_partitions({topic: NewPartitions(3)})).topic_errors)
    with call("delete topic"):
        await client.create_topics([NewTopic(topic + "-gone", 1, 1)])
        _raise_errors((await client.delete_topics([topic + "-gone"])).topic_error_codes)
    with call("describe cluster"):
        cluster = await client.describe_cluster()
        expect(len(cluster["brokers"]) == 1 and bool(cluster["cluster_id"]), cluster)


def _raise_errors(answers: list[tuple[Any, ...]]) -> None:
    for name, code, *_ in answers:
        if code:
            raise for_code(code)(name)


async def _admin_configs(client: AIOKafkaAdminClient, topic: str) -> None:
    with call("describe configs"):
        (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((_, _, _, _, entries),) = answer.resources
        found = {entry[0]: entry[1] for entry in entries}
        expect(found.get("retention.ms") == "3600000", found.get("retention.ms"))
        expect(found.get("cleanup.policy") == "delete", found.get("cleanup.policy"))
    with call("alter configs"):
        change = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})
        (answer,) = await client.alter_configs([change])
        _raise_errors([(name, code) for code, _, _, name in answer.resources])


async def _admin_records(address: str, client: AIOKafkaAdminClient, seen: str) -> None:
    partition = TopicPartition(seen, 0)
    with call("delete records"):
        await client.delete_records({partition: RecordsToDelete(before_offset=4)})
    with call("list offsets"):
        async with _consumer(address) as consumer:
            earliest = await consumer.beginning_offsets([partition])
            latest = await consumer.end_offsets([partition])
        expect((earliest[partition], latest[partition]) == (4, 10), (earliest, latest))


async def _admin_groups(client: AIOKafkaAdminClient, seen: str, group: str) -> None:
    with call("list groups"):
        listed = await client.list_consumer_groups()
        expect(group in {name for name, _ in listed}, listed)
    with call("describe group"):
        (answer,) = await client.describe_consumer_groups([group])
        expect(answer.groups[0][2] == "Empty", answer)
    with call("list group positions"):
        found = await client.list_consumer_group_offsets(group)
        expect({each: found[each].offset for each in found} == {TopicPartition(seen, 0): 6}, found)


if __name__ == "__main__":
    run(
        {
            "versions": versions,
            "produce": in_loop(produce),
            "consume": in_loop(consume),
            "member": in_loop(member),
            "transactions": in_loop(transactions),
            "admin": in_loop(admin),
            "stream": in_loop(stream),
        }
    )
