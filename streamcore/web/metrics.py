"""What a worker tells Prometheus. Numbers are read when they are asked for; the worker counts nothing extra.

::

    streamcore_records_processed_total{task}         records that a task has processed
    streamcore_records_late_total{task}              records that came after their windows had closed
    streamcore_failures_total{node,policy}           records that failed, by what was done about it
    streamcore_records_left_out_total{node,reason}   records that a step leaves out: null_key or null_value
    streamcore_foreign_keys_total{topic}             sampled keys in another partition than murmur2's
    streamcore_times_ahead_total{topic}              records whose times do not move stream time
    streamcore_commits_total                         commits
    streamcore_input_lag_records{topic,partition}    readable offsets that are not processed and committed
    streamcore_stream_time_seconds{task}             the highest event time that a task has processed
    streamcore_restore_records{store}                records of a changelog to replay at the start
    streamcore_restored_records{store}               how many of them are replayed
    streamcore_worker_ready                          1 while tables can be read
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamcore.errors import ClosedError
from streamcore.processing.runtime.running import Worker
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.topology.times import NO_TIME

CONTENT_TYPE = CONTENT_TYPE_LATEST


class WorkerMetrics(Collector):
    """The metrics of one worker; ``restores`` holds each store's restored and total number of records."""

    def __init__(self, worker: Worker, restores: Mapping[str, tuple[int, int]]) -> None:
        self._worker = worker
        self._restores = restores
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return the present metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Return nothing: metrics are known when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the present metrics."""
        try:
            tasks: TaskWorker | None = self._worker.tasks
        except ClosedError:
            tasks = None
        yield GaugeMetricFamily(
            "streamcore_worker_ready", "1 while tables can be read", value=float(tasks is not None)
        )
        yield from self._restore()
        if tasks is not None:
            yield from _counts(tasks)
            yield from self._positions(tasks)

    def _restore(self) -> Iterator[Metric]:
        wanted = GaugeMetricFamily(
            "streamcore_restore_records", "Records to replay at the start", labels=["store"]
        )
        done = GaugeMetricFamily(
            "streamcore_restored_records", "Records replayed at the start", labels=["store"]
        )
        for store, (done_count, total) in sorted(dict(self._restores).items()):
            wanted.add_metric([store], total)
            done.add_metric([store], done_count)
        yield wanted
        yield done

    def _positions(self, tasks: TaskWorker) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "streamcore_input_lag_records",
            "Offsets of an input that are readable and not processed and committed",
            labels=["topic", "partition"],
        )
        stream_time = GaugeMetricFamily(
            "streamcore_stream_time_seconds", "The highest event time processed", labels=["task"]
        )
        committed = {
            partition: offset
            for state in tasks.task_set.open_states
            for partition, offset in state.committed.items()
        }
        for partition, marks in sorted(self._worker.log.offsets(committed).items()):
            left = max(0, marks.last_stable - committed[partition])
            lag.add_metric([partition.topic, str(partition.partition)], left)
        for state in tasks.task_set.open_states:
            if state.committed_time_ms != NO_TIME:
                stream_time.add_metric([str(state.task.task_id)], state.committed_time_ms / 1000)
        yield lag
        yield stream_time


def _counts(tasks: TaskWorker) -> Iterator[Metric]:
    processed = CounterMetricFamily(
        "streamcore_records_processed", "Records that a task has processed", labels=["task"]
    )
    late = CounterMetricFamily(
        "streamcore_records_late", "Records that came after their windows had closed", labels=["task"]
    )
    failures = CounterMetricFamily(
        "streamcore_failures", "Records that failed, by what was done about it", labels=["node", "policy"]
    )
    left_out = CounterMetricFamily(
        "streamcore_records_left_out",
        "Records that a step leaves out, because their key or their value is null",
        labels=["node", "reason"],
    )
    for state in tasks.task_set.open_states:
        processed.add_metric([str(state.task.task_id)], state.task.processed_count)
        late.add_metric([str(state.task.task_id)], state.task.late_count)
    # Copied in one step, because the worker counts in another thread.
    for (node, policy), count in sorted(tasks.task_set.builder.failures.counts.copy().items()):
        failures.add_metric([node, policy], count)
    for (node, reason), count in sorted(tasks.task_set.builder.failures.left_out.copy().items()):
        left_out.add_metric([node, reason], count)
    yield processed
    yield late
    yield failures
    yield left_out
    foreign_keys = CounterMetricFamily(
        "streamcore_foreign_keys",
        "Keys, of a few that are looked at in each fetch, in another partition than murmur2 gives them",
        labels=["topic"],
    )
    for topic, count in sorted(tasks.fetcher.watch.foreign_keys.copy().items()):
        foreign_keys.add_metric([topic], count)
    yield foreign_keys
    times_ahead = CounterMetricFamily(
        "streamcore_times_ahead",
        "Records whose times are too far ahead of the clock to move stream time.",
        labels=["topic"],
    )
    for topic, count in sorted(tasks.fetcher.watch.times_ahead.copy().items()):
        times_ahead.add_metric([topic], count)
    yield times_ahead
    yield CounterMetricFamily("streamcore_commits", "Commits", value=tasks.commit_count)
