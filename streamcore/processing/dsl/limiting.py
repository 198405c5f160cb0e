"""Steps that pass some of the records: a sample, the first of each key, a limited rate, no duplicates.

``take``, ``rate_limit`` and ``dedupe`` keep what they have passed in a store with a changelog, by spans of
event time. Its name is the identity of the state, as that of a table: ``name=``, or the name of the function,
or one made of the topic's or previous function's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import Duration, check_count, check_function, check_policy, declared_ms
from streamcore.processing.dsl.declaration import (
    check_key_type,
    ensure_hashable_keys,
    named_after,
    return_type,
)
from streamcore.processing.dsl.flow import Destination, Flow
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.dsl.topic_keys import internal_key_serde
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.nodes import KeyInHeader, RateLimit, Sample, StoreSpec, Take
from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import UNTYPED, Serde

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")

RECORDS_OF_A_SPAN_MAX: Final = 1_000_000

_COUNT: Final = replace(UNTYPED, type_name="int", value_type=int)
"""The serde of what ``take`` keeps of a span. The type tells its store from that of another step."""

_TIMES: Final = replace(UNTYPED, type_name="list", value_type=list[int])
"""The serde of what ``rate_limit`` and ``dedupe`` keep of a span."""


class Limiting(Steps[K, V], Generic[K, V]):
    """The steps that pass some of the records as they are."""

    @declares
    def sample(self, fraction: float, *, name: str | None = None) -> Stream[K, V]:
        """Pass a fraction of the records, from 0 to 1.

        A hash of topic, partition and offset of the record that was read, and of the step's name, decides;
        behind a repartition topic one of its key, value and time. Records that are read again are chosen as
        before. Two samples of one stream are independent.
        """
        step = self.flow.label(name, None, "sample")
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise TopologyError(
                "a sample is a fraction from 0 to 1, stream.sample(0.1): "
                + fact_text(step=step, given=shown(fraction))
            )
        node = Sample(
            name=self.flow.step_name(name, None, "sample"), parents=(self.node,), fraction=float(fraction)
        )
        return self._stream(self.flow.then(node))

    @declares
    def take(
        self,
        n: int,
        *,
        within: Duration,
        grace: Duration = 0,
        late: Destination[K | None, V | None] | str | None = None,
        name: str | None = None,
        on_error: Policy = None,
    ) -> Stream[K, V]:
        """Pass the first ``n`` records of each key in each span of event time.

        Spans are aligned to 1970, as tumbling windows: with ``within="1d"`` they are the days in UTC. *First*
        is the order of processing. A record whose span has ended, with ``grace``, by the stream time of its
        source partition is late: it is left out, counted, and written to the topic ``late``. Records
        without a key are left out.
        """
        step = self.flow.label(name, None, "take")
        check_count(n, "n", RECORDS_OF_A_SPAN_MAX, step=step)
        check_policy(on_error, step=step)
        spans = _spans(within, "within=", grace, retained_spans=0, step=step)
        store_name = self._store_name(name, "take")
        keyed = self.flow.keyed(store_name)
        store = _store(keyed, store_name, spans, _COUNT)
        node = Take(
            name=self.declaration.node_name(None, None, store_name),
            parents=(keyed.node,),
            on_error=on_error,
            late=None if late is None else self.flow.output_topic(late, step=step),
            store=store,
            count=n,
        )
        return self._stream(keyed.then(node))

    @declares
    def rate_limit(
        self,
        n: int,
        *,
        per: Duration,
        grace: Duration = 0,
        late: Destination[K | None, V | None] | str | None = None,
        name: str | None = None,
        on_error: Policy = None,
    ) -> Stream[K, V]:
        """Pass at most ``n`` records of each key in every span of this length, by event time.

        A span may start at any millisecond: a record passes if no span ``[start, start + per)`` that holds
        its time would have more than ``n`` passed records of its key. The other records are left out. Late
        records, whose time plus ``per`` and ``grace`` is not after the stream time of their source partition,
        and records without a key are left out; late ones are counted, and written to the topic ``late``.
        """
        step = self.flow.label(name, None, "rate_limit")
        check_count(n, "n", RECORDS_OF_A_SPAN_MAX, step=step)
        check_policy(on_error, step=step)
        spans = _spans(per, "per=", grace, retained_spans=2, step=step)
        store_name = self._store_name(name, "rate_limit")
        keyed = self.flow.keyed(store_name)
        node = RateLimit(
            name=self.declaration.node_name(None, None, store_name),
            parents=(keyed.node,),
            on_error=on_error,
            late=None if late is None else self.flow.output_topic(late, step=step),
            store=_store(keyed, store_name, spans, _TIMES),
            count=n,
        )
        return self._stream(keyed.then(node))

    @overload
    def dedupe(
        self,
        key: Callable[[V], object] | None,
        *,
        within: Duration,
        grace: Duration = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        key_type: Any = ...,
    ) -> Stream[K, V]: ...
    @overload
    def dedupe(
        self,
        *,
        within: Duration,
        grace: Duration = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        key_type: Any = ...,
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    @declares
    def dedupe(
        self,
        key: Any = ...,
        *,
        within: Duration,
        grace: Duration = 0,
        name: str | None = None,
        on_error: Policy = None,
        key_type: Any = None,
    ) -> Any:
        """Leave out records that repeat another one of less than ``within`` before or after, by event time.

        ``key`` makes of a value what two repeated records have in common, such as an order's number; with
        ``None`` it is the record's key. Records keep their own keys. Equal results of ``key`` meet, whatever
        partitions they come from: the stream goes through a repartition topic.

        A record passes if no record of the same ``key`` that passed is less than ``within`` away from it. A
        record is not compared, and passes, if ``key`` is ``None`` for it, or if it is late: its time plus
        ``within`` and ``grace`` is not after the stream time of its source partition.

        Args:
            key: the function; without one, the result is a decorator.
            within: the span, such as ``"1h"``.
            grace: how much longer passed records are remembered, for records that come out of order.
            name: the name of the step and of its store; by default that of the function.
            on_error: the policy of records for which ``key`` fails.
            key_type: the type of what ``key`` returns, where no annotation says it.
        """
        step = self.flow.label(name, key, "dedupe")
        check_policy(on_error, step=step)
        spans = _spans(within, "within=", grace, retained_spans=2, step=step)

        @declares
        def declare(key: Any) -> Any:
            if key is not None:
                check_function(key, step=self.flow.label(name, key, "dedupe"))
            named = name if name is not None else named_after(key)
            return self._without_repeats(key, spans, named, on_error, key_type)

        return declare if key is ... else declare(key)

    def _without_repeats(
        self,
        key: Callable[[V], object] | None,
        spans: TimeWindows,
        name: str | None,
        on_error: Policy,
        found: Any,
    ) -> Stream[K, V]:
        store_name = self._store_name(name, "dedupe")
        shape = self.flow.shape
        key_serde: Serde[Any] | None = None
        if key is None:
            keyed = self.flow.keyed(store_name)
        else:
            key_type = return_type(key) if found is None else found
            check_key_type(key_type, step=store_name)
            ensure_hashable_keys(key_type, step=store_name)
            key_serde = internal_key_serde(shape.key_type)
            marked = self.flow.then(
                KeyInHeader(
                    name=self.declaration.node_name(None, None, f"{store_name}.key"),
                    parents=(self.node,),
                    on_error=on_error,
                    function=key,
                    key_serde=key_serde,
                ),
                shape.with_keys(key_type),
            )
            keyed = marked.repartitioned(store_name, None)
        node = RateLimit(
            name=self.declaration.node_name(None, None, store_name),
            parents=(keyed.node,),
            on_error=on_error,
            store=_store(keyed, store_name, spans, _TIMES),
            count=1,
            passes_unjudged=True,
            key_serde=key_serde,
        )
        behind = keyed.shape if key is None else shape.with_keys(shape.key_type)
        return self._stream(keyed.then(node, behind))

    def _store_name(self, name: str | None, verb: str) -> str:
        """Take the name of the store of a step.

        Raises:
            TopologyError: the name is taken, or no text of the user decides it.
        """
        return self.declaration.store_name(f"{self.flow.durable_name()}.{verb}" if name is None else name)


def _spans(length: Any, what: str, grace: Any, *, retained_spans: int, step: str) -> TimeWindows:
    """Return the spans of a store. Records in time look at the spans beside their own, so these are kept."""
    size_ms = declared_ms(length, what, step=step)
    grace_ms = declared_ms(grace, "grace", least_ms=0, step=step)
    return TimeWindows(size_ms, size_ms, grace_ms, retained_spans * size_ms + grace_ms)


def _store(flow: Flow, name: str, spans: TimeWindows, values: Serde[Any]) -> StoreSpec:
    return StoreSpec(
        name=name, key_type=flow.shape.key_type, value_serde=values, windows=spans, is_step_state=True
    )
