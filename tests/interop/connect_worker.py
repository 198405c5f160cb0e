"""A worker of Kafka Connect, standalone or distributed, as a process with a configuration in files."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

from tests.interop.fetching import java
from tests.interop.programs import Process, wait_until

_PACKAGE = "org.apache.kafka.connect"
_STRINGS = f"{_PACKAGE}.storage.StringConverter"
SOURCE = f"{_PACKAGE}.file.FileStreamSourceConnector"
SINK = f"{_PACKAGE}.file.FileStreamSinkConnector"
START_LIMIT_S = 90.0

Configuration = Mapping[str, object]


class ConnectWorker:
    """A worker that can be started again after its end."""

    def __init__(self, jars: Path, folder: Path, address: str, port: int) -> None:
        self._jars = jars
        self._folder = folder
        self._url = f"http://127.0.0.1:{port}"
        self._process: Process | None = None
        self._settings = {
            "bootstrap.servers": address,
            "key.converter": _STRINGS,
            "value.converter": _STRINGS,
            "listeners": self._url,
            "plugin.discovery": "service_load",
            "offset.flush.interval.ms": 500,
        }
        folder.mkdir()

    def start_standalone(self, connectors: Mapping[str, Configuration]) -> None:
        """Start a worker for these connectors, which keeps positions in a file."""
        files = [
            self._written(name, {"name": name, "tasks.max": 1, **connectors[name]}) for name in connectors
        ]
        positions = {"offset.storage.file.filename": self._folder / "positions"}
        worker = self._written("standalone", {**self._settings, **positions})
        self._start(f"{_PACKAGE}.cli.ConnectStandalone", worker, *files)

    def start_distributed(self, group: str) -> None:
        """Start a worker that keeps everything in topics, and writes what comes from sources exactly once."""
        settings = {
            "group.id": group,
            "exactly.once.source.support": "enabled",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "scheduled.rebalance.max.delay.ms": 0,
        }
        for kind in ("config", "offset", "status"):
            settings[f"{kind}.storage.topic"] = f"{group}-{kind}"
            settings[f"{kind}.storage.replication.factor"] = 1
        worker = self._written("distributed", {**self._settings, **settings})
        self._start(f"{_PACKAGE}.cli.ConnectDistributed", worker)

    def _start(self, program: str, *files: Path) -> None:
        command = [*java(f"{self._jars}/*"), program, *map(str, files)]
        self._process = Process(command, self._folder / "worker.log")

    def _written(self, name: str, settings: Configuration) -> Path:
        file = self._folder / f"{name}.properties"
        file.write_text("".join(f"{each}={settings[each]}\n" for each in settings), "utf-8")
        return file

    def configure(self, name: str, configuration: Configuration) -> None:
        """Create a connector through the worker's own interface, once it is there."""
        body = json.dumps({"tasks.max": "1", **configuration}).encode()

        def is_taken() -> bool:
            request = urllib.request.Request(
                f"{self._url}/connectors/{name}/config",
                body,
                {"Content-Type": "application/json"},
                method="PUT",
            )
            try:
                with urllib.request.urlopen(request, timeout=START_LIMIT_S):
                    return True
            except URLError:
                self.check()
                return False

        wait_until(is_taken, self.complaint, START_LIMIT_S)

    def check(self) -> None:
        """Fail the test if the worker has ended."""
        assert self._process is not None
        assert self._process.process.poll() is None, self.complaint()

    def complaint(self) -> str:
        """The end of what it printed."""
        assert self._process is not None
        return self._process.complaint()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End it in good order."""
        assert self._process is not None
        self._process.terminate(START_LIMIT_S)
