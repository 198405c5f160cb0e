"""All faults, by area."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.faults import in_joins, in_steps, in_tables, in_time_and_commits, in_windows
from tests.faults.fault import Fault

AREAS: Final[Mapping[str, tuple[Fault, ...]]] = MappingProxyType(
    {
        "windows": in_windows.FAULTS,
        "joins": in_joins.FAULTS,
        "tables and aggregations": in_tables.FAULTS,
        "limits and processors": in_steps.FAULTS,
        "time, commits and restores": in_time_and_commits.FAULTS,
    }
)
FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {fault.name: fault for faults in AREAS.values() for fault in faults}
)
"""All faults by their names."""
