"""A client that pauses when it is full gets as much as its application takes, and nobody gets less."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.fetch import FetchResponse
from streamcore.log.protocol.messages.metadata import MetadataRequest
from streamcore.log.server.fetch_pace import ANSWER_BYTES_MIN, HOLD_S_MAX, FetchPace, pauses_when_full
from tests.support.serving import FETCH_VERSION, NOW_MS, batch, client_of, fetch_request, produce
from tests.support.wire_client import WireClient

RECORD_BYTES = 108
QUEUE_RECORDS = 100_000
BACKOFF_S = 1.0
SERVE_S_PER_BYTE = 1e-9
PARSE_S_PER_RECORD = 5e-8
ROUND_TRIP_S = 1e-4
STEP_S = 0.01
SMALL_ANSWER = 9_000
ANSWER = 27_000
LARGE_ANSWER = 144_000

Speed = Callable[[float], float]
"""Records a second that the application takes, by the time."""


class Unhindered(FetchPace):
    """As if there were no pace."""

    def hold_s(self, now_s: float) -> float:
        return 0.0


@dataclass
class PausingClient:
    """A model of librdkafka with its application, at a broker that answers fast."""

    pace: FetchPace
    speed: Speed
    answer_records: int = ANSWER
    batch_records: int = 1
    now_s: float = 0.0
    queued: float = 0.0
    taken: float = 0.0
    pauses_s: list[float] = field(default_factory=list)
    holds_s: list[float] = field(default_factory=list)

    def run_until(self, end_s: float) -> float:
        """Fetch and take; the records that were taken a second meanwhile."""
        start_s, taken = self.now_s, self.taken
        while self.now_s < end_s:
            self._fetch()
        return (self.taken - taken) / (self.now_s - start_s)

    def _fetch(self) -> None:
        hold_s = self.pace.hold_s(self.now_s)
        self.holds_s.append(hold_s)
        bytes_max = self.pace.bytes_max(self.answer_records * RECORD_BYTES)
        batch_count = max(1, bytes_max // RECORD_BYTES // self.batch_records)
        count = batch_count * self.batch_records
        self._pass(hold_s + ROUND_TRIP_S + count * RECORD_BYTES * SERVE_S_PER_BYTE)
        self.pace.answered(count * RECORD_BYTES, self.now_s, has_waited=False)
        self._pass(count * PARSE_S_PER_RECORD)
        self.queued += count
        if self.queued >= QUEUE_RECORDS:
            self.pauses_s.append(self.now_s)
        while self.queued >= QUEUE_RECORDS:
            self._pass(BACKOFF_S)

    def _pass(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            step_s = min(STEP_S, end_s - self.now_s)
            taken = min(self.queued, self.speed(self.now_s) * step_s)
            self.queued -= taken
            self.taken += taken
            self.now_s = end_s if end_s - self.now_s <= STEP_S else self.now_s + step_s


def steady(records_per_s: float) -> Speed:
    return lambda now_s: records_per_s


def paced_client() -> PausingClient:
    """A client of a fast application, whose pace has a rate."""
    client = PausingClient(FetchPace(), steady(1_500_000))
    client.run_until(10)
    assert client.pace.rate is not None
    return client


@pytest.mark.parametrize(
    ("name", "version"),
    [("librdkafka", "2.6.0"), ("confluent-kafka-python", "2.12.2-rdkafka-2.12.1"), ("rust-rdkafka", "0.37")],
)
def test_clients_that_stand_on_librdkafka_are_paced(name: str, version: str) -> None:
    assert pauses_when_full(name, version)


@pytest.mark.parametrize("name", ["apache-kafka-java", "kafka-python", "aiokafka", "franz-go", "", "kafkajs"])
def test_other_clients_are_not(name: str) -> None:
    assert not pauses_when_full(name, "4.3.0")


@pytest.mark.parametrize("answer_records", [SMALL_ANSWER, ANSWER, LARGE_ANSWER])
@pytest.mark.parametrize("speed", [400_000, 800_000, 1_500_000, 3_000_000, 5_000_000])
def test_pauses_become_rare_and_a_fast_application_gets_most_of_what_it_can_take(
    speed: int, answer_records: int
) -> None:
    unhindered = PausingClient(Unhindered(), steady(speed), answer_records)
    client = PausingClient(FetchPace(), steady(speed), answer_records)

    unhindered_rate = unhindered.run_until(60)
    client.run_until(10)
    rate = client.run_until(60)

    assert len(client.pauses_s) <= 10 < 50 <= len(unhindered.pauses_s)
    assert rate >= (0.82 if speed <= 1_500_000 else 0.74) * speed
    assert rate >= 2.3 * unhindered_rate


@pytest.mark.parametrize("answer_records", [SMALL_ANSWER, ANSWER, LARGE_ANSWER])
@pytest.mark.parametrize("speed", [1_000, 10_000, 30_000, 50_000, 100_000])
def test_a_slow_application_gets_no_less(speed: int, answer_records: int) -> None:
    client = PausingClient(FetchPace(), steady(speed), answer_records)

    rate = client.run_until(60)

    assert rate >= 0.99 * speed


@pytest.mark.parametrize("speed", [125_000, 150_000, 200_000, 250_000])
@pytest.mark.parametrize("answer_records", [SMALL_ANSWER, ANSWER, 90_000, LARGE_ANSWER])
def test_an_application_that_pauses_hardly_slow_down_gets_hardly_less(
    speed: int, answer_records: int
) -> None:
    unhindered = PausingClient(Unhindered(), steady(speed), answer_records)
    client = PausingClient(FetchPace(), steady(speed), answer_records)

    assert client.run_until(60) >= 0.95 * unhindered.run_until(60)


@pytest.mark.parametrize("slow", [10_000, 30_000, 50_000, 100_000, 200_000])
def test_an_application_that_becomes_fast_gets_no_less_at_first_and_soon_more(slow: int) -> None:
    def speed(now_s: float) -> float:
        return slow if now_s < 20 else 1_500_000

    unhindered = PausingClient(Unhindered(), speed)
    client = PausingClient(FetchPace(), speed)
    unhindered.run_until(20)
    client.run_until(20)

    assert client.run_until(25) >= 0.95 * unhindered.run_until(25)
    client.run_until(100)
    assert client.run_until(120) >= 5 * unhindered.run_until(120)


def test_where_one_batch_fills_the_client_pacing_is_given_up() -> None:
    many = 3 * QUEUE_RECORDS
    unhindered = PausingClient(Unhindered(), steady(1_500_000), many, batch_records=QUEUE_RECORDS)
    client = PausingClient(FetchPace(), steady(1_500_000), many, batch_records=QUEUE_RECORDS)

    assert client.run_until(60) >= 0.9 * unhindered.run_until(60)
    assert client.pace.rate is None


def test_a_fetch_is_held_briefly() -> None:
    client = paced_client()

    assert 0 < max(client.holds_s) <= HOLD_S_MAX


def test_a_fetch_answer_is_a_part_of_the_clients_buffer() -> None:
    client = paced_client()

    assert client.pace.bytes_max(50_000_000) < QUEUE_RECORDS * RECORD_BYTES / 2
    assert client.pace.bytes_max(1_000) == 1_000


def test_a_reader_that_has_caught_up_is_not_held() -> None:
    pace = paced_client().pace

    pace.answered(ANSWER_BYTES_MIN - 1, 10.0, has_waited=False)
    after_little = pace.hold_s(10.0)
    pace.answered(100 * ANSWER_BYTES_MIN, 10.0, has_waited=True)
    after_waiting = pace.hold_s(10.0)
    pace.answered(100 * ANSWER_BYTES_MIN, 10.0, has_waited=False)
    after_much = pace.hold_s(10.0)

    assert (after_little, after_waiting) == (0, 0)
    assert after_much > 0


def test_a_rate_that_has_held_nothing_for_a_minute_is_forgotten() -> None:
    pace = paced_client().pace
    now_s = 11.0

    while now_s < 75:
        pace.answered(ANSWER_BYTES_MIN, now_s, has_waited=False)
        now_s += 0.2
        pace.hold_s(now_s)

    assert pace.rate is None


# --- over a connection ------------------------------------------------------------------------------


VALUES = [b"v" * 50_000] * 4
ANSWER_BYTES = len(VALUES) * len(VALUES[0])


def fetch_some(client: WireClient) -> int:
    """Fetch from the start and return how many bytes of records came."""
    return answered_bytes(client.ask(fetch_request("t"), FETCH_VERSION))


def answered_bytes(response: FetchResponse) -> int:
    records = response.responses[0].partitions[0].records
    assert isinstance(records, bytes | memoryview)
    return len(records)


def slow_down(served: sc.ServedLog, client: WireClient, clock: ManualClock) -> None:
    """Read and pause as librdkafka does, until the next Fetch will be held."""
    served.log.create_topic("t", partitions=1)
    with client_of(served) as producer:
        for _ in range(5):
            produce(producer, "t", batch(*VALUES))
    client.ask(
        ApiVersionsRequest(client_software_name="librdkafka", client_software_version="2.12.1"), version=3
    )
    for _ in range(3):
        assert fetch_some(client) >= 4 * ANSWER_BYTES
    clock.advance(1_000)
    assert fetch_some(client) < 4 * ANSWER_BYTES  # so there is a rate, and it limits answers


def test_a_held_fetch_is_answered_before_the_requests_behind_it(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    with sc.serve(tmp_path, listen="127.0.0.1:0", clock=clock) as served, client_of(served) as client:
        slow_down(served, client, clock)

        sent_s = time.monotonic()
        fetching = client.send(fetch_request("t"), FETCH_VERSION)
        asking = client.send(MetadataRequest(topics=[]), 9)
        count = answered_bytes(client.receive(fetching, FETCH_VERSION))
        held_s = time.monotonic() - sent_s
        cluster_id = client.receive(asking, 9).cluster_id

    assert held_s >= 0.01
    assert count >= ANSWER_BYTES
    assert cluster_id


def test_a_client_may_go_while_its_fetch_is_held(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(NOW_MS)
    with sc.serve(tmp_path, listen="127.0.0.1:0", clock=clock) as served:
        with client_of(served) as client:
            slow_down(served, client, clock)
            client.send(fetch_request("t"), FETCH_VERSION)

        with client_of(served) as other:
            count = fetch_some(other)

    assert count >= 4 * ANSWER_BYTES
    assert not caplog.records


def test_a_server_may_stop_while_a_fetch_is_held(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(NOW_MS)
    with sc.serve(tmp_path, listen="127.0.0.1:0", clock=clock) as served:
        client = client_of(served)
        slow_down(served, client, clock)
        client.send(fetch_request("t"), FETCH_VERSION)

    with client:
        assert client.is_closed_by_peer()
    assert not caplog.records
