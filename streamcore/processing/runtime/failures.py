"""The handling of failing records: counted, logged, and written to dead letter topics.

A record that is skipped, retried or written to a dead letter topic is a warning in the log, with its place
and its error. The lines of one node are limited to a few per minute; they include the number of omitted ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from streamcore.errors import fact_text
from streamcore.model import Record, RecordColumns
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import shown
from streamcore.processing.operators.outputs import BatchOutputs
from streamcore.processing.topology.code_locations import error_location
from streamcore.processing.topology.dead_letters import dead_letter_headers
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.record_sizes import ensure_fits
from streamcore.serde import BYTES

_logger = logging.getLogger(__name__)

LINES_MAX: Final = 10
"""How many failures of a node are logged in each ``SPAN_S``."""
SPAN_S: Final = 60.0

_DONE: Final = {
    "skip": "a record was skipped",
    "retry": "a record is tried again",
    "dead_letter": "a record went to the dead letter topic",
}


@dataclass(slots=True)
class _Span:
    """The logged and omitted failures of a node since a time."""

    since_s: float
    logged: int = 0
    left_out: int = 0


class FailureLog:
    """Counts the failures of a worker by node and policy, and logs them at a bounded rate."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.left_out: dict[tuple[str, str], int] = {}
        """(node, reason) -> how many records it left out, without an error: ``null_key``, ``null_value``."""
        self._monotonic_s = monotonic_s
        self._spans: dict[str, _Span] = {}

    def count(
        self, node: str, policy: str, record: Record[bytes | None, bytes | None], error: BaseException
    ) -> None:
        """Count a record that was left out or is tried again, and log it."""
        node = node.removesuffix(":decode")
        self.counts[node, policy] = self.counts.get((node, policy), 0) + 1
        self._warn(
            node,
            _DONE[policy],
            error,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=shown(record.key),
            value=shown(record.value),
        )

    def count_left_out(self, node: str, reason: str, count: int) -> None:
        """Count records that a node leaves out."""
        place = (node.removesuffix(":decode"), reason)
        self.left_out[place] = self.left_out.get(place, 0) + count

    def count_timer(self, timer: str, policy: str, error: BaseException) -> None:
        """Count a call of a timer that failed, and log it."""
        self.counts[timer, policy] = self.counts.get((timer, policy), 0) + 1
        what = "a timer failed and is tried again" if policy == "retry" else "a timer failed, it goes on"
        self._warn(timer, what, error)

    def _warn(self, node: str, what: str, error: BaseException, **facts: object) -> None:
        now_s = self._monotonic_s()
        span = self._spans.get(node)
        if span is None or now_s - span.since_s >= SPAN_S:
            if span is not None and span.left_out:
                _logger.warning(
                    "more failures were not logged: %s", fact_text(node=node, failures=span.left_out)
                )
            span = self._spans[node] = _Span(now_s)
        if span.logged >= LINES_MAX:
            span.left_out += 1
            return
        span.logged += 1
        text = fact_text(
            node=node, **facts, error=f"{type(error).__name__}: {error}", at=error_location(error)
        )
        _logger.warning("%s: %s", what, text, exc_info=error if _logger.isEnabledFor(logging.DEBUG) else None)


class TaskFailures:
    """The failures of one task's steps."""

    def __init__(
        self,
        log: FailureLog,
        outputs: BatchOutputs,
        counts: Mapping[str, int],
        record_bytes_max: Mapping[str, int],
        partition_of: Callable[[bytes, int], int],
        wait_ms: Callable[[int], None] | None,
    ) -> None:
        self._log = log
        self._outputs = outputs
        self._counts = counts
        self._record_bytes_max = record_bytes_max
        self._partition_of = partition_of
        self._wait_ms = wait_ms

    def count_failure(
        self, node: str, policy: str, record: Record[bytes | None, bytes | None], error: BaseException
    ) -> None:
        """Count a record that was left out or is tried again, and log it."""
        self._log.count(node, policy, record, error)

    def count_left_out(self, node: str, reason: str, count: int) -> None:
        """Count records that a node leaves out."""
        self._log.count_left_out(node, reason, count)

    def wait_ms(self, duration_ms: int) -> None:
        """Wait before a retry, in milliseconds."""
        if self._wait_ms is not None:
            self._wait_ms(duration_ms)
        else:
            time.sleep(duration_ms / 1000)

    def dead_letter(self, topic: str, batch: Batch, position: int, node: str, error: BaseException) -> None:
        """Write the record as it was read, with its place, the reason and a traceback in its headers.

        Raises:
            RecordTooLargeError: the topic does not take the letter, which is larger than the record.
        """
        origin = batch.origins[position]
        source = batch.source.record_at(origin)
        bytes_max = self._record_bytes_max[topic]
        headers = dead_letter_headers(source, node, error, bytes_max)
        ensure_fits(topic, source.key, source.value, headers, bytes_max)
        count = self._counts[topic]
        partition = 0 if source.key is None else self._partition_of(source.key, count)
        self._outputs.add(
            TopicSpec(name=topic, key_serde=BYTES, value_serde=BYTES),
            partition,
            RecordColumns([source.key], [source.value], [source.timestamp_ms], [headers]),
            origins=[origin],
            partition_times_ms=[batch.source.partition_times_ms[origin]],
        )
