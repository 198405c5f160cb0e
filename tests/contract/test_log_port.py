"""The contract of the log port: what ``state`` and ``processing`` rely on, on every implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streamcore.errors import (
    ClosedError,
    InvalidConfigError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTransactionStateError,
    OffsetOutOfRangeError,
    ProducerFencedError,
    RequestTimeoutError,
    TopicExistsError,
    UnknownTopicError,
)
from streamcore.log.client.port import Acknowledgement, Log, Producer, Transaction
from streamcore.model import (
    CommittedOffset,
    FetchedColumns,
    Headers,
    Isolation,
    Offset,
    RecordColumns,
    TopicPartition,
)
from tests.support.log_houses import (
    NOW_MS,
    WAIT_S,
    EmbeddedHouse,
    LogHouse,
    ServedHouse,
    eventually,
)

FIRST = TopicPartition("events", 0)
SECOND = TopicPartition("events", 1)


@pytest.fixture(params=["posix", "simulated", "served"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogHouse]:
    house: LogHouse
    match request.param:
        case "served":
            house = ServedHouse(tmp_path / "data")
        case kind:
            house = EmbeddedHouse(tmp_path / "data" if kind == "posix" else None)
    house.log.create_topic("events", partitions=2)
    yield house
    house.close()


def append(
    to: Producer | Transaction, target: TopicPartition, values: Sequence[bytes | None]
) -> Acknowledgement:
    return to.append_columns(
        target, RecordColumns([b"k"] * len(values), list(values), [NOW_MS] * len(values))
    )


def read_all(
    log: Log,
    source: TopicPartition,
    start: Offset = 0,
    isolation: Isolation = Isolation.READ_COMMITTED,
    bytes_max: int = 1_000_000,
) -> list[bytes | None]:
    reader = log.reader(isolation=isolation)
    reader.assign({source: start})
    values: list[bytes | None] = []
    while (run := reader.fetch(source, bytes_max=bytes_max)) is not None:
        values += run.values
    reader.close()
    return values


def settled(house: LogHouse, source: TopicPartition, expected: list[bytes | None]) -> bool:
    """Whether a partition comes to hold these committed records."""
    return eventually(lambda: read_all(house.log, source), expected) == expected


# --- topics ---------------------------------------------------------------------------------------


def test_a_created_topic_is_there_after_a_restart_with_its_id_and_settings(house: LogHouse) -> None:
    created = house.log.create_topic("orders", partitions=3, config={"retention.ms": "-1"})

    log = house.reopen()

    assert log.topics()["orders"] == created
    assert created.partition_count == 3
    assert created.config == {"retention.ms": "-1"}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {"retention.ms": "-1"}),
        ({"retention.bytes": "1000000"}, {"retention.bytes": "1000000", "retention.ms": "-1"}),
        ({"retention.ms": "3600000"}, {"retention.ms": "3600000"}),
        ({"cleanup.policy": "delete"}, {"cleanup.policy": "delete", "retention.ms": "-1"}),
        ({"cleanup.policy": "compact"}, {"cleanup.policy": "compact"}),
    ],
)
def test_a_topic_that_is_created_keeps_its_records_unless_told_otherwise(
    house: LogHouse, given: dict[str, str], made: dict[str, str]
) -> None:
    assert house.log.create_topic("orders", config=given).config == made


def test_topics_are_described_together_without_those_that_are_not_there(house: LogHouse) -> None:
    created = house.log.create_topic("orders")

    assert house.log.described(["orders", "nothing"]) == {"orders": created}
    assert house.log.described([]) == {}


def test_a_topic_that_is_created_again_has_another_identity(house: LogHouse) -> None:
    created = house.log.create_topic("orders", partitions=3)
    before = house.log.identities(["orders", "nothing"])
    house.log.delete_topic("orders")
    gone = house.log.identities(["orders"])
    house.log.create_topic("orders", partitions=3)

    assert before == {"orders": (created.topic_id, 3)}
    assert gone == {}
    assert house.log.identities(["orders"])["orders"].topic_id != created.topic_id
    assert house.log.identities([]) == {}


def test_a_taken_name_is_refused(house: LogHouse) -> None:
    with pytest.raises(TopicExistsError):
        house.log.create_topic("events")


def test_an_unknown_setting_is_refused_naming_a_close_one(house: LogHouse) -> None:
    close_one = r"retention\.m" if house.is_foreign else r"retention\.ms"  # Kafka names none

    with pytest.raises(InvalidConfigError, match=close_one):
        house.log.create_topic("orders", config={"retention.m": "1"})

    assert "orders" not in house.log.topics()


def test_a_topic_can_be_given_more_partitions_and_other_settings(house: LogHouse) -> None:
    house.log.alter_topic("events", partitions=3, config={"retention.ms": "5"})
    described = house.log.alter_topic("events", config={"retention.ms": None})

    assert described.partition_count == 3
    assert described.config == {}
    assert house.log.offsets([TopicPartition("events", 2)])[TopicPartition("events", 2)].log_end == 0


def test_partitions_cannot_be_taken_away(house: LogHouse) -> None:
    with pytest.raises(InvalidConfigError):
        house.log.alter_topic("events", partitions=1)


def test_a_topic_of_the_same_name_starts_anew(house: LogHouse) -> None:
    with_data = house.log.topics()["events"]
    append(house.log.producer_port(), FIRST, [b"old"]).result()
    house.log.commit_offsets("g", {FIRST: CommittedOffset(1)})

    house.log.delete_topic("events")
    again = house.log.create_topic("events", partitions=2)

    assert again.topic_id != with_data.topic_id
    assert read_all(house.log, FIRST) == []
    assert house.log.committed("g") == {}


def test_calls_on_an_unknown_topic_say_so(house: LogHouse) -> None:
    nowhere = TopicPartition("nowhere", 0)

    with pytest.raises(UnknownTopicError):
        house.log.offsets([nowhere])
    with pytest.raises(UnknownTopicError):
        house.log.delete_topic("nowhere")
    with pytest.raises(UnknownTopicError):
        house.log.offsets([TopicPartition("events", 9)])
    with pytest.raises(UnknownTopicError):
        append(house.log.producer_port(), nowhere, [b"v"]).result()
    with pytest.raises(UnknownTopicError):
        house.log.reader().assign({nowhere: 0})


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_is_read_back_as_it_was_written(house: LogHouse) -> None:
    producer = house.log.producer_port()
    headers: list[Headers] = [(("a", b"1"), ("b", None)), (), ()]

    appended = producer.append_columns(
        FIRST, RecordColumns([b"k", None, b""], [b"v", b"", None], [NOW_MS, NOW_MS - 5, NOW_MS + 5], headers)
    ).result()

    reader = house.log.reader()
    reader.assign({FIRST: 0})
    run = reader.fetch(FIRST, bytes_max=1000)
    assert (appended.partition, appended.base_offset, appended.end_offset) == (FIRST, 0, 3)
    assert run == FetchedColumns(
        [b"k", None, b""],
        [b"v", b"", None],
        [NOW_MS, NOW_MS - 5, NOW_MS + 5],
        headers,
        partition=FIRST,
        offsets=[0, 1, 2],
        next_offset=3,
    )
    assert reader.fetch(FIRST, bytes_max=1000) is None
    assert reader.position(FIRST) == 3


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_is_read_back(house: LogHouse, compression: str) -> None:
    producer = house.log.producer_port(compression=compression)

    producer.append_columns(
        FIRST, RecordColumns([None] * 100, [b"value" * 10] * 100, [NOW_MS] * 100)
    ).result()

    assert read_all(house.log, FIRST) == [b"value" * 10] * 100


def test_runs_to_a_partition_keep_their_order_over_any_cut(house: LogHouse) -> None:
    producer = house.log.producer_port()
    values: list[bytes | None] = [b"%d" % number * 100 for number in range(1500)]

    append(producer, FIRST, values[:1000])
    append(producer, FIRST, values[1000:])
    producer.flush()

    assert read_all(house.log, FIRST, bytes_max=1) == values
    assert read_all(house.log, FIRST, 700) == values[700:]


def test_a_run_is_cut_so_that_every_batch_fits_the_topic(house: LogHouse) -> None:
    small = TopicPartition("small", 0)
    house.log.create_topic("small", config={"max.message.bytes": "1000"})
    values: list[bytes | None] = [*[b"x" * 10] * 200, *[b"y" * 800] * 5]

    append(producer := house.log.producer_port(), small, values)
    producer.flush()

    assert read_all(house.log, small) == values


def test_a_record_larger_than_the_topic_allows_is_refused_naming_the_setting(house: LogHouse) -> None:
    producer = house.log.producer_port()

    with pytest.raises(InvalidRecordError, match=r"max\.message\.bytes"):
        append(producer, FIRST, [b"x" * 2_000_000]).result()

    append(producer, FIRST, [b"small"])
    producer.flush()
    assert read_all(house.log, FIRST) == [b"small"]


def test_a_topic_takes_and_gives_records_up_to_the_limit_that_its_description_says(house: LogHouse) -> None:
    large = TopicPartition("large", 0)
    house.log.create_topic("large", config={"max.message.bytes": "3000000"})
    assert house.log.topics()["large"].message_bytes_max == 3_000_000
    assert house.log.topics()[FIRST.topic].message_bytes_max == 1_048_588
    values: list[bytes | None] = [b"x", b"y" * 2_900_000, b"z"]

    append(producer := house.log.producer_port(), large, values)
    producer.flush()

    assert read_all(house.log, large, bytes_max=1000) == values


def test_a_description_says_the_limit_of_a_topic_that_was_altered(house: LogHouse) -> None:
    altered = house.log.alter_topic(FIRST.topic, config={"max.message.bytes": "2000000"})

    assert altered.message_bytes_max == 2_000_000
    assert house.log.described([FIRST.topic])[FIRST.topic].message_bytes_max == 2_000_000


def test_a_compacted_topic_refuses_a_record_without_a_key(house: LogHouse) -> None:
    house.log.create_topic("table", config={"cleanup.policy": "compact"})

    with pytest.raises(InvalidRecordError):
        house.log.producer_port().append_columns(
            TopicPartition("table", 0), RecordColumns([None], [b"v"], [NOW_MS])
        ).result()


def test_an_empty_run_is_nothing(house: LogHouse) -> None:
    appended = house.log.producer_port().append_columns(FIRST, RecordColumns([], [], [])).result()

    assert appended.base_offset == appended.end_offset == 0


def test_nothing_is_visible_before_it_is_durable(house: LogHouse) -> None:
    if house.is_remote:
        pytest.skip("over a network a run is made durable and acknowledged without being waited for")
    producer = house.log.producer_port()
    acknowledgement = producer.append_columns(FIRST, RecordColumns([None], [b"v"], [NOW_MS]))

    before = (acknowledgement.done(), read_all(house.log, FIRST))
    acknowledgement.result()
    after = (acknowledgement.done(), read_all(house.log, FIRST))

    assert before == (False, [])
    assert after == (True, [b"v"])


def test_a_closed_producer_has_flushed_and_takes_nothing_more(house: LogHouse) -> None:
    producer = house.log.producer_port()
    append(producer, FIRST, [b"v"])

    producer.close()

    assert read_all(house.log, FIRST) == [b"v"]
    with pytest.raises(ClosedError):
        append(producer, FIRST, [b"w"])


def test_everything_is_there_after_a_restart(house: LogHouse) -> None:
    append(producer := house.log.producer_port(), FIRST, [b"a", b"b"])
    producer.flush()

    log = house.reopen()
    append(producer := log.producer_port(), FIRST, [b"c"])
    producer.flush()

    assert read_all(log, FIRST) == [b"a", b"b", b"c"]


# --- reading --------------------------------------------------------------------------------------


def test_a_reader_keeps_a_position_for_each_partition(house: LogHouse) -> None:
    producer = house.log.producer_port()
    append(producer, FIRST, [b"a", b"b"])
    append(producer, SECOND, [b"c"])
    producer.flush()
    reader = house.log.reader()

    reader.assign({FIRST: 1, SECOND: 0})
    first, second = reader.fetch(FIRST, bytes_max=100), reader.fetch(SECOND, bytes_max=100)

    assert first is not None
    assert second is not None
    assert (first.values, second.values) == ([b"b"], [b"c"])
    assert (reader.position(FIRST), reader.position(SECOND)) == (2, 1)
    assert reader.visible_end(FIRST) == 2


def test_a_position_outside_of_the_log_is_an_error_not_silence(house: LogHouse) -> None:
    append(producer := house.log.producer_port(), FIRST, [b"a", b"b", b"c"])
    producer.flush()
    house.log.delete_records({FIRST: 2})
    reader = house.log.reader()

    reader.assign({FIRST: 0, SECOND: 5})

    with pytest.raises(OffsetOutOfRangeError):
        reader.fetch(FIRST, bytes_max=100)
    with pytest.raises(OffsetOutOfRangeError):
        reader.fetch(SECOND, bytes_max=100)
    assert read_all(house.log, FIRST, 2) == [b"c"]


def test_wait_tells_whether_there_is_something_to_read(house: LogHouse) -> None:
    reader = house.log.reader()
    reader.assign({FIRST: 0})

    nothing = reader.wait(0)
    append(producer := house.log.producer_port(), FIRST, [b"a"])
    producer.flush()
    something = reader.wait(WAIT_S if house.is_remote else 0)
    reader.fetch(FIRST, bytes_max=100)

    assert (nothing, something, reader.wait(0)) == (False, True, False)


def test_progress_is_announced_when_records_become_readable(house: LogHouse) -> None:
    reader = house.log.reader()
    reader.assign({FIRST: 0})
    producer = house.log.producer_port()
    readable: list[bool] = []
    reader.on_progress(lambda: readable.append(reader.wait(0)))
    append(producer, FIRST, [b"a"])

    producer.flush()
    told = eventually(lambda: readable[:1], [True])
    reader.on_progress(None)
    reader.fetch(FIRST, bytes_max=100)
    append(producer, FIRST, [b"b"])
    producer.flush()

    assert told == [True]
    assert readable == [True]
    reader.close()


def test_offsets_for_a_time_are_the_first_at_or_after_it(house: LogHouse) -> None:
    producer = house.log.producer_port()
    for place in range(5):
        producer.append_columns(FIRST, RecordColumns([None], [b"v"], [NOW_MS - 100 + 10 * place])).result()

    found = house.log.offsets_for_time({FIRST: NOW_MS - 85, SECOND: 0})
    late = house.log.offsets_for_time({FIRST: NOW_MS})

    assert found == {FIRST: 2, SECOND: 0}
    assert late == {FIRST: 5}


# --- transactions ---------------------------------------------------------------------------------


def test_a_transaction_is_visible_in_all_partitions_once_it_commits(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")

    with producer.transaction() as transaction:
        append(transaction, FIRST, [b"a", b"b"])
        append(transaction, SECOND, [b"c"])
        append(transaction, FIRST, [b"d"])
        inside = [read_all(house.log, FIRST), read_all(house.log, SECOND)]

    assert inside == [[], []]
    assert settled(house, FIRST, [b"a", b"b", b"d"])
    assert settled(house, SECOND, [b"c"])


def test_a_transaction_that_raises_leaves_nothing(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")

    with pytest.raises(ZeroDivisionError), producer.transaction() as transaction:
        append(transaction, FIRST, [b"a"])
        transaction.commit_offsets("g", {SECOND: CommittedOffset(7)})
        raise ZeroDivisionError
    with producer.transaction() as transaction:
        append(transaction, FIRST, [b"b"])

    assert settled(house, FIRST, [b"b"])
    assert house.log.committed("g") == {}


def test_who_reads_uncommitted_sees_no_markers_but_aborted_records(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")
    with pytest.raises(ZeroDivisionError), producer.transaction() as transaction:
        append(transaction, FIRST, [b"a"]).result()
        raise ZeroDivisionError

    assert eventually(lambda: house.log.offsets([FIRST])[FIRST].last_stable, 2) == 2
    assert read_all(house.log, FIRST, isolation=Isolation.READ_UNCOMMITTED) == [b"a"]
    assert read_all(house.log, FIRST) == []


def test_an_open_transaction_holds_readers_back_at_its_first_record(house: LogHouse) -> None:
    plain = house.log.producer_port()
    with house.log.producer_port(transactional_id="t").transaction() as transaction:
        append(transaction, FIRST, [b"open"]).result()
        append(plain, FIRST, [b"after"])
        plain.flush()
        before = read_all(house.log, FIRST)

    assert before == []
    assert settled(house, FIRST, [b"open", b"after"])


def test_a_transaction_with_nothing_in_it_commits(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")

    with producer.transaction():
        pass
    with producer.transaction() as transaction:
        transaction.append_columns(FIRST, RecordColumns([], [], []))

    assert house.log.offsets([FIRST])[FIRST].log_end == 0


def test_a_newer_producer_fences_the_older_and_aborts_what_it_left_open(house: LogHouse) -> None:
    old = house.log.producer_port(transactional_id="t")
    with pytest.raises(ProducerFencedError), old.transaction() as transaction:
        append(transaction, FIRST, [b"zombie"])
        transaction.commit_offsets("g", {SECOND: CommittedOffset(7)})
        new = house.log.producer_port(transactional_id="t")
        decided = (read_all(house.log, FIRST), house.log.committed("g"))
        append(transaction, FIRST, [b"more"])
    with new.transaction() as transaction:
        append(transaction, FIRST, [b"heir"])

    assert decided == ([], {})
    assert settled(house, FIRST, [b"heir"])


def test_a_fenced_producer_cannot_commit(house: LogHouse) -> None:
    old = house.log.producer_port(transactional_id="t")

    with pytest.raises(ProducerFencedError), old.transaction() as transaction:
        append(transaction, FIRST, [b"zombie"])
        house.log.producer_port(transactional_id="t")

    assert read_all(house.log, FIRST) == []


def test_a_transaction_left_open_at_a_restart_is_aborted_by_its_successor(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")
    context = producer.transaction()
    append(context.__enter__(), FIRST, [b"lost"])

    log = house.reopen()
    with log.producer_port(transactional_id="t").transaction() as transaction:
        append(transaction, FIRST, [b"kept"])

    assert settled(house, FIRST, [b"kept"])


def test_closing_a_producer_aborts_its_open_transaction(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")
    context = producer.transaction()
    append(context.__enter__(), FIRST, [b"lost"]).result()

    producer.close()

    assert eventually(lambda: house.log.offsets([FIRST])[FIRST].last_stable, 2) == 2
    assert read_all(house.log, FIRST) == []


def test_transactions_need_a_transactional_producer_and_an_allowed_timeout(house: LogHouse) -> None:
    with pytest.raises(InvalidTransactionStateError), house.log.producer_port().transaction():
        pass
    with pytest.raises(InvalidTransactionStateError):
        append(house.log.producer_port(transactional_id="t"), FIRST, [b"v"]).result()
    with pytest.raises(InvalidConfigError):
        house.log.producer_port(transactional_id="t", transaction_timeout_ms=900_001)


def test_a_finished_transaction_takes_nothing_more(house: LogHouse) -> None:
    with house.log.producer_port(transactional_id="t").transaction() as transaction:
        append(transaction, FIRST, [b"a"])

    with pytest.raises(InvalidTransactionStateError):
        append(transaction, FIRST, [b"b"])


# --- positions ------------------------------------------------------------------------------------


def test_committed_positions_survive_a_restart(house: LogHouse) -> None:
    house.log.commit_offsets("g", {FIRST: CommittedOffset(5, "note"), SECOND: CommittedOffset(1)})
    house.log.commit_offsets("g", {SECOND: CommittedOffset(2)})

    log = house.reopen()

    assert log.committed("g") == {FIRST: CommittedOffset(5, "note"), SECOND: CommittedOffset(2)}
    assert log.committed("g", [SECOND]) == {SECOND: CommittedOffset(2)}
    assert log.committed("h", [SECOND]) == {}


def test_positions_in_a_transaction_move_only_when_it_commits(house: LogHouse) -> None:
    producer = house.log.producer_port(transactional_id="t")
    house.log.commit_offsets("g", {FIRST: CommittedOffset(1), SECOND: CommittedOffset(1)})

    with producer.transaction() as transaction:
        transaction.commit_offsets("g", {FIRST: CommittedOffset(9)})
        undisturbed = house.log.committed("g", [SECOND])
        with pytest.raises(RequestTimeoutError):
            house.log.committed("g", [FIRST])
    moved = {FIRST: CommittedOffset(9), SECOND: CommittedOffset(1)}
    committed = eventually(lambda: house.log.committed("g", [FIRST, SECOND]), moved)

    assert undisturbed == {SECOND: CommittedOffset(1)}
    assert committed == moved
    assert house.reopen().committed("g") == moved


def test_a_closed_log_says_so(house: LogHouse) -> None:
    house.log.close()
    house.log.close()

    with pytest.raises(ClosedError):
        house.log.topics()


# --- times of records ------------------------------------------------------------------------------


def test_a_record_keeps_its_time_and_one_without_stays_without(house: LogHouse) -> None:
    times_ms = [-1, 1, NOW_MS, -1, 86_400_000]
    with_times(house.log.producer_port(), times_ms)

    assert read_times(house.log) == times_ms


@pytest.mark.parametrize("bad", [-2, -86_400_000, 2**63])
@pytest.mark.parametrize("place", [0, 1])
def test_a_time_that_no_record_has_is_refused_before_anything_is_appended(
    house: LogHouse, bad: int, place: int
) -> None:
    producer = house.log.producer_port()
    times_ms = [NOW_MS, NOW_MS]
    times_ms[place] = bad
    with pytest.raises(InvalidTimestampError, match=f"timestamp_ms={bad}"):
        with_times(producer, times_ms)
    with_times(producer, [NOW_MS])

    assert read_times(house.log) == [NOW_MS]


def test_the_first_millisecond_of_1970_is_kept_or_refused(house: LogHouse) -> None:
    producer = house.log.producer_port()
    if producer.time_min_ms:
        with pytest.raises(InvalidTimestampError, match="librdkafka"):
            with_times(producer, [0])
    else:
        with_times(producer, [0])

    assert read_times(house.log) == ([] if producer.time_min_ms else [0])


def with_times(producer: Producer, times_ms: list[int]) -> None:
    values: list[bytes | None] = [b"v"] * len(times_ms)
    producer.append_columns(FIRST, RecordColumns([b"k"] * len(times_ms), values, times_ms)).result(WAIT_S)


def read_times(log: Log) -> list[int]:
    reader = log.reader()
    reader.assign({FIRST: 0})
    times_ms: list[int] = []
    while (run := reader.fetch(FIRST, bytes_max=1_000_000)) is not None:
        times_ms += run.timestamps_ms
    reader.close()
    return times_ms
