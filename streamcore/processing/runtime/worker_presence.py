"""The presence of a worker that runs all tasks on the log of its folder, and the names of workers.

The worker is a member of the group of the application's name, so Kafka's tools, which read the group to see
what runs, refuse to move or delete its offsets meanwhile, and a worker of the same log behind a broker is
refused. A worker that finds another member waits for the session timeout without a sign of life, then
ends with an error. A member that an earlier worker of this folder left behind by a crash is known by its
client id and is not waited for: the lock on the folder proves that it is dead.

The commits do not depend on this membership: the transactional id fences a worker that came before. Workers
that share the tasks of an application are members that own tasks (``task_group``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import DirectoryInUseError, StreamCoreError, UsageError, fact_text
from streamcore.log.client.application_groups import descriptions_topic
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.client.group_log import Member, MemberSummary
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Offset, TopicPartition
from streamcore.processing.runtime.task_group import SESSION_S
from streamcore.processing.runtime.topics import ensure_descriptions
from streamcore.state.directory import StateDirectory

_logger = logging.getLogger(__name__)

_MARGIN_S: Final = 2
_ASK_EVERY_S: Final = 0.5
_FOLLOW_EVERY_S: Final = 1.0
_LEAVE_WAIT_S: Final = 5.0
_EMBEDDED: Final = "embedded"
CLIENT_PREFIX: Final = "streamcore-worker-"
_AT: Final = "@"
"""Between the name of a worker and the address of its HTTP server."""


_at_work: set[tuple[Path, str, str]] = set()


@contextmanager
def alone_in_process(data: Path, app_id: str, worker: str = "") -> Iterator[None]:
    """Refuse a second worker for an application on a folder in this process.

    The lock on the folder keeps other processes out.

    Args:
        worker: the name of the worker among those that share the folder.

    Raises:
        DirectoryInUseError: this process runs the application there.
    """
    folder_and_app = (data.resolve(), app_id, worker)
    if folder_and_app in _at_work:
        raise DirectoryInUseError(
            "this process runs the application on this folder already; stop it first, or use another folder: "
            + fact_text(app=app_id, path=data)
        )
    _at_work.add(folder_and_app)
    try:
        yield
    finally:
        _at_work.discard(folder_and_app)


def runs_here(data: Path, app_id: str) -> bool:
    """Whether this process runs an application on a folder."""
    return any(found[:2] == (data.resolve(), app_id) for found in _at_work)


def worker_presence(log: ConnectedLog, app_id: str, clock: Clock) -> WorkerPresence:
    """Return the presence of the worker of a folder with its log."""
    ensure_descriptions(log, app_id)
    return WorkerPresence(log, app_id, f"{CLIENT_PREFIX}{_EMBEDDED}", clock)


def worker_name(data: Path, app_id: str, *, has_state: bool) -> str:
    """Return the name of the worker of a broker: the same after a restart, another in every other folder.

    Args:
        has_state: the folder holds the application's state. A worker without one has a new name at each
            start.
    """
    if not has_state:
        return secrets.token_hex(8)
    path = _name_path(data, app_id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_text(secrets.token_hex(8))
        # Workers that share the folder and start at the same time get the same name.
        with contextlib.suppress(FileExistsError):
            os.link(written, path)
        written.unlink()
    return path.read_text().strip()


def client_id_of(worker: str, address: str | None) -> str:
    """Return the client id of a worker in its group: its name, and the address of its HTTP server, if any."""
    return worker if address is None else f"{worker}{_AT}{address}"


def worker_in(client_id: str) -> str:
    """Return the name of the worker with this client id."""
    return client_id.partition(_AT)[0]


def address_in(client_id: str) -> str | None:
    """Return the address of the HTTP server of the worker with this client id; ``None`` without one."""
    return client_id.partition(_AT)[2] or None


def presence_id(log: ConnectedLog, data: Path, app_id: str) -> str:
    """Return how the client ids of the workers of a folder begin; nothing for a folder that had none.

    The lock on the folder of an embedded log keeps all others out, so that its worker needs no name.
    """
    if log.is_embedded:
        return f"{CLIENT_PREFIX}{_EMBEDDED}"
    path = _name_path(data, app_id)
    return f"{CLIENT_PREFIX}{path.read_text().strip()}" if path.exists() else ""


def _name_path(data: Path, app_id: str) -> Path:
    return StateDirectory(data / "state").folder(app_id, "worker-id").path


def other_workers(log: ConnectedLog, app_id: str, own_id: str) -> list[MemberSummary]:
    """Return the members of an application's group that do not belong to this folder."""
    return [
        member
        for member in log.group_members(app_id)
        if not own_id or not f"{worker_in(member.client_id)}-".startswith(f"{own_id}-")
    ]


class WorkerPresence:
    """A worker's membership in the group of its application."""

    def __init__(self, log: ConnectedLog, app_id: str, own_id: str, clock: Clock) -> None:
        self._log = log
        self._app_id = app_id
        self._own_id = own_id
        self._clock = clock
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    async def claim(self, *, ask_every_s: float = _ASK_EVERY_S) -> None:
        """Ensure that no other worker runs, then join the group in a thread.

        Args:
            ask_every_s: how long to wait between two requests for the group.

        Raises:
            UsageError: another worker of the application runs.
        """
        deadline_s = self._clock.monotonic_s() + SESSION_S + _MARGIN_S
        has_said = False
        while others := other_workers(self._log, self._app_id, self._own_id):
            facts = fact_text(app=self._app_id, host=others[0].host, member=others[0].member_id)
            if self._clock.monotonic_s() >= deadline_s:
                raise UsageError(
                    "another worker runs this application, and one worker runs it at a time; stop that one "
                    f"first: {facts}"
                )
            if not has_said:
                has_said = True
                _logger.warning(
                    "another worker of this application is or was running; waiting up to %d s for its "
                    "session to end: %s",
                    SESSION_S + _MARGIN_S,
                    facts,
                )
            await asyncio.sleep(ask_every_s)
        self._thread = threading.Thread(
            target=self._stay, name=f"streamcore-presence-{self._app_id}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Leave the group; the wait for the broker is short."""
        self._stopping.set()
        self._news.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_LEAVE_WAIT_S)

    def _stay(self) -> None:
        member: Member | None = None
        nothing = _NothingOwned()
        try:
            member = self._log.join_group(
                self._app_id,
                [descriptions_topic(self._app_id)],
                GroupSettings(
                    assignors=("range",),
                    session_timeout=SESSION_S * 1000,
                    heartbeat_interval="3s",
                    max_poll_interval="24h",
                    client_id=self._own_id,
                ),
                self._news.set,
            )
            while not self._stopping.is_set():
                self._news.wait(_FOLLOW_EVERY_S)
                self._news.clear()
                member.follow(nothing)
        except StreamCoreError as error:
            # The commits are fenced all the same; only the early error of a second worker is lost.
            _logger.warning(
                "the worker left its group, so other workers cannot see it: %s %s",
                error,
                fact_text(app=self._app_id),
            )
        finally:
            if member is not None:
                member.stop()


class _NothingOwned(ConsumerAssignment):
    """The assignment is not used: the worker reads its inputs whatever the group assigns."""

    def __init__(self) -> None:
        pass

    def __contains__(self, partition: TopicPartition) -> bool:
        return False

    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return nothing."""
        return ()

    def take(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Offset] | None = None
    ) -> None:
        """Do nothing."""

    def accept(self, partitions: Sequence[TopicPartition]) -> None:
        """Do nothing."""

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Do nothing."""

    def lose(self, partitions: Sequence[TopicPartition]) -> None:
        """Do nothing."""
