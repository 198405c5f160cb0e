"""A node of the cluster is killed while a worker works: the worker goes on, and stops cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.connected_log import ConnectedLog
from tests.cluster.counting_app import PARTITIONS
from tests.cluster.kafka_cluster import NODES, KafkaCluster
from tests.crash.test_shop_kill import PROJECT

pytestmark = pytest.mark.cluster

KEYS = [f"k{number}" for number in range(20)]
CAUGHT_UP_S_MAX = 90.0
STOP_S_MAX = 60.0
"""A commit that is under way waits until other nodes have taken over what the lost one coordinated."""


class Counting:
    """One application on the cluster: its input, its worker's process, what it has counted."""

    def __init__(self, cluster: KafkaCluster, name: str, folder: Path) -> None:
        self.cluster, self.name, self.folder = cluster, name, folder
        self.sent: Counter[str] = Counter()
        with sc.connect(cluster.address()) as log:
            for topic in (f"{name}-words", f"{name}-counts"):
                log.create_topic(topic, partitions=PARTITIONS)

    def send(self, count: int) -> None:
        """Send records, acknowledged by two nodes at least."""
        with sc.connect(self.cluster.address()) as log, log.producer() as producer:
            for number in range(count):
                key = KEYS[number % len(KEYS)]
                producer.send(f"{self.name}-words", key=key.encode(), value=b"1")
                self.sent[key] += 1

    @contextmanager
    def worker(self, *nodes: int) -> Iterator[subprocess.Popen[str]]:
        """A worker that knows the addresses of these nodes."""
        with (self.folder / "output").open("a") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "streamcore", "worker", "tests.cluster.counting_app:app"),
                    *("--data", str(self.folder), "--broker", self.cluster.address(nodes)),
                ],
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": str(PROJECT), "COUNTING": self.name},
                stdout=output,
                stderr=output,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def wait_until_counted(self, process: subprocess.Popen[str]) -> None:
        """Wait until the newest count of each key is that of all records sent."""
        deadline_s = time.monotonic() + CAUGHT_UP_S_MAX
        with sc.connect(self.cluster.address()) as log:
            while self.committed(log) < sum(self.sent.values()):
                assert process.poll() is None, self.printed()
                assert time.monotonic() < deadline_s, self.printed()
                time.sleep(0.2)

    def committed(self, log: ConnectedLog) -> int:
        """How many input records the application has committed as done."""
        partitions = [sc.TopicPartition(f"{self.name}-words", number) for number in range(PARTITIONS)]
        return sum(each.offset for each in log.committed(self.name, partitions).values())

    def counted(self) -> list[tuple[str, int]]:
        """All counts that were written, committed, sorted."""
        found = []
        with (
            sc.connect(self.cluster.address()) as log,
            log.consumer(f"{self.name}-counts", start="earliest") as consumer,
        ):
            while records := consumer.poll("5s"):
                found += [((record.key or b"").decode(), int(record.value or b"0")) for record in records]
        return sorted(found)

    def expected(self) -> list[tuple[str, int]]:
        """Each count once."""
        return sorted((key, number) for key, count in self.sent.items() for number in range(1, count + 1))

    def printed(self) -> str:
        return (self.folder / "output").read_text()[-6_000:]


@pytest.fixture
def counting(cluster: KafkaCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Counting:
    name = "counting-" + "".join(letter for letter in request.node.name if letter.isalnum())[-60:]
    return Counting(cluster, name, tmp_path)


@pytest.fixture(autouse=True)
def _all_nodes(cluster: KafkaCluster) -> Iterator[None]:
    yield
    cluster.start_missing()
    cluster.wait_until_ready()


def stopped(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Send SIGTERM; return the exit status and the seconds until the end."""
    begun_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    return process.wait(STOP_S_MAX), time.monotonic() - begun_s


@pytest.mark.parametrize("known", [(1,), NODES], ids=["one address", "three addresses"])
@pytest.mark.parametrize("victim", NODES)
def test_a_worker_goes_on_without_a_node_and_stops_cleanly(
    cluster: KafkaCluster, counting: Counting, victim: int, known: tuple[int, ...]
) -> None:
    counting.send(200)
    with counting.worker(*known) as process:
        counting.wait_until_counted(process)
        cluster.kill(victim)
        counting.send(200)
        counting.wait_until_counted(process)

        code, _ = stopped(process)

    assert code == 0, counting.printed()
    assert counting.counted() == counting.expected()


@pytest.mark.parametrize("victim", NODES)
def test_a_worker_stops_cleanly_when_a_node_was_just_killed(
    cluster: KafkaCluster, counting: Counting, victim: int
) -> None:
    counting.send(200)
    with counting.worker(*NODES) as process:
        counting.wait_until_counted(process)
        counting.send(100)
        cluster.kill(victim)

        code, _ = stopped(process)

    assert code == 0, counting.printed()
    with counting.worker(*NODES) as process:
        counting.wait_until_counted(process)
        cluster.start(victim)
        assert stopped(process)[0] == 0, counting.printed()
    assert counting.counted() == counting.expected()
