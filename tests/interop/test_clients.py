"""Clients of all languages, as their projects publish them, use the broker as they would use Kafka.

What a client says is not enough: another client reads what it wrote, and the batches and positions are looked
up by raw requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.brokers import ServedBroker
from tests.interop.conftest import Client
from tests.interop.log_view import LogView
from tests.interop.peers import ADMIN, CODECS, CRASH, GROUP, NEW_GROUP, TRANSACTIONS, offering
from tests.interop.programs import Program, wait_until

pytestmark = pytest.mark.interop

_LARGE = "large " * 20_000
_HEADERS = [["trace", "1"], ["trace", "2"], ["sprache", "ümlaut"], ["empty", ""]]
RECORDS: list[dict[str, Any]] = [
    *({"key": f"k{n}", "value": f"value {n} " * 10, "headers": [], "partition": 0} for n in range(20)),
    {"key": None, "value": "no key", "headers": [], "partition": 0},
    {"key": "schlüssel", "value": "mit köpfen", "headers": _HEADERS, "partition": 0},
    {"key": "deleted", "value": None, "headers": [], "partition": 1},
    {"key": "empty", "value": "", "headers": [], "partition": 1},
    {"key": "large", "value": _LARGE, "headers": [["kind", "large"]], "partition": 1},
]


def everyone(column: str) -> pytest.MarkDecorator:
    names = [peer.name for peer in offering(column)]
    return pytest.mark.parametrize("client", names, indirect=True)


def told(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of a ``consume``, by partition and in their order, without offsets and times."""
    records = [fact["record"] for fact in facts if "record" in fact]
    for record in records:
        assert record.pop("timestamp_ms") > 1_600_000_000_000
    return [
        {name: record[name] for name in ("key", "value", "headers", "partition")}
        for record in sorted(records, key=lambda record: (record["partition"], record["offset"]))
    ]


@pytest.mark.shows("{client}", "{codec}")
@everyone("none")
@pytest.mark.parametrize("codec", CODECS)
def test_what_one_client_writes_another_reads(
    broker: str, name: str, client: Client, partner: Client, codec: str
) -> None:
    log = LogView(broker)
    for topic in ("out", "in"):
        log.create_topic(f"{name}-{topic}", 2)

    client.do(broker, "produce", topic=f"{name}-out", codec=codec, records=RECORDS)
    partner.do(broker, "produce", topic=f"{name}-in", codec=codec, records=RECORDS)
    what = {"count": len(RECORDS), "isolation": "read_committed"}
    read_by_partner = partner.do(broker, "consume", topic=f"{name}-out", **what)
    read_by_client = client.do(broker, "consume", topic=f"{name}-in", **what)

    assert told(read_by_partner) == RECORDS
    assert told(read_by_client) == RECORDS
    assert codec in log.codecs(f"{name}-out", 0) | log.codecs(f"{name}-out", 1)
    assert log.codecs(f"{name}-out", 1) <= {codec, "none"}


@pytest.mark.shows("{client}", GROUP)
@everyone(GROUP)
def test_a_member_takes_over_where_one_that_was_killed_had_committed(
    broker: str, name: str, client: Client
) -> None:
    _two_members(broker, name, client, "classic", lambda first: first.kill())


@pytest.mark.shows("{client}", NEW_GROUP)
@everyone(NEW_GROUP)
def test_a_member_of_the_new_protocol_takes_over_where_one_that_left_had_committed(
    broker: str, name: str, client: Client
) -> None:
    # The session of this protocol is the broker's, 45 s: whoever is killed is missed only then.
    _two_members(broker, name, client, "consumer", lambda first: first.stop())


def _two_members(
    broker: str, name: str, client: Client, protocol: str, end: Callable[[Program], object]
) -> None:
    """Two members share four partitions; one of them ends, and the other goes on with all."""
    log = LogView(broker)
    log.create_topic(name, 4)
    log.append_to_each(name, "a", "b")

    first = client.start(broker, "member", topic=name, group=name, protocol=protocol)
    _wait_for_positions(log, name, 2, first)
    second = client.start(broker, "member", topic=name, group=name, protocol=protocol)
    wait_until(
        lambda: len(_share(first)) == len(_share(second)) == 2 and not _share(first) & _share(second),
        lambda: f"{first.facts} {second.facts}",
    )
    log.append_to_each(name, "c")
    _wait_for_positions(log, name, 3, first, second)
    end(first)
    log.append_to_each(name, "d")
    _wait_for_positions(log, name, 4, first, second)
    second.stop()

    read = [(each["partition"], each["value"]) for each in first.found("record") + second.found("record")]
    assert sorted(read) == [(partition, value) for partition in range(4) for value in "abcd"]
    assert {record["value"] for record in second.found("record")} == {"c", "d"}


def _share(member: Program) -> set[int]:
    assigned = member.found("assigned")
    return set(assigned[-1]) if assigned else set()


def _wait_for_positions(log: LogView, name: str, position: int, *members: Program) -> None:
    def are_there() -> bool:
        for member in members:
            member.check()
        return log.committed(name, name) == dict.fromkeys(range(4), position)

    wait_until(are_there, lambda: f"{log.committed(name, name)} {[each.facts[-4:] for each in members]}")


@pytest.mark.shows("{client}", TRANSACTIONS)
@everyone(TRANSACTIONS)
def test_readers_see_what_was_committed_and_nothing_else(
    broker: str, name: str, client: Client, partner: Client
) -> None:
    log = LogView(broker)
    source = f"{name}-source"
    log.create_topic(name, 1)
    log.create_topic(source, 1)
    log.append_to_each(source, "one", "two")

    facts = client.do(broker, "transactions", topic=name, source=source, group=name, transactional_id=name)

    assert [fact["did"] for fact in facts] == ["commit", "abort", "positions", "fenced"]
    committed = ["committed-1", "committed-2", "moved-one", "moved-two", "end"]
    for reader in (client, partner):
        seen = reader.do(broker, "consume", topic=name, count=5, isolation="read_committed")
        assert [record["value"] for record in told(seen)] == committed
    everything = partner.do(broker, "consume", topic=name, count=6, isolation="read_uncommitted")
    assert "aborted" in [record["value"] for record in told(everything)]
    assert log.committed(name, source) == {0: 2}


@pytest.mark.shows("{client}", ADMIN)
@everyone(ADMIN)
def test_the_calls_of_administrators_do_what_they_say(
    broker: str, name: str, client: Client, observations: Any
) -> None:
    log = LogView(broker)
    log.create_topic(f"{name}-seen", 1)
    log.append_to_each(f"{name}-seen", *map(str, range(10)))
    log.commit(f"{name}-group", f"{name}-seen", {0: 6})

    facts = client.do(broker, "admin", topic=name, seen=f"{name}-seen", group=f"{name}-group")

    calls = {fact["call"]: fact.get("failed") for fact in facts}
    observations.calls[client.peer.name] = calls
    assert {call: failed for call, failed in calls.items() if failed} == {}
    if "create topic" in calls:
        assert log.partition_count(name) == 3
        assert log.partition_count(f"{name}-gone") is None
    if "delete records" in calls:
        assert log.start(f"{name}-seen") == 4
    if "delete group" in calls:
        assert log.committed(f"{name}-group", f"{name}-seen") == {}


@pytest.mark.shows("{client}", CRASH)
@everyone(CRASH)
def test_a_broker_that_is_killed_loses_nothing_and_repeats_nothing(
    own_broker: ServedBroker, name: str, client: Client
) -> None:
    count = 200
    LogView(own_broker.address).create_topic(name, 1)

    reading = client.start(own_broker.address, "consume", topic=name, count=count, isolation="read_committed")
    writing = client.start(own_broker.address, "stream", topic=name, count=count, pause_ms=10)
    wait_until(lambda: len(writing.found("sent")) > 50 and bool(reading.found("record")), writing.complaint)
    own_broker.kill()
    own_broker.start()
    writing.finish()
    read = told(reading.finish())

    assert [record["value"] for record in read] == [str(number) for number in range(count)]
    assert LogView(own_broker.address).values(name, 0) == [str(number) for number in range(count)]
