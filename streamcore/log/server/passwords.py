"""Checks passwords in one thread, one at a time, so that guessing uses at most one core.

At most as many checks wait as connections authenticate; a connection that closes withdraws its check.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from streamcore.log.api.authentication.sasl_steps import PasswordCheck
from streamcore.log.broker.operations import OperationFuture
from streamcore.log.node.operation_driver import OperationDriver


class PasswordThread:
    """The thread, and the checks that wait for it."""

    def __init__(self, driver: OperationDriver) -> None:
        self._driver = driver
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="streamcore-server-passwords")
        self._waiting: dict[int, Future[None]] = {}

    def check(self, check: PasswordCheck) -> OperationFuture[bool]:
        """Begin a check; the future is completed under the driver's lock."""
        promise = OperationFuture[bool]()
        self._waiting[id(promise)] = self._pool.submit(self._keep, promise, check)
        return promise

    def give_up(self, promise: OperationFuture[bool]) -> None:
        """Drop a check whose result is not needed any more."""
        self._waiting.pop(id(promise)).cancel()

    def stop(self) -> None:
        """End the thread; checks that have not begun are dropped."""
        self._pool.shutdown(cancel_futures=True)

    def _keep(self, promise: OperationFuture[bool], check: PasswordCheck) -> None:
        is_right = check.is_right()
        with self._driver:
            promise.keep(is_right)
