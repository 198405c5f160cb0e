"""In which order records stand that several steps, batches and tasks write to one partition."""

from __future__ import annotations

from streamcore.model import RECORD_OVERHEAD_BYTES, Headers, RecordColumns, TopicPartition
from streamcore.processing.operators.outputs import BatchOutputs, Outputs
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.serde import BYTES

OUT = TopicSpec(name="out", key_serde=BYTES, value_serde=BYTES)
INSIDE = TopicSpec(name="inside", key_serde=BYTES, value_serde=BYTES, internal=True)


def columns(*values: bytes | None, headers: list[Headers] | None = None) -> RecordColumns:
    return RecordColumns([None] * len(values), list(values), [0] * len(values), headers)


def written(outputs: Outputs, topic: TopicSpec = OUT, partition: int = 0) -> list[bytes | None]:
    return outputs.taken(internal=topic.internal)[TopicPartition(topic.name, partition)].values


def test_steps_of_one_batch_write_in_the_order_of_events_and_for_one_event_in_their_own() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 0, columns(b"a1", b"c1"), origins=[0, 2], partition_times_ms=[5, 5])
    batch.add(OUT, 0, columns(b"a2", b"b2"), origins=[0, 1], partition_times_ms=[5, 5])
    batch.end_batch()
    outputs.end_round()

    assert written(outputs) == [b"a1", b"a2", b"b2", b"c1"]


def test_tasks_of_one_round_are_merged_by_order_key_and_for_equal_keys_the_first_goes_first() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 0, columns(b"first 1", b"first 5"), origins=[0, 1], partition_times_ms=[1, 5])
    batch.end_batch()
    batch.add(OUT, 0, columns(b"second 3", b"second 5"), origins=[0, 1], partition_times_ms=[3, 5])
    batch.end_batch()
    outputs.end_round()

    assert written(outputs) == [b"first 1", b"second 3", b"first 5", b"second 5"]


def test_a_round_comes_after_the_one_before_whatever_its_order_keys() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    for order in (9, 1):
        batch.add(OUT, 0, columns(b"%d" % order), origins=[0], partition_times_ms=[order])
        batch.end_batch()
        outputs.end_round()

    assert written(outputs) == [b"9", b"1"]


def test_what_goes_outside_is_told_from_what_stays_in_the_application() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 1, columns(b"out"), origins=[0], partition_times_ms=[0])
    batch.add(INSIDE, 0, columns(b"in"), origins=[0], partition_times_ms=[0])
    batch.end_batch()
    outputs.end_round()

    assert list(outputs.taken(internal=False)) == [TopicPartition("out", 1)]
    assert written(outputs, INSIDE) == [b"in"]


def test_headers_of_some_leave_the_others_without() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 0, columns(b"a"), origins=[0], partition_times_ms=[0])
    batch.add(OUT, 0, columns(b"b", headers=[(("h", b"x"),)]), origins=[1], partition_times_ms=[0])
    batch.end_batch()
    outputs.end_round()
    batch.add(OUT, 0, columns(b"c"), origins=[0], partition_times_ms=[1])
    batch.end_batch()
    outputs.end_round()

    found = outputs.taken(internal=False)[TopicPartition("out", 0)]
    assert found.headers == [(), (("h", b"x"),), ()]


def test_records_and_bytes_are_counted_until_cleared() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 0, columns(b"abc", None), origins=[0, 1], partition_times_ms=[0, 0])
    batch.end_batch()

    assert (outputs.record_count, outputs.size_bytes) == (2, 3 + 2 * RECORD_OVERHEAD_BYTES)

    outputs.clear()

    assert (outputs.record_count, outputs.size_bytes) == (0, 0)
    assert outputs.taken(internal=False) == {}


def test_of_a_batch_that_is_done_in_part_only_that_part_is_handed_on() -> None:
    outputs = Outputs()
    batch = BatchOutputs(outputs)
    batch.add(OUT, 0, columns(b"a", b"c", b"d"), origins=[0, 2, 3], partition_times_ms=[0, 2, 3])
    batch.add(OUT, 0, columns(b"b"), origins=[1], partition_times_ms=[1])

    batch.end_batch(before=2)
    outputs.end_round()
    assert written(outputs) == [b"a", b"b"]
    assert outputs.record_count == 2
    outputs.clear()

    batch.add(OUT, 0, columns(b"c2"), origins=[2], partition_times_ms=[2])
    batch.end_batch(before=2)
    assert outputs.record_count == 0

    batch.end_batch()
    outputs.end_round()
    assert written(outputs) == [b"c", b"c2", b"d"]
