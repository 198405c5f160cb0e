"""Runs Apache Kafka's programs from its jars: a node on loopback, and the tools. Every wait is bounded."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOOL_LIMIT_S = 60
START_LIMIT_S = 90


@contextmanager
def kafka_running(jars: Path, work: Path, *settings: str) -> Iterator[str]:
    """One node of Kafka with its data in ``work``, for as long as the block runs; yields its address.

    ``settings`` are lines for its properties, beside what one node needs.
    """
    client_port, controller_port = free_ports(2)
    address = f"127.0.0.1:{client_port}"
    properties = work / "server.properties"
    properties.write_text(
        "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
                f"listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller_port}",
                f"advertised.listeners=PLAINTEXT://{address}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                f"log.dirs={work / 'kraft'}",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=1",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.num.partitions=1",
                "group.initial.rebalance.delay.ms=0",
                *settings,
            ]
        )
    )
    cluster_id = run_tool(jars, "kafka.tools.StorageTool", "random-uuid").split()[-1]
    run_tool(jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties))
    command = ["java", "-Xmx512m", f"-Dkafka.logs.dir={work}", "-cp", f"{jars}/*", "kafka.Kafka"]
    with (work / "kafka.log").open("wb") as output:
        node = subprocess.Popen([*command, str(properties)], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_it_listens(client_port, node)
        yield address
        node.terminate()
        assert node.wait(TOOL_LIMIT_S) in (0, 143)
    finally:
        node.kill()
        node.wait(TOOL_LIMIT_S)


def run_tool(jars: Path, name: str, *arguments: str, limit_s: int = TOOL_LIMIT_S) -> str:
    """Run one of Kafka's programs to its end, and return what it printed."""
    done = subprocess.run(
        ["java", "-Xmx256m", "-cp", f"{jars}/*", name, *arguments],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until_it_listens(port: int, node: subprocess.Popen[bytes]) -> None:
    """Wait until a node of Kafka takes connections."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while True:
        assert node.poll() is None, "Kafka ended while it started; see kafka.log"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s, "Kafka does not listen; see kafka.log"
            time.sleep(0.1)
        else:
            return


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
