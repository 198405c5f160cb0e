"""Where records are written, and what happens to those that do not encode."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import SerdeError
from streamcore.model import RecordColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.outputs import BatchOutputs, Outputs
from streamcore.processing.operators.sinks import SinkOperator
from streamcore.processing.topology.error_policy import ErrorPolicy, skip, stop
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.serde import TEXT, UNTYPED, serde_for
from tests.support.operator_parts import batch_of, guard


def written(
    batch: Batch,
    topic: TopicSpec,
    *,
    partitions: int = 3,
    policy: ErrorPolicy = stop,
    keyed_only: bool = False,
) -> dict[TopicPartition, RecordColumns]:
    outputs = Outputs()
    batch_outputs = BatchOutputs(outputs)
    sink = SinkOperator(
        guard(policy), topic, partitions, partition_of_key, batch_outputs, keyed_only=keyed_only
    )
    sink.process(batch)
    batch_outputs.end_batch()
    outputs.end_round()
    return outputs.taken(internal=False)


def topic(key: Any = str, value: Any = int) -> TopicSpec:
    return TopicSpec(name="out", key_serde=serde_for(key), value_serde=serde_for(value))


def test_equal_keys_go_to_the_partition_of_their_bytes_in_order() -> None:
    batch = batch_of([1, 2, 3, 4], keys=["a", "b", "a", "c"])

    found = written(batch, topic())

    for name, values in {"a": [b"1", b"3"], "b": [b"2"], "c": [b"4"]}.items():
        columns = found[TopicPartition("out", partition_of_key(name.encode(), 3))]
        assert [
            value for key, value in zip(columns.keys, columns.values, strict=True) if key == name.encode()
        ] == values


def test_records_without_a_key_are_written_and_left_out_only_before_keyed_steps() -> None:
    batch = batch_of([1, 2], keys=[None, "a"])

    everything = written(batch, topic(), partitions=1)
    keyed = written(batch, topic(), partitions=1, keyed_only=True)

    assert everything[TopicPartition("out", 0)].keys == [None, b"a"]
    assert keyed[TopicPartition("out", 0)].keys == [b"a"]


def test_none_is_written_as_a_tombstone() -> None:
    found = written(batch_of([None], keys=["a"]), topic(), partitions=1)

    assert found[TopicPartition("out", 0)].values == [None]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_value_or_key_of_another_type_is_a_failing_record(partitions: int) -> None:
    batch = batch_of([1, "two", 3, 4], keys=["a", "a", 3, "a"])

    found = written(batch, topic(), partitions=partitions, policy=skip)

    assert [columns.values for columns in found.values()] == [[b"1", b"4"]]
    with pytest.raises(SerdeError, match="offset=101"):
        written(batch, topic(), partitions=partitions)


def test_a_key_that_cannot_be_hashed_is_written_if_it_encodes() -> None:
    batch = batch_of([1, 2], keys=[["a", 1], ["a", 1]])
    anything = TopicSpec(name="out", key_serde=UNTYPED, value_serde=UNTYPED)

    (columns,) = written(batch, anything).values()

    assert columns.keys == [UNTYPED.encode(["a", 1])] * 2
    with pytest.raises(SerdeError, match="expected str"):
        written(batch, TopicSpec(name="out", key_serde=TEXT, value_serde=UNTYPED))


def test_the_batch_stays_as_it_was_while_outputs_grow() -> None:
    outputs = Outputs()
    batch_outputs = BatchOutputs(outputs)
    sink = SinkOperator(guard(), topic(), 1, partition_of_key, batch_outputs)
    batch = batch_of([1, 2], keys=["a", "b"], headers=[(("h", b"x"),), ()])
    for _ in range(2):
        sink.process(batch)
        batch_outputs.end_batch()
        outputs.end_round()

    assert len(outputs.taken(internal=False)[TopicPartition("out", 0)]) == 4
    assert (batch.keys, batch.values, batch.timestamps_ms) == (["a", "b"], [1, 2], [0, 1])
    assert batch.headers == [(("h", b"x"),), ()]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_record_that_the_topic_does_not_take_is_left_out_and_the_others_keep_their_own_fields(
    partitions: int,
) -> None:
    outputs = Outputs()
    batch_outputs = BatchOutputs(outputs)
    sink = SinkOperator(
        guard(skip), topic(str, str), partitions, partition_of_key, batch_outputs, record_bytes_max=10
    )
    values = ["1", "1234567890", "2", "12345678", "3"]
    sink.process(batch_of(values, keys=["a", "b", "c", "key", "e"], headers=[(("h", None),), (), (), (), ()]))
    batch_outputs.end_batch()
    outputs.end_round()

    found = [
        (key, value, timestamp_ms)
        for columns in outputs.taken(internal=False).values()
        for key, value, timestamp_ms in zip(columns.keys, columns.values, columns.timestamps_ms, strict=True)
    ]
    assert sorted(found) == [(b"c", b"2", 2), (b"e", b"3", 4)]
