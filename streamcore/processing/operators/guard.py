"""Runs the user's functions over columns and applies the error policy to a record that fails.

This is the only module of the framework that catches every error of user code. A function runs
over a whole column in one call of ``list.extend``; when it raises, the list holds the results of
the records before, so the failing record is known without any work per record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from streamcore.errors import (
    InvalidTimestampError,
    RecordTooLargeError,
    SerdeError,
    StreamCoreError,
    UserCodeError,
    fact_text,
)
from streamcore.model import Record
from streamcore.processing.operators.batch import Batch, holds_none
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy, Retry, Skip, Stop
from streamcore.processing.topology.times import no_time_error

_VALUE_SHOWN_BYTES = 80

ENDS_WORKER: Final = (KeyboardInterrupt, SystemExit)
"""Errors by which application code ends the program: no policy applies, the worker stops."""


def each(
    function: Callable[[Any], Any],
    arguments: Sequence[Any],
    failed: Callable[[int, BaseException], Any],
    then: Callable[[Any], Any] | None = None,
) -> list[Any]:
    """Call ``function`` on each argument; where it raises, the result is that of ``failed(index, error)``.

    Args:
        then: called on each result before the function is called again; the result is then its own.
    """
    results: list[Any] = []
    error: BaseException
    while True:
        index = len(results)
        try:
            found = map(function, islice(arguments, index, None) if index else arguments)
            results.extend(found if then is None else map(then, found))
        except ENDS_WORKER:
            raise
        except BaseException as raised:  # noqa: BLE001 - user code may raise anything
            error = raised
        else:
            if len(results) == len(arguments):
                return results
            # ``map`` takes a StopIteration of user code for the end of its input.
            error = RuntimeError("application code raised StopIteration")
        results.append(failed(len(results), error))


class FailureSink(Protocol):
    """The destination of failing records."""

    def dead_letter(self, topic: str, batch: Batch, index: int, node: str, error: BaseException) -> None:
        """Write to ``topic`` the fetched record that a record of the batch was made from."""

    def count_failure(
        self, node: str, policy: str, record: Record[bytes | None, bytes | None], error: BaseException
    ) -> None:
        """Count a record that was left out or is tried again, and log it."""

    def count_left_out(self, node: str, reason: str, count: int) -> None:
        """Count records that a node left out, because of a null key or a null value."""

    def wait_ms(self, duration_ms: int) -> None:
        """Wait before a retry, in milliseconds."""


class Guard:
    """The error policy of one node, ready to run functions under it."""

    def __init__(self, node: str, policy: ErrorPolicy, sink: FailureSink) -> None:
        self.node = node
        self.policy = policy
        self._sink = sink

    def map(
        self,
        function: Callable[[Any], Any],
        arguments: Sequence[Any],
        batch: Batch,
        then: Callable[[Any], Any] | None = None,
    ) -> tuple[list[Any], list[int] | None]:
        """Call ``function`` on each argument; the arguments are parallel to the batch's records.

        Args:
            then: called on each result, under the same policy; see ``each``.

        Returns:
            The results, and their indexes in the batch: ``None`` if no record was left out.

        Raises:
            UserCodeError: by policy; it names the record.
        """
        dropped: set[int] = set()

        def again(argument: Any) -> Any:
            return function(argument) if then is None else then(function(argument))

        def failed(index: int, error: BaseException) -> Any:
            result = self._failed(again, arguments[index], batch, index, error)
            if result is _DROPPED:
                dropped.add(index)
            return result

        results = each(function, arguments, failed, then)
        if not dropped:
            return results, None
        kept = [index for index in range(len(arguments)) if index not in dropped]
        return [results[index] for index in kept], kept

    def call(self, function: Callable[[Any], Any], argument: Any, batch: Batch, index: int) -> list[Any]:
        """Call ``function`` for one record of a batch; return its result in a list, empty if it was left out.

        Raises:
            UserCodeError: by policy; it names the record.
        """
        try:
            return [function(argument)]
        except ENDS_WORKER:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            result = self._failed(function, argument, batch, index, error)
        return [] if result is _DROPPED else [result]

    def attempt(self, function: Callable[[Any], Any], arguments: Collection[Any]) -> list[Any] | None:
        """Call ``function`` on each argument; return ``None`` if any call fails. For calls that can be
        repeated.
        """
        try:
            results = list(map(function, arguments))
        except ENDS_WORKER:
            raise
        except BaseException:  # noqa: BLE001 - user code may raise anything; the caller goes another way
            return None
        return results if len(results) == len(arguments) else None

    def failed(
        self, batch: Batch, index: int, error: BaseException, policy: ErrorPolicy | None = None
    ) -> None:
        """Apply a policy, by default the node's, to a record that failed outside ``map``.

        Returns if the record is left out; raises otherwise.
        """
        self._failed(None, None, batch, index, error, policy)

    def with_keys(self, batch: Batch) -> Batch:
        """Return the records whose key is not ``None``; count the others."""
        if not holds_none(batch.keys):
            return batch
        return self.where(batch, [key is not None for key in batch.keys], "null_key")

    def with_values(self, batch: Batch) -> Batch:
        """Return the records whose value is not ``None``; count the others."""
        if batch.has_no_nulls:
            return batch
        # By identity: ``None in values`` would call the ``__eq__`` of each value.
        flags = [value is not None for value in batch.values]
        if not all(flags):
            batch = self.where(batch, flags, "null_value")
        batch.has_no_nulls = True
        return batch

    def where(self, batch: Batch, flags: list[bool], reason: str) -> Batch:
        """Return the records whose flag is true; count the others as left out for this reason."""
        self._sink.count_left_out(self.node, reason, len(flags) - sum(flags))
        return batch.where(flags)

    def with_times(self, batch: Batch) -> Batch:
        """Return the records that have a time; the policy of their topic decides about each other record.

        Raises:
            UserCodeError: by policy; it names the record.
        """
        timestamps_ms = batch.timestamps_ms
        if not timestamps_ms or min(timestamps_ms) >= 0:
            return batch
        flags = [timestamp_ms >= 0 for timestamp_ms in timestamps_ms]
        for index, has_time in enumerate(flags):
            if not has_time:
                self.failed(batch, index, no_time_error(), batch.source.policy_at(batch.origins[index]))
        return batch.where(flags)

    def _failed(
        self,
        function: Callable[[Any], Any] | None,
        argument: Any,
        batch: Batch,
        index: int,
        error: BaseException,
        policy: ErrorPolicy | None = None,
    ) -> Any:
        source = batch.source.record_at(batch.origins[index])
        if policy is None:
            policy = self.policy
        match policy:
            case Stop():
                raise self.error_for(source, error) from error
            case Skip():
                self._sink.count_failure(self.node, "skip", source, error)
                return _DROPPED
            case DeadLetter(topic):
                self._sink.count_failure(self.node, "dead_letter", source, error)
                try:
                    self._sink.dead_letter(topic, batch, index, self.node, error)
                except RecordTooLargeError as refused:
                    raise self.error_for(source, refused) from error
                return _DROPPED
            case Retry():
                if function is None:
                    raise self.error_for(source, error) from error
                return self._retry(policy, function, argument, source, error)

    def _retry(
        self,
        policy: Retry,
        function: Callable[[Any], Any],
        argument: Any,
        source: Record[bytes | None, bytes | None],
        error: BaseException,
    ) -> Any:
        for attempt in range(1, policy.times + 1):
            self._sink.count_failure(self.node, "retry", source, error)
            self._sink.wait_ms(policy.wait_ms(attempt))
            try:
                return function(argument)
            except BaseException as raised:
                if isinstance(raised, ENDS_WORKER):
                    raise
                error = raised
                if attempt == policy.times:
                    raise self.error_for(source, error) from error
        raise AssertionError("a retry is made at least once")

    def note_retry(self, batch: Batch, index: int, error: BaseException) -> None:
        """Count and log a record before it is tried again."""
        source = batch.source.record_at(batch.origins[index])
        self._sink.count_failure(self.node, "retry", source, error)

    def error_of(self, batch: Batch, index: int, error: BaseException) -> StreamCoreError:
        """Return the error that stops the worker at a record of a batch."""
        return self.error_for(batch.source.record_at(batch.origins[index]), error)

    def error_for(self, source: Record[bytes | None, bytes | None], error: BaseException) -> StreamCoreError:
        """Return the error that stops the worker: it names the record, the node and the reason."""
        kind: type[StreamCoreError] = UserCodeError
        what = "application code failed"
        if isinstance(error, InvalidTimestampError):
            what = "the record has no time that can be used"
        elif self.node.endswith(":decode") and not isinstance(error, UserCodeError):
            kind, what = SerdeError, "bytes do not decode"
        elif isinstance(error, RecordTooLargeError):
            kind, what = RecordTooLargeError, "a record or a stored value is too large"
        elif isinstance(error, SerdeError):
            kind = SerdeError
        return kind(
            f"{what}, nothing is committed past this record; mend the code or the data, or set on_error=: "
            + fact_text(
                node=self.node.removesuffix(":decode"),
                topic=source.topic,
                partition=source.partition,
                offset=source.offset,
                key=shown(source.key),
                value=shown(source.value),
                error=f"{type(error).__name__}: {error}",
            )
        )


def shown(value: bytes | None) -> str:
    """Return the start of a key or value, for a message."""
    if value is None:
        return "None"
    text = repr(value[:_VALUE_SHOWN_BYTES])
    return text if len(value) <= _VALUE_SHOWN_BYTES else f"{text}...({len(value)} bytes)"


class _Dropped:
    """The mark of a record that the policy left out."""


_DROPPED = _Dropped()
