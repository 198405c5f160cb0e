"""Steps that write the stream to topics, or deliver it to functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, overload

from streamcore.errors import TopologyError, fact_text
from streamcore.model import Record
from streamcore.processing.dsl.checks import (
    PARTITION_COUNT_MAX,
    check_count,
    check_flag,
    check_policy,
    check_sink_function,
    legal_name,
)
from streamcore.processing.dsl.flow import Destination
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.error_policy import Retry
from streamcore.processing.topology.error_policy import retry as repeat
from streamcore.processing.topology.nodes import Sink, To

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")

BATCH_DEFAULT: Final = 1_000
BATCH_MAX: Final = 1_000_000


class OutputSteps(Steps[K, V], Generic[K, V]):
    """Steps that write to topics of users and to internal topics, and sinks."""

    @overload
    def sink(
        self,
        function: Callable[[list[V]], object],
        *,
        batch: int = ...,
        retry: Retry | int | None = ...,
        records: Literal[False] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
    ) -> None: ...
    @overload
    def sink(
        self,
        function: Callable[[list[Record[K, V]]], object],
        *,
        batch: int = ...,
        retry: Retry | int | None = ...,
        records: Literal[True],
        name: str | None = ...,
        on_error: Policy = ...,
    ) -> None: ...
    @overload
    def sink(
        self,
        *,
        batch: int = ...,
        retry: Retry | int | None = ...,
        records: Literal[False] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
    ) -> Callable[[Callable[[list[V]], object]], None]: ...
    @overload
    def sink(
        self,
        *,
        batch: int = ...,
        retry: Retry | int | None = ...,
        records: Literal[True],
        name: str | None = ...,
        on_error: Policy = ...,
    ) -> Callable[[Callable[[list[Record[K, V]]], object]], None]: ...
    @declares
    def sink(
        self,
        function: Any = ...,
        *,
        batch: int = BATCH_DEFAULT,
        retry: Retry | int | None = None,
        records: bool = False,
        name: str | None = None,
        on_error: Policy = None,
    ) -> Any:
        """Deliver the values to a function, in lists, each value at least once; nothing follows this step.

        The function is ``def`` or ``async def``; an async one is awaited, and does not hold up the worker.
        The next call begins when the last one has ended, in the order of the records of a partition. Records
        are committed after their call, so whatever is committed was delivered. After a crash, the calls
        since the last commit come again, maybe with other borders. While a call is under way, no more
        records are fetched for it.

        Args:
            function: takes a list of values, of at least one; its result is not used.
            batch: how many values a call has at most. A call does not wait for more values to come.
            retry: how a call that fails is repeated, before ``on_error`` applies to all its records:
                ``sc.retry(5, "100ms")``, or a number of times.
            records: whether the lists hold ``sc.Record`` instead of values.
            name: the name of the step; by default that of the function.
            on_error: the policy of the records of a call that failed.
        """
        step = self.flow.label(name, function, "sink")
        check_policy(on_error, step=step)
        check_count(batch, "batch=", BATCH_MAX, step=step)
        check_flag(records, "records=", step=step)
        if retry is not None and not isinstance(retry, Retry):
            check_count(retry, "retry=, if it is not sc.retry(times=3),", BATCH_MAX, step=step)
            retry = repeat(retry)
        wanted = retry

        @declares
        def declare(function: Any) -> None:
            check_sink_function(function, step=self.flow.label(name, function, "sink"))
            self.flow.then(
                Sink(
                    name=self.flow.step_name(name, function, "sink"),
                    parents=(self.node,),
                    on_error=on_error,
                    function=function,
                    batch=batch,
                    retry=wanted,
                    with_records=records,
                )
            )

        return declare if function is ... else declare(function)

    @declares
    def to(
        self,
        topic: Destination[K | None, V | None] | str,
        *,
        name: str | None = None,
        on_error: Policy = None,
    ) -> None:
        """Write to a topic. A topic given by name only is written with this stream's types."""
        step = self.flow.label(name, None, "to")
        check_policy(on_error, step=step)
        spec = self.flow.output_topic(topic, step=step)
        self.flow.then(
            To(
                name=self.declaration.node_name(name, None, f"{self.name}.to.{spec.name}"),
                parents=(self.node,),
                on_error=on_error,
                topic=spec,
            )
        )

    @declares
    def through(
        self, topic: Stream[K, V], *, name: str | None = None, on_error: Policy = None
    ) -> Stream[K, V]:
        """Write to a declared topic and return the stream of that topic."""
        if not isinstance(topic, Destination):
            raise TopologyError(
                "go on through a declared topic, app.topic(...): "
                + fact_text(step=self.flow.label(name, None, "through"), given=shown(topic))
            )
        self.to(topic, name=name, on_error=on_error)
        return topic

    @declares
    def repartition(
        self, partitions: int | None = None, *, name: str | None = None, on_error: Policy = None
    ) -> Stream[K, V]:
        """Write to an internal topic and return the stream of that topic.

        Args:
            partitions: the number of partitions; by default that of the source topic.
            name: the topic is ``<app>-<name>-repartition``. By default the name of the function of the
                previous step, or that of the topic that the stream reads.

        Raises:
            TopologyError: no name is given, and the previous step has no name of a function or topic.
        """
        name = legal_name(self.flow.durable_name() if name is None else name, "repartition topic")
        check_policy(on_error, step=name)
        if partitions is not None:
            check_count(partitions, "partitions=", PARTITION_COUNT_MAX, step=name)
        return self._stream(self.flow.repartitioned(name, partitions, on_error=on_error))
