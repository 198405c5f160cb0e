"""Kafka Connect moves lines between files and topics, standalone and distributed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.brokers import free_port
from tests.interop.client_table import Observations
from tests.interop.connect_worker import SINK, SOURCE, START_LIMIT_S, ConnectWorker
from tests.interop.log_view import LogView
from tests.interop.peers import CONNECT
from tests.interop.programs import wait_until

pytestmark = pytest.mark.interop

_LINES = [f"line {number}" for number in range(20_000)]


@pytest.fixture
def worker(jars: Path, tmp_path: Path, broker: str, observations: Observations) -> Iterator[ConnectWorker]:
    found = ConnectWorker(jars, tmp_path / "connect", broker, free_port())
    observations.versions[CONNECT] = _versions(jars)
    yield found
    found.kill()


def _versions(jars: Path) -> tuple[str, str]:
    (jar,) = jars.glob("connect-runtime-*.jar")
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    java = re.search(r'version "([^"]+)"', said)
    assert java is not None
    return jar.stem.removeprefix("connect-runtime-"), f"Java {java.group(1)}"


def written(file: Path, lines: list[str], mode: str = "w") -> None:
    with file.open(mode, encoding="utf-8") as opened:
        opened.writelines(f"{line}\n" for line in lines)


@pytest.mark.shows(CONNECT, "standalone")
def test_lines_go_from_a_file_to_a_topic_to_a_file(
    broker: str, name: str, worker: ConnectWorker, tmp_path: Path
) -> None:
    log = LogView(broker)
    log.create_topic(name, 1)
    source, sink = tmp_path / "source.txt", tmp_path / "sink.txt"
    written(source, _LINES[:500])
    connectors = {
        "source": {"connector.class": SOURCE, "file": source, "topic": name},
        "sink": {"connector.class": SINK, "file": sink, "topics": name},
    }

    def arrived(lines: list[str]) -> bool:
        worker.check()
        return sink.exists() and sink.read_text("utf-8").splitlines() == lines

    worker.start_standalone(connectors)
    wait_until(lambda: arrived(_LINES[:500]), worker.complaint, START_LIMIT_S)
    worker.stop()
    written(source, _LINES[500:600], "a")
    worker.start_standalone(connectors)
    wait_until(lambda: arrived(_LINES[:600]), worker.complaint, START_LIMIT_S)
    worker.stop()

    assert log.values(name, 0) == _LINES[:600]


@pytest.mark.shows(CONNECT, "distributed")
def test_each_line_is_written_once_although_the_worker_is_killed(
    broker: str, name: str, worker: ConnectWorker, tmp_path: Path
) -> None:
    log = LogView(broker)
    log.create_topic(name, 1)
    source = tmp_path / "source.txt"
    written(source, _LINES)
    # With less than it reads at a time, the source would keep the last lines for itself.
    configuration = {"connector.class": SOURCE, "file": str(source), "topic": name, "batch.size": "200"}

    def count() -> int:
        worker.check()
        return len(log.committed_records(name))

    worker.start_distributed(f"{name}-worker")
    worker.configure(
        f"{name}-source",
        {**configuration, "exactly.once.support": "required", "transaction.boundary": "poll"},
    )
    wait_until(lambda: count() > 0, worker.complaint, START_LIMIT_S)
    worker.kill()
    count_before = len(log.committed_records(name))
    worker.start_distributed(f"{name}-worker")
    wait_until(lambda: count() >= len(_LINES), lambda: f"{count()} {worker.complaint()}", START_LIMIT_S)
    worker.stop()

    assert [value for _, value in log.committed_records(name)] == _LINES
    assert count_before < len(_LINES), "killed too late to show anything"
