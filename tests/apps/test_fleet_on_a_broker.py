"""The fleet on a log that another process could serve: the tables are those of DuckDB, also after a loss."""

from __future__ import annotations

import shutil
from itertools import takewhile
from pathlib import Path

import pytest

import streamcore as sc
from apps.fleet.events import Flight, Plane
from tests.support.fleet_answers import answers_of_duckdb
from tests.support.fleet_at_work import tables_at, worked_at

DAY_MS = 86_400_000


@pytest.mark.slow
def test_three_days_over_a_served_log_gives_the_tables_of_duckdb_and_again_after_the_state_is_lost(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = list(takewhile(lambda flight: flight.ts < year_of_flights[0].ts + 3 * DAY_MS, year_of_flights))
    expected = answers_of_duckdb(events, registry, tmp_path)
    state = tmp_path / "state"

    with sc.serve(tmp_path / "data", listen="127.0.0.1:0") as served:
        found = worked_at(served.address, state, events, registry)
        shutil.rmtree(state)
        restored = tables_at(served.address, state)

    assert found == expected
    assert restored == expected
