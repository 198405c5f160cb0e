"""The states of a group of the classic protocol, the transitions between them, and the rules of joining."""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct


class GroupState(Enum):
    """The state of a group; the values are Kafka's names."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"


_S = GroupState

TRANSITIONS: Final[dict[GroupState, frozenset[GroupState]]] = {
    _S.EMPTY: frozenset({_S.PREPARING_REBALANCE}),
    _S.PREPARING_REBALANCE: frozenset({_S.COMPLETING_REBALANCE, _S.EMPTY}),
    _S.COMPLETING_REBALANCE: frozenset({_S.STABLE, _S.PREPARING_REBALANCE}),
    _S.STABLE: frozenset({_S.PREPARING_REBALANCE}),
}


class JoinRules(Struct, frozen=True):
    """The broker's settings for joining."""

    size_max: int = 1_000
    bytes_max: int = 4 * 1_048_576
    """The most bytes that the members' protocols may have together."""
    initial_delay_ms: int = 0
    """How long a group's first generation waits for more members."""
    new_member_timeout_ms: int = 300_000
    """How long a member that joins for the first time may wait for the others."""
