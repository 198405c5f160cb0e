"""Handles of librdkafka for one broker: creation, bounded requests, translated errors.

Each handle is a client with its own threads and connections in librdkafka. The log has one for requests
(``admin``); producers, readers and group members have one each. librdkafka's log lines go to Python's logging
at debug level; errors that matter are raised by the calls.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, TypeAlias, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streamcore.clock import Clock
from streamcore.errors import (
    ClosedError,
    RequestTimeoutError,
    RetriableError,
    StreamCoreError,
    with_facts,
)
from streamcore.log.client.kafka.errors import error_in, translated
from streamcore.log.client.kafka.settings import KafkaSettings

_logger = logging.getLogger(__name__)

_RETRY_S = 0.05
_ATTEMPTS: Final = 6
"""How many brokers may leave a request without an answer, one after the other."""

Properties: TypeAlias = Mapping[str, str | int | float | bool]
R = TypeVar("R")


class _DebugLog:
    """Logs librdkafka's lines at debug level: the errors of calls say more than librdkafka's levels."""

    def log(self, level: int, text: str, *arguments: object) -> None:
        """Log a line."""
        _logger.debug(text, *arguments)


class KafkaConnection:
    """The connection settings and the admin handle of one broker. Safe to share between threads."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        """Create the admin handle, and check that the broker answers.

        Raises:
            RequestTimeoutError: the broker does not answer.
            UsageError: authentication failed, or a property is not valid.
        """
        self.settings = settings
        self.clock = clock
        self._pause = threading.Event()
        self._complaint: KafkaError | None = None
        self._admin: AdminClient | None = self._made(AdminClient, {})
        self._ensure_reachable(self._admin)

    @property
    def admin(self) -> AdminClient:
        """Return the handle for requests. Raises ``ClosedError`` after the log is closed."""
        if self._admin is None:
            raise ClosedError("the log is closed; connect again")
        return self._admin

    def close(self) -> None:
        """Drop the admin handle; librdkafka ends its threads with the last reference."""
        self._admin = None

    def producer(self, properties: Properties) -> Producer:
        """Return a new handle that produces."""
        return self._made(Producer, properties)

    def consumer(self, properties: Properties) -> Consumer:
        """Return a new handle that consumes; ``group.id`` is among the properties."""
        return self._made(Consumer, {"enable.auto.commit": False, **properties})

    def answer(self, ask: Callable[[], Future[R]], doing: str, **facts: object) -> R:
        """Return a broker's answer to a request of the admin handle.

        Args:
            ask: sends the request; called again while the broker is not ready.
            doing: what fails, for the error message.
            facts: facts for the error message.
        """
        return self.retried(
            lambda: ask().result(self.settings.request_timeout_s), doing, asks_others=False, **facts
        )

    @property
    def attempt_timeout_s(self) -> float:
        """How long one broker may take for a request that another can answer too, in seconds."""
        return max(min(1.0, self.settings.request_timeout_s), self.settings.request_timeout_s / _ATTEMPTS)

    def retried(self, call: Callable[[], R], doing: str, *, asks_others: bool = False, **facts: object) -> R:
        """Run a blocking call of librdkafka; repeat it while the broker is not ready.

        With ``asks_others`` a call without an answer is repeated too: librdkafka then asks another broker.
        Only for requests that change nothing.

        Raises:
            RequestTimeoutError: there was no answer in ``request_timeout_s``.
        """
        deadline_s = self.clock.monotonic_s() + self.settings.request_timeout_s
        while True:
            self.ensure_open()
            try:
                return call()
            except (KafkaException, RetriableError) as raised:
                error = self.translated(raised, doing, **facts)
                is_over = self.clock.monotonic_s() >= deadline_s
                is_silence = isinstance(error, RequestTimeoutError) and not asks_others
                if is_over or is_silence or not isinstance(error, RetriableError):
                    if error is raised:
                        raise
                    raise error from raised
                if isinstance(error, RequestTimeoutError):
                    self._refresh()
            except TimeoutError as raised:
                if not asks_others or self.clock.monotonic_s() >= deadline_s:
                    raise self.silence(doing, self.settings.request_timeout_s, **facts) from raised
                self._refresh()
            self.pause()

    def _refresh(self) -> None:
        """Ask any node which nodes there are, and which is the controller.

        librdkafka waits for the controller that it knows, also after that node was lost.
        """
        with contextlib.suppress(KafkaException):
            self.admin.list_topics(timeout=self.attempt_timeout_s)

    def translated(self, raised: BaseException, doing: str, **facts: object) -> StreamCoreError:
        """Return our error for what a confluent-kafka call raised; errors of ours stay as they are."""
        if isinstance(raised, StreamCoreError):
            return raised
        error = error_in(raised)
        if error is None:
            return StreamCoreError(with_facts(f"cannot {doing}", **facts, error=repr(raised)))
        return translated(error, doing, **facts)

    def silence(self, doing: str, waited_s: float, **facts: object) -> RequestTimeoutError:
        """Return the error for a missing answer."""
        return RequestTimeoutError(
            with_facts(
                f"cannot {doing}: the broker does not answer; check the address, and that it runs",
                **facts,
                brokers=self.settings.brokers,
                waited_s=round(waited_s, 1),
            )
        )

    def pause(self) -> None:
        """Wait before the next attempt."""
        self._pause.wait(_RETRY_S)

    def ensure_open(self) -> None:
        """Raise ``ClosedError`` after the log is closed."""
        _ = self.admin

    def complain(self, error: KafkaError) -> None:
        """Handle an error that librdkafka reports outside of calls."""
        self._complaint = error
        _logger.debug("librdkafka reports: %s", error)

    def _made(self, kind: Callable[[dict[str, Any]], R], properties: Properties) -> R:
        everything = {
            "bootstrap.servers": self.settings.brokers,
            "client.id": "streamcore",
            "log_level": 0,
            "logger": _DebugLog(),
            "error_cb": self.complain,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2_000,
            **self.settings.properties,
            **properties,
        }
        try:
            return kind(everything)
        except KafkaException as raised:
            raise self.translated(raised, "connect", brokers=self.settings.brokers) from raised

    def _ensure_reachable(self, admin: AdminClient) -> None:
        """Ask any node for the topics, so that a wrong address or password is reported at once.

        A request for the controller would wait for a node that was lost a moment ago.
        """
        wait_s = self.settings.connect_timeout_s
        deadline_s = self.clock.monotonic_s() + wait_s
        attempt_s = _RETRY_S
        while True:
            failure: KafkaException | None = None
            try:
                admin.list_topics(timeout=attempt_s)
            except KafkaException as raised:
                failure = raised
            if failure is None:
                return
            admin.poll(0)  # Librdkafka says there why it cannot connect.
            for error in (self._complaint, error_in(failure)):
                if error is not None and error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                    raise translated(error, "connect", brokers=self.settings.brokers) from failure
            if self.clock.monotonic_s() >= deadline_s:
                said = None if self._complaint is None else repr(self._complaint.str())
                raise self.silence("connect", wait_s, said=said) from failure
            attempt_s = min(2 * attempt_s, max(_RETRY_S, deadline_s - self.clock.monotonic_s()))
