"""The year of flights in a log, for jobs that are killed while they process it."""

from __future__ import annotations

from pathlib import Path

import pytest

import streamcore as sc
from apps.fleet.data import read_flight_events, read_planes, source_folder
from apps.fleet.loading import load


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the whole year in its log, and nothing processed."""
    folder = tmp_path_factory.mktemp("loaded") / "data"
    source = source_folder()
    with sc.connect(folder) as log:
        load(log, read_flight_events(source), read_planes(source), lambda count: None)
    return folder
