"""A cluster that the tests share; where Java or Kafka's jars are missing, they are skipped with a message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.kafka_cluster import KafkaCluster, cluster_running
from tests.interop.fetching import MissingError, kafka_jars


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three nodes; each test leaves all of them running."""
    try:
        jars = kafka_jars()
    except MissingError as missing:
        pytest.skip(str(missing))
    with cluster_running(jars, tmp_path_factory.mktemp("cluster")) as found:
        yield found
