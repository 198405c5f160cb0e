"""The public log on Apache Kafka: the tests that it passes on our own server."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.server.test_broker_connection import *  # noqa: F403

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Address:
    """What these tests want to know of a server."""

    address: str


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def served(kafka_node: str) -> Address:
    """Apache Kafka in the place of our server."""
    return Address(kafka_node)
