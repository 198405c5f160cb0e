"""The contract of the log port, on Apache Kafka: the same tests, on a broker that is not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.test_log_port import *  # noqa: F403
from tests.support.log_houses import KafkaHouse, LogHouse

pytestmark = pytest.mark.interop


@pytest.fixture  # type: ignore[no-redef]
def house(kafka_node: str) -> Iterator[LogHouse]:
    """Apache Kafka in the place of the logs of ours."""
    house = KafkaHouse(kafka_node)
    house.log.create_topic("events", partitions=2)
    yield house
    house.close()
