"""Tools for testing applications: a topology driver, and a simulated disk that can crash."""

from __future__ import annotations

from streamcore.testing.sim_disk import SimDisk
from streamcore.testing.topology_driver import TopologyDriver

__all__ = ["SimDisk", "TopologyDriver"]
