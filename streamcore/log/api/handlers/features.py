"""Kafka's features and their levels: what the broker supports beyond the versions of its requests."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Feature(Struct, frozen=True):
    """A feature, supported from ``version_min`` up to the level that is in force."""

    name: str
    level: int
    version_min: int = 0


FEATURES: Final = (
    Feature("group.version", 1),  # the consumer group protocol (KIP-848)
    Feature("transaction.version", 2),  # an epoch for each transaction (KIP-890)
)
"""The features by name."""
