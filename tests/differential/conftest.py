"""Both brokers, each a process of its own on a free port over a new folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamcore.log.protocol.messages.find_coordinator import FindCoordinatorRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from tests.differential.conversation import Conversation
from tests.differential.running import Brokers
from tests.interop.brokers import ServedBroker
from tests.interop.fetching import MissingError, kafka_jars
from tests.interop.kafka_processes import kafka_running

_COORDINATORS = (0, 1)
_AT_ONCE = "group.consumer.assignment.interval.ms=0"
"""Kafka would assign at most once a second, and what an answer says would depend on the moment."""


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """Apache Kafka and ours, ready for every kind of request."""
    try:
        jars = kafka_jars()
    except MissingError as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("brokers")
    ours = ServedBroker(folder / "ours")
    with kafka_running(jars, folder, _AT_ONCE) as kafka, ThreadPoolExecutor(2) as pool:
        ours.start()
        found = Brokers(kafka, ours.address, int(time.time() * 1000), pool)
        for address in (kafka, ours.address):
            _warm_up(address, found.now_ms)
        yield found
        ours.stop()


def _warm_up(address: str, now_ms: int) -> None:
    """Have the topics made that coordinators keep their state in: the first requests would wait for them."""
    talk = Conversation(address, "warming-up", "", 0, now_ms)
    for kind in _COORDINATORS:
        talk.prepare(FindCoordinatorRequest(key_type=kind, coordinator_keys=["warming-up"]))
    for name in (None, "warming-up"):
        talk.prepare(InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=1000))
    talk.close()
