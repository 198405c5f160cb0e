"""What an aggregation is: functions on an accumulator, and the form in which the accumulator is stored.

An ``Aggregator`` keeps an accumulator. ``add`` defines its result; ``add_many`` must give the same as
a call of ``add`` for each value, and exists because it can be faster. Accumulators are stored, so they are
plain data (``plain_data``), or made of values of the declared type, or ``stored`` makes plain data of them.
They are replaced, never changed in place.

Two more functions exist where the aggregation has a meaning for them:

* ``merge(earlier, later)`` returns the accumulator of the values of both. It is associative. A session window
  needs it when two sessions unite; ``earlier`` is the session that starts first.
* ``remove(accumulator, value)`` takes back one value that was added. An aggregation of a table needs it,
  because a row that changes leaves its old value. ``retraction`` makes the aggregations that have it.

``None`` values of ``of`` are left out, as in SQL: no function receives them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from streamcore.errors import TopologyError, fact_text

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # stubs that come with the type checkers

    V = TypeVar("V", contravariant=True, default=Any)
    R = TypeVar("R", covariant=True, default=Any)
    Value = TypeVar("Value", default=Any)
else:
    from typing import TypeVar

    V = TypeVar("V", contravariant=True)
    R = TypeVar("R", covariant=True)
    Value = TypeVar("Value")

Of: TypeAlias = Callable[[Any], Any]

Form: TypeAlias = Literal["own", "plain", "value", "values", "ranked", "counted"]
"""What an accumulator is made of::

    own       numbers, bytes and containers that the aggregation itself makes; never needs a check
    plain     plain data that depends on the values or on the user's functions
    value     one value, or None
    values    a list of values
    ranked    [[rank, ...], [value, ...]]; the function ``of`` returns pairs (rank, value)
    counted   [[count, ...], [value, ...]]
"""


def as_it_is(accumulator: Any) -> Any:
    """Return the accumulator: the result of most aggregations."""
    return accumulator


@dataclass(frozen=True, slots=True)
class CopyOf:
    """Makes first accumulators of a value: a copy for each key, because a function may change its own in
    place.
    """

    value: Any

    def __call__(self) -> Any:
        """Return a copy of the value."""
        return copy.deepcopy(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregator(Generic[V, R]):
    """One named aggregation: it takes values of ``V`` and its result is an ``R``.

    ``kind`` and ``parameter`` are stored beside the state, for tools without the application.
    """

    kind: str
    initial: Callable[[], Any]
    add: Callable[[Any, Any], Any]
    add_many: Callable[[Any, Sequence[Any]], Any]
    add_groups: Callable[[Sequence[Any], Sequence[Sequence[Any]]], list[Any]] | None = None
    """Gives the same as a call of ``add_many`` for each accumulator and its values, at least one."""
    merge: Callable[[Any, Any], Any] | None = None
    remove: Callable[[Any, Any], Any] | None = None
    stored: Callable[[Any], Any] | None = None
    """Makes plain data of an accumulator that is an object of its own in memory; ``add`` takes both."""
    result: Callable[[Any], R] = as_it_is
    of: Of | None = None
    functions: tuple[Of, ...] = ()
    """The functions of the user that ``of`` calls, where ``of`` is not one of them."""
    kept: Of | None = None
    """The user's function that returns the kept values of the form ``ranked``; ``None``: the whole value."""
    counts_none: bool = False
    form: Form = "plain"
    parameter: str = ""
    declared_type: Any = None
    """The type of the accumulator, or of the values that it is made of, as the user declared it."""
    result_type: Any = None

    def added_groups(self, accumulators: Sequence[Any], groups: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the accumulators with their values added, at least one value each."""
        if self.add_groups is not None:
            return self.add_groups(accumulators, groups)
        add_many = self.add_many
        return [
            add_many(accumulator, values) for accumulator, values in zip(accumulators, groups, strict=True)
        ]

    @property
    def stored_kind(self) -> str:
        """The kind as the description of a store has it: ``sum``, ``top(3)``, ``min+remove``."""
        base, plus, removing = self.kind.partition("+")
        return f"{base}({self.parameter}){plus}{removing}" if self.parameter else self.kind

    @property
    def values_of(self) -> Of | None:
        """The user's function that returns the values which the accumulator is made of; ``None`` for the
        values of the stream.
        """
        return self.kept if self.form == "ranked" else self.of

    @property
    def keeps_values(self) -> bool:
        """Whether the accumulator is made of whole values of the stream, and so needs their type."""
        return self.form not in ("own", "plain") and self.values_of is None


def keeps_set(aggregator: Aggregator[Any, Any]) -> bool:
    """Whether the accumulator is an ``IdentitySet``."""
    return aggregator.kind == "distinct"


def ensure_can_merge(step: str, named: Mapping[str, Aggregator[Any, Any]]) -> None:
    """Refuse aggregations that cannot be merged, in a step whose windows unite.

    Raises:
        TopologyError: one has no ``merge``; the message says what to write instead.
    """
    for attribute, aggregator in named.items():
        if aggregator.merge is None:
            raise TopologyError(
                "sessions unite when a record falls between them, and this aggregation cannot merge what "
                "they hold; use sc.aggregation(initial, add, merge=...), where merge(earlier, later) returns "
                f"one accumulator: {fact_text(step=step, aggregation=_shown(attribute, aggregator))}"
            )


def _shown(attribute: str, aggregator: Aggregator[Any, Any]) -> str:
    return attribute if attribute == aggregator.kind else f"{attribute}={aggregator.kind}"
