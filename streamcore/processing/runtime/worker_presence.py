"""One worker of an application at a time: a worker is a member of the group of the application's name.

Kafka's tools read the group to see what runs, so they refuse to move or delete its offsets meanwhile.
A worker that finds another member waits for the session timeout without a sign of life, then ends with
an error. A member that an earlier worker of this folder left behind by a crash is known by its client id
and is not waited for: the lock on the folder proves that it is dead.

The commits do not depend on the membership. If two workers start at the same time, the transactional id
decides: the later one fences the other, which ends at its next commit.
"""

from __future__ import annotations

import asyncio
import logging
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
from streamcore.processing.runtime.topics import ensure_descriptions
from streamcore.state.directory import StateDirectory

_logger = logging.getLogger(__name__)

SESSION_S: Final = 10
"""How long a worker without a sign of life counts as running."""

_MARGIN_S: Final = 2
_ASK_EVERY_S: Final = 0.5
_FOLLOW_EVERY_S: Final = 1.0
_LEAVE_WAIT_S: Final = 5.0
_CLIENT_PREFIX: Final = "streamcore-worker-"


_at_work: set[tuple[Path, str]] = set()


@contextmanager
def alone_in_process(data: Path, app_id: str) -> Iterator[None]:
    """Refuse a second worker for an application on a folder in this process.

    The lock on the folder keeps other processes out.

    Raises:
        DirectoryInUseError: this process runs the application there.
    """
    folder_and_app = (data.resolve(), app_id)
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
    return (data.resolve(), app_id) in _at_work


def worker_presence(
    log: ConnectedLog, app_id: str, data: Path, clock: Clock, *, has_state: bool
) -> WorkerPresence:
    """Return the presence of the worker of a folder.

    Args:
        has_state: the folder holds the application's state, and its lock keeps others out.
    """
    ensure_descriptions(log, app_id)
    if log.is_embedded or has_state:
        own_id = presence_id(log, data, app_id, create=True)
    else:
        own_id = temporary_presence_id()
    return WorkerPresence(log, app_id, own_id, clock)


def presence_id(log: ConnectedLog, data: Path, app_id: str, *, create: bool = False) -> str:
    """Return the client id of the worker of a folder: the same after a restart, another in every other
    folder.

    The lock on the folder of an embedded log keeps all others out, so that such a worker needs no id.

    Args:
        create: create the id of a folder that has none; without it such a folder has an empty id.
    """
    if log.is_embedded:
        return f"{_CLIENT_PREFIX}embedded"
    path = StateDirectory(data / "state").folder(app_id, "worker-id").path
    if not path.exists():
        if not create:
            return ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(8))
    return f"{_CLIENT_PREFIX}{path.read_text().strip()}"


def temporary_presence_id() -> str:
    """Return a client id for a worker without a folder: after a crash its session has to expire first."""
    return f"{_CLIENT_PREFIX}{secrets.token_hex(8)}"


def other_workers(log: ConnectedLog, app_id: str, own_id: str) -> list[MemberSummary]:
    """Return the members of an application's group that do not belong to this folder."""
    return [member for member in log.group_members(app_id) if member.client_id != own_id]


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
