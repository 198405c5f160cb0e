"""Runs the fleet over a broker: loads events, works through them, returns the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamcore as sc
from apps.fleet.app import app
from apps.fleet.events import Flight, Plane
from apps.fleet.loading import load
from tests.support.fleet_answers import Answers
from tests.support.fleet_tables import tables_of


def worked_at(address: str, folder: Path, events: Sequence[Flight], registry: Sequence[Plane]) -> Answers:
    """Load into a broker, process to the end with the state in a folder, and return the tables."""
    with sc.connect(address) as log:
        load(log, events, registry, lambda count: None)
    return tables_at(address, folder)


def tables_at(address: str, folder: Path) -> Answers:
    """Process what is there, and return the tables."""
    with sc.run(app, data=folder, broker=address) as running:
        running.wait_until_caught_up("5m")
        return tables_of(running)
