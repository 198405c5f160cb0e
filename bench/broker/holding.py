"""What a broker needs without load: to start, and to hold many partitions and connections."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from bench.broker.brokers import Broker, Kind
from bench.broker.children import Numbers
from bench.broker.site import Site
from bench.broker.topics import batch_of, connect, create_topic
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from tests.support.serving import produce

_TOPIC_PARTITIONS = 100
_FILLED_STEP = 10
"""One of this many partitions has data."""
_FILLED_RECORDS = 100
_API_VERSIONS_VERSION = 3


def start_empty(site: Site, kind: Kind) -> Numbers:
    """Start in a new folder. Kafka's formatting of the folder is not counted."""
    site.settle()
    with site.own_broker(kind, _folder(site, "empty", kind)) as broker:
        time.sleep(site.sizes.idle_s)
        return {"start_s": broker.started_in_s, "resident_mb": broker.resident_bytes / 1e6}


def many_partitions(site: Site, kind: Kind) -> Numbers:
    """Create partitions, fill some, stop, start again, and hold many idle connections."""
    folder = _folder(site, "partitions", kind)
    count = site.sizes.partitions
    with site.own_broker(kind, folder) as broker:
        began_s = time.perf_counter()
        _make_partitions(broker, count)
        made_in_s = time.perf_counter() - began_s
    site.settle()
    with site.own_broker(kind, folder, partition_count=count) as broker, ExitStack() as connections:
        for _ in range(site.sizes.idle_connections):
            client = connections.enter_context(connect(broker.address))
            client.ask(ApiVersionsRequest(), _API_VERSIONS_VERSION)
        time.sleep(site.sizes.idle_s)
        before_s = broker.cpu_s
        time.sleep(site.sizes.idle_s)
        idle_s = broker.cpu_s - before_s
        return {
            "start_s": broker.started_in_s,
            "resident_mb": broker.resident_bytes / 1e6,
            "idle_cpu_percent": 100 * idle_s / site.sizes.idle_s,
            "made_in_s": made_in_s,
        }


def _make_partitions(broker: Broker, count: int) -> None:
    batch = batch_of(_FILLED_RECORDS, 100)
    with connect(broker.address) as client:
        for first in range(0, count, _TOPIC_PARTITIONS):
            name = f"many-{first // _TOPIC_PARTITIONS}"
            partitions = min(_TOPIC_PARTITIONS, count - first)
            create_topic(client, name, partitions)
            for number in range(0, partitions, _FILLED_STEP):
                answer = produce(client, name, batch, partition=number)
                assert answer.error_code == 0, answer


def _folder(site: Site, name: str, kind: Kind) -> Path:
    return site.new_folder(f"{name}-{kind.name}")
