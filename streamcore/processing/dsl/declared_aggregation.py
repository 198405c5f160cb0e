"""Declares aggregations: the step, and the store with the serdes of its accumulators and results."""

from __future__ import annotations

import inspect
import types
import typing
import warnings
from collections.abc import Callable
from keyword import iskeyword
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.dsl.accumulators import (
    base_kind,
    declared_accumulators,
    result_field,
    values_type,
)
from streamcore.processing.dsl.checks import check_function, check_policy, legal_name, type_name
from streamcore.processing.dsl.declaration import value_serde_for, without_none
from streamcore.processing.dsl.flow import Destination, Flow
from streamcore.processing.topology.aggregator import Aggregator, as_it_is, ensure_can_merge, keeps_set
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import Aggregate, StoreSpec, TopicSpec
from streamcore.processing.topology.retraction import ensure_can_remove, of_changes
from streamcore.processing.topology.windows import AnyWindows
from streamcore.serde import serde_for


def declare_aggregation(
    flow: Flow,
    name: str,
    named: dict[str, Aggregator[Any, Any]],
    *,
    into: Any,
    single: bool,
    kept_type: Any,
    windows: AnyWindows | None = None,
    late: Destination[Any, Any] | TopicSpec | str | None = None,
    late_value: Callable[[Any], Any] | None = None,
    on_error: ErrorPolicy | None = None,
    merges: bool = False,
    removes: bool = False,
    row_type: Any = None,
) -> tuple[Flow, StoreSpec]:
    """Declare an aggregation after a flow; return the flow of its updates, and its store.

    A repartition topic is inserted where equal keys may be in different partitions. The arguments are
    those of ``aggregation_store``; ``late`` is the topic for late records, and ``late_value`` makes of a
    value of the flow what is written there. With ``removes`` the flow's values
    are changes, pairs (whether the row is added, row), of rows of the type ``row_type``.

    Raises:
        TopologyError: the name is taken, or an argument is invalid.
    """
    legal_name(name, "table")
    check_policy(on_error, step=name)
    value_type = row_type if removes else flow.shape.value_type
    check_aggregators(name, named, into, value_type=value_type)
    flow.declaration.store_name(name)
    if late is not None and not isinstance(late, TopicSpec):
        late = flow.output_topic(late, step=name)
    keyed = flow.keyed(name)
    store, result_type = aggregation_store(
        name,
        named,
        key_type=keyed.shape.key_type,
        value_type=value_type,
        windows=windows,
        into=into,
        single=single,
        kept_type=kept_type,
        merges=merges,
        removes=removes,
    )
    if windows is None and any(keeps_set(aggregator) for _, aggregator in store.aggregators):
        sets = StoreSpec(
            name=flow.declaration.store_name(f"{name}.sets"),
            key_type=tuple[bytes, int, int],
            value_serde=serde_for(list[bytes], codec="msgpack"),
            is_step_state=True,
        )
        store = replace(store, sets=sets)
    node = Aggregate(
        name=flow.declaration.node_name(None, None, name),
        parents=(keyed.node,),
        store=store,
        on_error=on_error,
        late=late,
        late_value=late_value,
        follows_rows=removes,
    )
    return keyed.then(node, keyed.shape.with_values(result_type)), store


def named_aggregations(
    name: Any, named: dict[str, Any], **settings: object
) -> tuple[str, dict[str, Aggregator[Any, Any]]]:
    """Return the name of the table and the aggregations of a call of ``aggregate``.

    The name of the table is the first argument, so an aggregation may be called ``name``. The former form,
    ``aggregate(name="table", ...)``, gives a ``DeprecationWarning``.

    Args:
        settings: the other arguments of the call by name; no aggregation can be called so.

    Raises:
        TopologyError: there is no name, or an aggregation has the name of another argument.
    """
    if name is ... and isinstance(named.get("name"), str):
        warnings.warn(
            "aggregate(name='table') is now aggregate('table'), so that an aggregation may be called name",
            DeprecationWarning,
            stacklevel=4,
        )
        name = named["name"]
        named = {attribute: found for attribute, found in named.items() if attribute != "name"}
    if name is ...:
        raise TopologyError("name the table first, aggregate('table', number=sc.count())")
    for setting, given in settings.items():
        if isinstance(given, Aggregator):
            raise TopologyError(
                "an aggregation cannot have this name, which is an argument of aggregate; give it another: "
                + fact_text(store=shown(name), aggregation=setting, arguments=",".join(settings))
            )
    return name, named


def check_aggregators(
    name: str, named: dict[str, Aggregator[Any, Any]], into: Any, *, value_type: Any = None
) -> None:
    """Refuse invalid aggregations of a store of this name.

    Args:
        value_type: the type of the stream's values, where it is known.

    Raises:
        TopologyError: there is no aggregation, an object is not an aggregation, a function of one does not
            take the arguments of its call, or ``into`` does not take the names or the results.
    """
    if not named:
        raise TopologyError(f"name at least one aggregation: {fact_text(store=name)}")
    for attribute, aggregator in named.items():
        if not attribute.isidentifier() or attribute.startswith("__") or iskeyword(attribute):
            raise TopologyError(
                "the names of aggregations are attribute names, without two '_' in front; give it another "
                f"name: {fact_text(store=name, aggregation=shown(attribute))}"
            )
        if not isinstance(aggregator, Aggregator):
            raise TopologyError(
                "use sc.count(), sc.sum(...) and the like: "
                + fact_text(store=name, aggregation=attribute, given=shown(aggregator))
            )
        step = f"{name}.{attribute}" if len(named) > 1 else name
        try:
            value_serde_for(aggregator.declared_type, "msgpack")
        except UsageError as error:
            raise TopologyError(
                "values of this type cannot be kept in an aggregation; declare another with value=: "
                + fact_text(table=step, type=type_name(aggregator.declared_type), reason=error)
            ) from error
        own = () if aggregator.of is None else (aggregator.of,)
        for function in aggregator.functions or own:
            check_function(function, step=step)
        check_function(aggregator.initial, step=step, takes=())
        check_function(aggregator.add, step=step, takes=("accumulator", "value"))
        check_function(aggregator.result, step=step, takes=("accumulator",))
        if aggregator.merge is not None:
            check_function(aggregator.merge, step=step, takes=("earlier", "later"))
        if aggregator.remove is not None:
            check_function(aggregator.remove, step=step, takes=("accumulator", "value"))
    if into is not None:
        check_into(name, named, into, value_type=value_type)


_WITHOUT_FIELDS: Final = (bool, int, float, str, bytes, list, tuple, set, frozenset)
"""Classes that take no names, but have no signature that says so."""


def check_into(
    name: str, named: dict[str, Aggregator[Any, Any]], into: Any, *, value_type: Any = None
) -> None:
    """Refuse a class for results that does not take the names of the aggregations, or not their results.

    Raises:
        TopologyError: it is not callable, not with these names, or a field has another type than the result.
    """
    if not callable(into) or into in _WITHOUT_FIELDS:
        raise TopologyError(
            "into= is a class with the names of the aggregations as fields: "
            + fact_text(store=name, given=shown(into))
        )
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
    try:
        hints = typing.get_type_hints(into)
    except (NameError, TypeError, AttributeError):
        return
    for attribute, aggregator in named.items():
        wanted, found = hints.get(attribute), known_result(aggregator, value_type)
        if found is not None and not _takes(wanted, found):
            raise TopologyError(
                "a field of into= has another type than the result of its aggregation: "
                + fact_text(
                    store=name,
                    into=shown(into),
                    field=attribute,
                    declared=type_name(wanted),
                    aggregation=aggregator.kind,
                    result=type_name(found),
                )
            )


def known_result(aggregator: Aggregator[Any, Any], value_type: Any) -> type | None:
    """Return the class of an aggregation's results other than ``None``, where the declaration shows it."""
    kind = base_kind(aggregator)
    if kind in ("count", "distinct", "approx_distinct"):
        return int
    if kind in ("variance", "stddev", "quantile"):
        return float
    if kind in ("top", "collect"):
        return list
    if kind not in ("sum", "mean", "min", "max", "first", "last", "argmin", "argmax"):
        return None
    found = without_none(values_type(aggregator, value_type))
    if not isinstance(found, type) or typing.get_args(found):
        return None
    if kind in ("sum", "mean") and issubclass(found, int):
        return int if kind == "sum" else float
    return found


def _takes(wanted: Any, found: type) -> bool:
    """Whether a field of this type takes values of a class; ``True`` where the type does not show it."""
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        return any(_takes(one, found) for one in typing.get_args(wanted) if one is not types.NoneType)
    if typing.get_origin(wanted) is typing.Annotated:
        return _takes(typing.get_args(wanted)[0], found)
    wanted = typing.get_origin(wanted) or wanted
    if not isinstance(wanted, type) or wanted in (object, Any) or getattr(wanted, "_is_protocol", False):
        return True
    try:
        return issubclass(found, wanted) or (wanted is float and issubclass(found, int))
    except TypeError:
        return True


def aggregation_store(
    name: str,
    named: dict[str, Aggregator[Any, Any]],
    *,
    key_type: Any,
    value_type: Any,
    windows: AnyWindows | None,
    into: Any,
    single: bool,
    kept_type: Any = None,
    merges: bool = False,
    removes: bool = False,
) -> tuple[StoreSpec, Any]:
    """Return the store and the type of its results.

    Args:
        single: the result is that of the one aggregator, not an object with attributes.
        kept_type: the type of the accumulator of ``fold``.
        merges: accumulators are united, as in session windows.
        removes: values are taken back, as in the aggregation of a table.

    Raises:
        TopologyError: a name that cannot be an attribute, values that cannot be kept, or an aggregation that
            cannot merge or remove where that is needed.
    """
    if removes:
        named = ensure_can_remove(name, named)
    if merges:
        ensure_can_merge(name, named)
    named, state_serde = declared_accumulators(name, named, value_type, kept_type)
    finishers = [aggregator.result for aggregator in named.values()]
    if single:
        result = _only_result(finishers[0])
        result_type = next(iter(named.values())).result_type or kept_type or _kept(named, value_type)
    else:
        shape = into if into is not None else _struct_of(name, named, value_type)
        result = _result_of(shape, list(named), finishers)
        result_type = shape
    store = StoreSpec(
        name=name,
        key_type=key_type,
        value_serde=state_serde,
        windows=windows,
        aggregators=tuple(
            ("" if single else attribute, of_changes(aggregator) if removes else aggregator)
            for attribute, aggregator in named.items()
        ),
        result=result,
    )
    return store, result_type


def _only_result(finish: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function that makes the result of a tuple of one accumulator."""
    return itemgetter(0) if finish is as_it_is else lambda state: finish(state[0])


def _result_of(
    shape: Any, attributes: list[str], finishers: list[Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    """Return the function that makes an object with attributes of a tuple of accumulators."""
    order = _order_of(shape, attributes)
    if order == list(range(len(attributes))) and all(finish is as_it_is for finish in finishers):
        return lambda state: shape(*state)
    if order is not None:
        work = [(number, None if finishers[number] is as_it_is else finishers[number]) for number in order]
        return lambda state: shape(
            *[state[number] if finish is None else finish(state[number]) for number, finish in work]
        )

    def object_result(state: Any) -> Any:
        return shape(
            **{
                attribute: finish(accumulator)
                for attribute, finish, accumulator in zip(attributes, finishers, state, strict=True)
            }
        )

    return object_result


def _order_of(shape: Any, attributes: list[str]) -> list[int] | None:
    """Return the order in which a class takes these attributes by place; ``None`` if by name."""
    try:
        parameters = list(inspect.signature(shape).parameters.values())[: len(attributes)]
    except (ValueError, TypeError):
        return None
    names = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return [attributes.index(name) for name in names] if sorted(names) == sorted(attributes) else None


def _kept(named: dict[str, Aggregator[Any, Any]], value_type: Any) -> Any:
    return value_type if any(aggregator.keeps_values for aggregator in named.values()) else None


def _struct_of(name: str, named: dict[str, Aggregator[Any, Any]], value_type: Any) -> Any:
    title = "".join(part.capitalize() for part in name.replace(".", "-").replace("_", "-").split("-"))
    try:
        fields = [(attribute, result_field(found, value_type)) for attribute, found in named.items()]
        return msgspec.defstruct(title or "Result", fields, frozen=True)
    except (TypeError, ValueError) as error:
        raise TopologyError(
            f"the names of aggregations are attribute names: {fact_text(store=name, error=error)}"
        ) from error
