"""Readers of committed data, over the wire: transactions in any interleaving, fetched from anywhere.

What a client makes of an answer is written here anew, by Kafka's rules: a list of aborted transactions by
where they begin, a marker for where each ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.messages.fetch import PartitionData
from streamcore.log.records.batch import iter_batches
from streamcore.log.records.decode import batch_marker, batch_records
from tests.support.serving import batch, client_of, fetch, produce
from tests.support.transaction_client import TransactionClient
from tests.support.wire_client import WireClient

PRODUCERS = ("newer", "other", "older")
_TOPICS = count()

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from([*PRODUCERS, "plain"])),
        st.tuples(st.sampled_from(["commit", "abort"]), st.sampled_from(PRODUCERS)),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0", durability="relaxed") as served:
        yield served


@dataclass
class Producer:
    """A producer of one of the versions, and where it is."""

    name: str
    identity: ProducerIdentity
    sequence: int = 0
    open: list[int] = field(default_factory=list)
    """The numbers of its records that are not decided."""

    @property
    def is_older(self) -> bool:
        return self.name.startswith("older")


class Model:
    """One topic, what was written to it, and what became of it."""

    def __init__(self, served: sc.ServedLog, client: WireClient) -> None:
        self.topic = f"t{next(_TOPICS)}"
        served.log.create_topic(self.topic, config={"segment.bytes": "600"})
        self.client = client
        self.requests = TransactionClient(client)
        self.producers = {
            name: Producer(f"{name}-{self.topic}", self.requests.begin(f"{name}-{self.topic}"))
            for name in PRODUCERS
        }
        self.rows: list[int | None] = []
        """The number at each offset; none for a marker."""
        self.aborted: set[int] = set()

    def append(self, name: str) -> None:
        number = len(self.rows)
        value = b"%d" % number
        if name == "plain":
            assert produce(self.client, self.topic, batch(value)).error_code == 0
        else:
            producer = self.producers[name]
            if producer.is_older:
                self.requests.add_partitions(producer.name, producer.identity, {self.topic: [0]})
            code = self.requests.produce(
                producer.name,
                producer.identity,
                self.topic,
                sequence=producer.sequence,
                value=value,
                version=11 if producer.is_older else 12,
            )
            assert code is ErrorCode.NONE
            producer.sequence += 1
            producer.open.append(number)
        self.rows.append(number)

    def end(self, name: str, *, commit: bool) -> None:
        producer = self.producers[name]
        if not producer.open:
            return
        version = 3 if producer.is_older else 5
        code, identity = self.requests.end(producer.name, producer.identity, commit=commit, version=version)
        assert code is ErrorCode.NONE
        if not producer.is_older:
            producer.identity, producer.sequence = identity, 0
        if not commit:
            self.aborted.update(producer.open)
        producer.open.clear()
        self.rows.append(None)

    @property
    def last_stable(self) -> int:
        """Where the earliest open transaction begins."""
        return min((min(each.open) for each in self.producers.values() if each.open), default=len(self.rows))

    def visible(self, start: int) -> list[int]:
        """What a reader of committed data gets from an offset on."""
        rows = self.rows[start : self.last_stable]
        return [number for number in rows if number is not None and number not in self.aborted]


def taken(data: PartitionData, start: int) -> tuple[list[int], int]:
    """What a client keeps of an answer, and where it reads on."""
    waiting = sorted(data.aborted_transactions or (), key=lambda each: each.first_offset)
    dropping: set[int] = set()
    kept: list[int] = []
    assert isinstance(data.records, bytes | memoryview)
    records = bytes(data.records)
    position = start
    for at, header in iter_batches(records, check=True):
        while waiting and waiting[0].first_offset <= header.last_offset:
            dropping.add(waiting.pop(0).producer_id)
        position = header.end_offset
        if header.is_control:
            if not batch_marker(records, at, header).is_commit:
                dropping.discard(header.producer_id)
        elif not (header.is_transactional and header.producer_id in dropping):
            found = batch_records(records, at, header)
            kept += [int(each.value or b"-1") for each in found if each.offset >= start]
    return kept, position


@settings(max_examples=25)
@given(STEPS, st.integers(0, 30), st.integers(1, 400))
def test_a_reader_sees_what_was_committed_and_nothing_else(
    served: sc.ServedLog, steps: list[tuple[str, str]], start: int, bytes_max: int
) -> None:
    with client_of(served) as client:
        model = Model(served, client)

        for what, name in steps:
            if what == "append":
                model.append(name)
            else:
                model.end(name, commit=what == "commit")

        start = position = min(start, len(model.rows))
        read: list[int] = []
        while True:
            data = fetch(client, model.topic, position, isolation=1, partition_max_bytes=bytes_max)
            assert (data.high_watermark, data.last_stable_offset) == (len(model.rows), model.last_stable)
            some, next_position = taken(data, position)
            if next_position == position:
                break
            read += some
            position = next_position
        assert read == model.visible(start)
        assert position == max(start, model.last_stable)
