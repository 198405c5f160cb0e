"""Whatever a client sends to a served log, nobody else notices, nothing is kept, nothing unforeseen happens.

A log is served by a process of its own. Hostile cases are sent to it, beside a well-behaved client.
At the end its memory, descriptors and threads are what they were, and its log has no traceback.

``FUZZ_CASES=1000000`` tries more of them, ``FUZZ_SEED=7`` others.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from streamcore.log.protocol.apis import API_VERSIONS
from tests.crash.broker_process import BrokerProcess
from tests.hostile.bystander import Bystander
from tests.hostile.hostile_cases import Case, Ending, HostileClient
from tests.hostile.process_costs import ProcessCosts

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("FUZZ_CASES", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "2013"))

ANSWER_S = 0.02
"""So long the client waits for an answer: a fetch or a join may rightly take longer."""
SILENT_MAX = 50
CHECKED_EVERY = 1_000
MEMORY_GROWTH_BYTES_MAX = 24 * 1024 * 1024
THREADS_MAX = 32
"""Pools start their threads one by one, each when all others are busy; so many there may be in all."""
ROUND_S_MAX = 5.0
"""The longest that three answers to the well-behaved client may take together, on a machine that is busy."""
ROUND_S_MEDIAN_MAX = 0.25


class Line:
    """The client's end of the wire: sends a case, looks at what comes back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._silent: deque[socket.socket] = deque()
        self.answer_count = 0
        self.closed_count = 0

    def play(self, case: Case) -> None:
        """Send a case, and end it as it wants to be ended."""
        if case.ending is not Ending.WAIT or case.is_slow:
            with self._connected() as other:
                self._send(other, case)
                self._end(other, case.ending)
            return
        if self._socket is None:
            self._socket = self._connect()
        try:
            self._send(self._socket, case)
            answer = _received(self._socket)
        except OSError:
            self.closed_count += 1
            self._drop()
            return
        if answer is None or case.correlation_id is None:
            self._drop()
        if answer is not None and case.correlation_id is not None:
            self.answer_count += 1
            check_answer(case, answer)

    def close(self) -> None:
        """Close everything."""
        self._drop()
        while self._silent:
            self._silent.pop().close()

    def _send(self, to: socket.socket, case: Case) -> None:
        if not case.is_slow:
            to.sendall(case.data)
            return
        for position in range(min(len(case.data), 30)):
            to.sendall(case.data[position : position + 1])

    def _end(self, other: socket.socket, ending: Ending) -> None:
        match ending:
            case Ending.RESET:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Ending.HALF_CLOSE:
                other.shutdown(socket.SHUT_WR)
                _wait_for_end(other)
            case Ending.STAY_SILENT:
                self._silent.append(other.dup())
                if len(self._silent) > SILENT_MAX:
                    self._silent.popleft().close()
            case _:
                pass

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=10.0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with self._connect() as made:
            try:
                yield made
            except ConnectionError:
                self.closed_count += 1

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _received(connection: socket.socket) -> bytes | None:
    """The next answer, whole; ``None`` if none begins in time."""
    connection.settimeout(ANSWER_S)
    try:
        first = connection.recv(4)
    except TimeoutError:
        return None
    finally:
        connection.settimeout(10.0)
    if not first:
        raise ConnectionError("closed by the server")
    data = bytearray(first)
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        more = connection.recv(1 << 16)
        assert more, "an answer is cut off"
        data += more
    assert len(data) == 4 + struct.unpack_from(">i", data)[0], "more than the answer came"
    return bytes(data[4:])


def _wait_for_end(connection: socket.socket) -> None:
    """A connection on which no more can come is closed from the other side, too."""
    connection.settimeout(10.0)
    while connection.recv(1 << 16):
        pass


def check_answer(case: Case, answer: bytes) -> None:
    """An answer says whose it is, and is a message of its API and version."""
    assert case.api is not None
    (correlation_id,) = struct.unpack_from(">i", answer)
    assert correlation_id == case.correlation_id
    start = 5 if case.api.is_flexible(case.version) and case.api is not API_VERSIONS else 4
    response = case.api.response_codec(case.version).decode(answer, start)
    assert isinstance(response, case.api.response_type)


def test_hostile_clients_hurt_nobody(tmp_path: Path) -> None:
    hostile = HostileClient(SEED)
    with BrokerProcess(tmp_path / "data", tmp_path / "broker.log", is_eager=False) as broker:
        broker.start()
        bystander, line = Bystander(broker.port), Line(broker.port)
        bystander.start()
        try:
            play(hostile, line, broker, CASES // 2)
            before = settled_costs(broker, line)
            play(hostile, line, broker, CASES - CASES // 2)
            after = settled_costs(broker, line)
        finally:
            bystander.stop()

        print(f"answers={line.answer_count} closed={line.closed_count} before={before} after={after}")
        print(f"bystander rounds={len(bystander.durations_s)} median={median(bystander.durations_s):.4f}s")
        assert bystander.failure is None, bystander.failure
        assert not broker.faults(), "\n\n".join(broker.faults()[:3])
        assert line.answer_count > CASES / 10
        assert after.descriptor_count <= before.descriptor_count + 5
        assert after.thread_count <= THREADS_MAX
        assert after.memory_bytes <= before.memory_bytes + MEMORY_GROWTH_BYTES_MAX
        assert max(bystander.durations_s) < ROUND_S_MAX
        assert median(bystander.durations_s) < ROUND_S_MEDIAN_MAX
        broker.stop()


def play(hostile: HostileClient, line: Line, broker: BrokerProcess, count: int) -> None:
    """Play so many cases; stop where the broker has shown a fault."""
    recent: deque[Case] = deque(maxlen=CHECKED_EVERY)
    for index, case in enumerate(hostile.cases(count)):
        recent.append(case)
        try:
            line.play(case)
        except BaseException as error:
            error.add_note(f"playing {case}")
            raise
        if index % CHECKED_EVERY == 0 and broker.faults():
            told = "\n".join(f"{each.api} {each.version} {each.data.hex()}" for each in recent)
            (broker.data.parent / "cases.txt").write_text(told)
            raise AssertionError(f"kept in {broker.data.parent}: {broker.faults()[0]}")


def settled_costs(broker: BrokerProcess, line: Line) -> ProcessCosts:
    """What the broker costs when nobody but the well-behaved client is connected any more."""
    line.close()
    costs = ProcessCosts.of(broker.pid)
    for _ in range(40):
        time.sleep(0.05)
        before, costs = costs, ProcessCosts.of(broker.pid)
        if costs.descriptor_count >= before.descriptor_count:
            break
    return costs
