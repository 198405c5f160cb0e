"""Three nodes of Apache Kafka on loopback, of which tests kill some. Every wait is bounded."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamcore as sc
from tests.interop.kafka_processes import free_ports, run_tool, wait_until_it_listens

NODES = (1, 2, 3)
READY_S_MAX = 120.0
END_S_MAX = 60.0


class KafkaCluster:
    """Nodes that are brokers and controllers, each with two replicas elsewhere of all that it has."""

    def __init__(self, jars: Path, work: Path) -> None:
        """Write the nodes' settings and format their folders; ``start`` starts them."""
        self._jars = jars
        self._work = work
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        ports = free_ports(2 * len(NODES))
        self._ports = dict(zip(NODES, ports, strict=False))
        controllers = dict(zip(NODES, ports[len(NODES) :], strict=True))
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        cluster_id = run_tool(jars, "kafka.tools.StorageTool", "random-uuid").split()[-1]
        for node in NODES:
            settings = self._settings_of(node)
            settings.parent.mkdir(parents=True)
            settings.write_text("\n".join(self._properties(node, controllers[node], voters)))
            run_tool(jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings))

    def address(self, nodes: Sequence[int] = NODES) -> str:
        """The address with which clients begin: that of some nodes."""
        return "kafka://" + ",".join(f"127.0.0.1:{self._ports[node]}" for node in nodes)

    def start(self, node: int) -> None:
        """Start a node that does not run; it joins the others by itself."""
        command = [
            "java",
            "-Xmx384m",
            f"-Dkafka.logs.dir={self._work}",
            "-cp",
            f"{self._jars}/*",
            "kafka.Kafka",
        ]
        with (self._work / f"kafka-{node}.log").open("ab") as output:
            self._processes[node] = subprocess.Popen(
                [*command, str(self._settings_of(node))], stdout=output, stderr=subprocess.STDOUT
            )

    def kill(self, node: int) -> None:
        """End a node with SIGKILL."""
        self._processes[node].send_signal(signal.SIGKILL)
        self._processes[node].wait(END_S_MAX)

    def start_missing(self) -> None:
        """Start the nodes that were killed."""
        for node, process in list(self._processes.items()):
            if process.poll() is not None:
                self.start(node)

    def wait_until_ready(self) -> None:
        """Wait until all nodes listen, and a topic can be created on all of them."""
        for node in NODES:
            wait_until_it_listens(self._ports[node], self._processes[node])
        deadline_s = time.monotonic() + READY_S_MAX
        with sc.connect(self.address()) as log:
            while True:
                with contextlib.suppress(sc.StreamCoreError):
                    log.create_topic(f"ready-{time.monotonic_ns()}", partitions=1)
                    return
                assert time.monotonic() < deadline_s, "the cluster is not ready; see kafka-1.log"
                time.sleep(0.5)

    def end(self) -> None:
        """End all nodes at once."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(END_S_MAX)

    def _settings_of(self, node: int) -> Path:
        return self._work / f"node-{node}" / "server.properties"

    def _properties(self, node: int, controller_port: int, voters: str) -> list[str]:
        address = f"PLAINTEXT://127.0.0.1:{self._ports[node]}"
        return [
            "process.roles=broker,controller",
            f"node.id={node}",
            f"controller.quorum.voters={voters}",
            f"listeners={address},CONTROLLER://127.0.0.1:{controller_port}",
            f"advertised.listeners={address}",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            f"log.dirs={self._settings_of(node).parent / 'kraft'}",
            "default.replication.factor=3",
            "min.insync.replicas=2",
            "offsets.topic.replication.factor=3",
            "offsets.topic.num.partitions=3",
            "transaction.state.log.replication.factor=3",
            "transaction.state.log.min.isr=2",
            "transaction.state.log.num.partitions=3",
            "group.initial.rebalance.delay.ms=0",
            # A killed broker is found out by its session with the controllers, 9 s by default.
            "broker.session.timeout.ms=3000",
            "broker.heartbeat.interval.ms=500",
        ]


@contextmanager
def cluster_running(jars: Path, work: Path) -> Iterator[KafkaCluster]:
    """Three nodes with their data in ``work``, for as long as the block runs."""
    cluster = KafkaCluster(jars, work)
    try:
        for node in NODES:
            cluster.start(node)
        cluster.wait_until_ready()
        yield cluster
    finally:
        cluster.end()
