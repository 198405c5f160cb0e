"""Declares aggregations: the step, and the store with the serdes of its accumulators and results."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.accumulators import declared_accumulators, result_field
from streamcore.processing.dsl.checks import check_function, check_policy, legal_name
from streamcore.processing.dsl.flow import Destination, Flow
from streamcore.processing.topology.aggregations import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import Aggregate, StoreSpec
from streamcore.processing.topology.places import shown
from streamcore.processing.topology.windows import Windows


def declare_aggregation(
    flow: Flow,
    name: str,
    named: dict[str, Aggregator],
    *,
    into: Any,
    single: bool,
    kept_type: Any,
    windows: Windows | None = None,
    late: Destination[Any, Any] | str | None = None,
    on_error: ErrorPolicy | None = None,
) -> tuple[Flow, StoreSpec]:
    """Declare an aggregation after a flow; return the flow of its updates, and its store.

    A repartition topic is inserted where equal keys may be in different partitions. The arguments are
    those of ``aggregation_store``; ``late`` is the topic for late records.

    Raises:
        TopologyError: the name is taken, or an argument is invalid.
    """
    legal_name(name, "table")
    check_policy(on_error, step=name)
    check_aggregators(name, named, into)
    flow.declaration.store_name(name)
    late_topic = None if late is None else flow.output_topic(late, step=name)
    keyed = flow.keyed(name)
    store, result_type = aggregation_store(
        name,
        named,
        key_type=keyed.shape.key_type,
        value_type=keyed.shape.value_type,
        windows=windows,
        into=into,
        single=single,
        kept_type=kept_type,
    )
    node = Aggregate(
        name=flow.declaration.node_name(None, None, name),
        parents=(keyed.node,),
        store=store,
        on_error=on_error,
        late=late_topic,
    )
    return keyed.then(node, keyed.shape.with_values(result_type)), store


def check_aggregators(name: str, named: dict[str, Aggregator], into: Any) -> None:
    """Refuse invalid aggregations of a store of this name.

    Raises:
        TopologyError: there is no aggregation, an object is not an aggregation, a function of one does not
            take the arguments of its call, or ``into`` does not take the names.
    """
    if not named:
        raise TopologyError(f"name at least one aggregation: {fact_text(store=name)}")
    for attribute, aggregator in named.items():
        if not isinstance(aggregator, Aggregator):
            raise TopologyError(
                "use sc.count(), sc.sum(...) and the like: "
                + fact_text(store=name, aggregation=attribute, given=shown(aggregator))
            )
        step = f"{name}.{attribute}" if len(named) > 1 else name
        if aggregator.of is not None:
            check_function(aggregator.of, step=step)
        check_function(aggregator.initial, step=step, takes=())
        check_function(aggregator.add, step=step, takes=("accumulator", "value"))
        check_function(aggregator.result, step=step, takes=("accumulator",))
    if into is not None:
        check_into(name, named, into)


def check_into(name: str, named: dict[str, Aggregator], into: Any) -> None:
    """Refuse a class for results that does not take the names of the aggregations.

    Raises:
        TopologyError: it is not callable, or not with these names.
    """
    if not callable(into):
        raise TopologyError(f"into= is a class: {fact_text(store=name, given=shown(into))}")
    try:
        signature = inspect.signature(into)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(**dict.fromkeys(named))
    except TypeError as error:
        raise TopologyError(
            "the class of into= takes the names of the aggregations: "
            + fact_text(store=name, into=shown(into), names=",".join(named), reason=error)
        ) from None


def aggregation_store(
    name: str,
    named: dict[str, Aggregator],
    *,
    key_type: Any,
    value_type: Any,
    windows: Windows | None,
    into: Any,
    single: bool,
    kept_type: Any = None,
) -> tuple[StoreSpec, Any]:
    """Return the store and the type of its results.

    Args:
        single: the result is that of the one aggregator, not an object with attributes.
        kept_type: the type of the accumulator of ``fold``.

    Raises:
        TopologyError: a name that cannot be an attribute, or values that cannot be kept.
    """
    named, state_serde = declared_accumulators(name, named, value_type, kept_type)
    finishers = [aggregator.result for aggregator in named.values()]
    if single:
        finish = finishers[0]

        def one_result(state: Any) -> Any:
            return finish(state[0])

        result = one_result
        result_type = next(iter(named.values())).result_type or kept_type or _kept(named, value_type)
    else:
        shape = into if into is not None else _struct_of(name, named, value_type)
        attributes = list(named)

        def object_result(state: Any) -> Any:
            return shape(
                **{
                    attribute: finish(accumulator)
                    for attribute, finish, accumulator in zip(attributes, finishers, state, strict=True)
                }
            )

        result = object_result
        result_type = shape
    store = StoreSpec(
        name=name,
        key_type=key_type,
        value_serde=state_serde,
        windows=windows,
        aggregators=tuple(("" if single else name, aggregator) for name, aggregator in named.items()),
        result=result,
    )
    return store, result_type


def _kept(named: dict[str, Aggregator], value_type: Any) -> Any:
    return value_type if any(aggregator.keeps_values for aggregator in named.values()) else None


def _struct_of(name: str, named: dict[str, Aggregator], value_type: Any) -> Any:
    title = "".join(part.capitalize() for part in name.replace(".", "-").replace("_", "-").split("-"))
    try:
        fields = [(attribute, result_field(found, value_type)) for attribute, found in named.items()]
        return msgspec.defstruct(title or "Result", fields, frozen=True)
    except (TypeError, ValueError) as error:
        raise TopologyError(
            f"the names of aggregations are attribute names: {fact_text(store=name, error=error)}"
        ) from error
