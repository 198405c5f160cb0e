"""Many connections, each with one request at a time, each request with one record of 100 bytes.

``ADDRESS TOPIC --connections N --seconds S ...``. One process with epoll and requests that were encoded
before, so that the load costs little compared with the broker. It warms up before it counts. A request is
answered when its whole response has arrived. The answers are checked at the end: the topic must have as many
records as there were requests.
"""

from __future__ import annotations

import argparse
import select
import socket
import time

from bench.broker.loads.report import latency_numbers, print_numbers
from bench.broker.topics import batch_of, connect, encoded_produce

_VALUE_BYTES = 100
_SILENCE_LIMIT_S = 30.0
_ANSWER_BYTES = 65_536


class Load:
    """The connections, their requests, and the times of sending."""

    def __init__(self, address: str, requests: list[bytes]) -> None:
        """Open one connection for each request, which it sends repeatedly."""
        self._poll = select.epoll()
        self._peers: dict[int, socket.socket] = {}
        self._requests: dict[int, bytes] = {}
        self._sent_s: dict[int, float] = {}
        for request in requests:
            peer = connect(address).socket
            peer.setblocking(True)  # without a time-out a call is one system call; the poll notices silence
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[peer.fileno()] = peer
            self._requests[peer.fileno()] = request
            self._poll.register(peer.fileno(), select.EPOLLIN)

    def run(self, seconds: float, uncounted_s: float) -> tuple[list[float], float, int]:
        """Send each request again after its answer, until the time is over and all are answered.

        Returns the counted latencies, the time in seconds, and the number of all requests.
        """
        peers, requests, sent_s, now = self._peers, self._requests, self._sent_s, time.perf_counter
        latencies_s: list[float] = []
        counted_from_s = now() + uncounted_s
        end_s = counted_from_s + seconds
        for descriptor, peer in peers.items():
            sent_s[descriptor] = now()
            peer.sendall(requests[descriptor])
        under_way, asked = len(peers), len(peers)
        while under_way:
            ready = self._poll.poll(_SILENCE_LIMIT_S)
            assert ready, f"{under_way} requests are not answered"
            for descriptor, _ in ready:
                peer = peers[descriptor]
                _take_answer(peer)
                answered_s = now()
                if answered_s >= counted_from_s:
                    latencies_s.append(answered_s - sent_s[descriptor])
                if answered_s >= end_s:
                    under_way -= 1
                    continue
                sent_s[descriptor] = answered_s
                peer.sendall(requests[descriptor])
                asked += 1
        return latencies_s, now() - counted_from_s, asked


def _take_answer(peer: socket.socket) -> None:
    """Read a response; it is small and mostly arrives at once."""
    answer = peer.recv(_ANSWER_BYTES)
    size = 4 + int.from_bytes(answer[:4], "big")
    while len(answer) < size:
        more = peer.recv(_ANSWER_BYTES)
        assert more, "the broker has closed a connection"
        answer += more


def main() -> None:
    """Read the command line, run the load, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--uncounted-s", type=float, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    batch = batch_of(1, _VALUE_BYTES)
    requests = [
        encoded_produce(options.topic, batch, number % options.partitions)
        for number in range(options.connections)
    ]
    began_s = time.process_time()
    latencies_s, wall_s, asked = Load(options.address, requests).run(options.seconds, options.uncounted_s)
    cpu_us = (time.process_time() - began_s) / asked * 1e6
    print_numbers(
        {
            **latency_numbers(latencies_s),
            "wall_s": wall_s,
            "asked": asked,
            "client_cpu_us": cpu_us,
        }
    )


if __name__ == "__main__":
    main()
