"""An application on Apache Kafka: exactly once through its transactions, restored from changelogs there."""

from __future__ import annotations

import shutil
from itertools import takewhile
from pathlib import Path

import pytest

from apps.fleet.data import read_flight_events, read_planes, source_folder
from tests.support.fleet_answers import answers_of_duckdb
from tests.support.fleet_at_work import tables_at, worked_at

pytestmark = pytest.mark.interop

DAY_MS = 86_400_000


def test_a_quarter_of_the_fleet_on_apache_kafka_gives_the_tables_of_duckdb(
    kafka_node: str, tmp_path: Path
) -> None:
    year, registry = read_flight_events(source_folder()), read_planes(source_folder())
    events = list(takewhile(lambda flight: flight.ts < year[0].ts + 90 * DAY_MS, year))
    expected = answers_of_duckdb(events, registry, tmp_path)
    state = tmp_path / "state"

    found = worked_at(f"kafka://{kafka_node}", state, events, registry)
    shutil.rmtree(state)
    restored = tables_at(f"kafka://{kafka_node}", state)

    assert found == expected
    assert restored == expected
