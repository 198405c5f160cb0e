"""Steps that write the stream to topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import PARTITION_COUNT_MAX, check_count, check_policy, legal_name
from streamcore.processing.dsl.flow import Destination
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.nodes import To
from streamcore.processing.topology.places import declares, shown

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")


class OutputSteps(Steps[K, V], Generic[K, V]):
    """Steps that write to topics of users, and to internal topics."""

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
