"""A client that does almost no work: ``produce|fetch|refetch ADDRESS TOPIC --count N ...``.

It shows the throughput of the broker on a machine where clients would use most of the processor.

* ``produce`` sends requests that were encoded before, one batch in each, over one connection, with as many
  unanswered requests as idempotent clients send.
* ``fetch`` fetches all partitions over one connection, in librdkafka's sizes, and checks the header of each
  batch: all offsets arrive, each once.
* ``refetch`` reads old data: it fetches everything repeatedly until SIGTERM. Before each pass it drops the
  files in ``--drop`` from the system's page cache, so that all of it comes from the disk.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from bench.broker.loads.report import print_numbers, throughput_numbers
from bench.broker.topics import batch_of, connect, encoded_produce
from bench.usage import measured
from streamcore.log.protocol.apis import FETCH, PRODUCE
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from streamcore.log.records.batch import HEADER_BYTES, parse_header
from tests.support.serving import FETCH_VERSION, PRODUCE_VERSION
from tests.support.wire_client import WireClient

_IN_FLIGHT_MAX = 5
_PARTITION_BYTES_MAX = 1_048_576
_RESPONSE_BYTES_MAX = 52_428_800
"""librdkafka's defaults, as is the size of a partition's part."""
_RESPONSE_HEADER_BYTES = 5


class Stopped(Exception):
    """SIGTERM arrived."""


class FrameReader:
    """Reads frames of any size into its own buffer, which the next frame overwrites."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._memory = memoryview(bytearray(4 * _PARTITION_BYTES_MAX))

    def read(self) -> memoryview:
        """Return the next frame, without its length."""
        size = int.from_bytes(self._fill(4), "big")
        if size > len(self._memory):
            self._memory = memoryview(bytearray(size))
        return self._fill(size)

    def _fill(self, size: int) -> memoryview:
        wanted = self._memory[:size]
        filled = 0
        while filled < size:
            count = self._peer.recv_into(wanted[filled:])
            assert count, "the broker has closed the connection"
            filled += count
        return wanted


def produce(
    client: WireClient, topic: str, count: int, value_bytes: int, partition_count: int, batch_records: int
) -> dict[str, float]:
    """Produce ``count`` equal records, spread evenly over the partitions."""
    batch = batch_of(batch_records, value_bytes)
    requests = [encoded_produce(topic, batch, number) for number in range(partition_count)]
    rest = count % batch_records
    asked = [requests[number % partition_count] for number in range(count // batch_records)]
    if rest:
        asked.append(encoded_produce(topic, batch_of(rest, value_bytes), 0))

    def take_answer() -> None:
        answer = client.receive(PRODUCE, PRODUCE_VERSION).responses[0].partition_responses[0]
        assert answer.error_code == 0, answer

    with measured() as cost:
        for number, request in enumerate(asked):
            if number >= _IN_FLIGHT_MAX:
                take_answer()
            client.socket.sendall(request)
        for _ in asked[-_IN_FLIGHT_MAX:]:
            take_answer()
    return throughput_numbers(count, cost)


def fetch(client: WireClient, topic: str, count: int, partition_count: int) -> dict[str, float]:
    """Fetch until ``count`` records have arrived."""
    with measured() as cost:
        seen = sum(records for records, _ in _pass(client, topic, count, partition_count))
    assert seen == count, f"{seen} records, not {count}"
    return throughput_numbers(count, cost)


def refetch(
    client: WireClient, topic: str, count: int, partition_count: int, drop: list[Path]
) -> dict[str, float]:
    """Fetch everything repeatedly from the disk until SIGTERM; return the rate."""
    total_bytes, passes = 0, 0
    drop_from_page_cache(drop)
    began_s = time.perf_counter()
    try:
        print("ready", flush=True)
        while True:
            for _, size in _pass(client, topic, count, partition_count):
                total_bytes += size
            passes += 1
            drop_from_page_cache(drop)
    except Stopped:
        pass
    return {"read_mb_per_s": total_bytes / (time.perf_counter() - began_s) / 1e6, "passes": passes}


def drop_from_page_cache(files: list[Path]) -> None:
    """Drop the files from the page cache. Bytes that are not on disk yet stay."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _pass(client: WireClient, topic: str, count: int, partition_count: int) -> Iterator[tuple[int, int]]:
    """Fetch from the beginning to the end; yield the numbers of records and bytes of each response."""
    reader = FrameReader(client.socket)
    codec = FETCH.response_codec(FETCH_VERSION)
    positions = [0] * partition_count
    while (before := sum(positions)) < count:
        client.send(_fetch_request(topic, positions), FETCH_VERSION)
        frame = reader.read()
        response = codec.decode(frame, _RESPONSE_HEADER_BYTES)
        assert isinstance(response, FetchResponse)
        for answer in response.responses[0].partitions:
            assert answer.error_code == 0, answer
            if answer.records:
                assert isinstance(answer.records, memoryview)
                number = answer.partition_index
                positions[number] = _end_of(answer.records, positions[number])
        records = sum(positions) - before
        assert records, f"nothing came after {before} records of {count}"
        yield records, len(frame)


def _fetch_request(topic: str, positions: list[int]) -> FetchRequest:
    wanted = [
        FetchPartition(partition=number, fetch_offset=position, partition_max_bytes=_PARTITION_BYTES_MAX)
        for number, position in enumerate(positions)
    ]
    return FetchRequest(
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=_RESPONSE_BYTES_MAX,
        topics=[FetchTopic(topic=topic, partitions=wanted)],
    )


def _end_of(batches: memoryview, position: int) -> int:
    """Return where the last complete batch in these bytes ends. Another one may follow, cut off."""
    at = 0
    while at + HEADER_BYTES <= len(batches):
        header = parse_header(batches, at)
        at += header.size_bytes
        if at > len(batches):
            break
        assert header.base_offset == position, f"offset {header.base_offset}, not {position}"
        position = header.end_offset
    return position


def main() -> None:
    """Read the command line, run the load, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=("produce", "fetch", "refetch"))
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--batch-records", type=int, default=1_000)
    parser.add_argument("--drop", type=Path, action="append", default=[], metavar="FILE")
    options = parser.parse_args()
    topic, count, partitions = options.topic, options.count, options.partitions
    with connect(options.address) as client:
        match options.work:
            case "produce":
                numbers = produce(
                    client, topic, count, options.value_bytes, partitions, options.batch_records
                )
            case "fetch":
                numbers = fetch(client, topic, count, partitions)
            case _:
                signal.signal(signal.SIGTERM, _stop)
                numbers = refetch(client, topic, count, partitions, options.drop)
    print_numbers(numbers)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    main()
