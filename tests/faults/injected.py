"""A plugin of pytest that puts a fault into a module of streamcore while it is imported.

``STREAMCORE_FAULT`` is the name of the fault. Files are not changed: the module is compiled from its text
with the fault. If no test imports the module, the exit status is ``NOT_IMPORTED``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.faults.fault import Fault
from tests.faults.listed import FAULTS

NOT_IMPORTED: Final = 90
"""The exit status of a run that did not import the module."""

# Failures are expected; making them small takes minutes.
settings.register_profile(
    "faults",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


class FaultyLoader(SourceFileLoader):
    """Compiles a module from its text with a fault."""

    def __init__(self, fault: Fault, path: str) -> None:
        super().__init__(fault.module_name, path)
        self._fault = fault
        self.was_used = False

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the module, with the fault, never from a cache."""
        source = self._fault.put_into(self.get_data(self.path).decode())
        self.was_used = True
        return compile(source, self.path, "exec", dont_inherit=True)


class FaultyFinder(MetaPathFinder):
    """Finds the one module with a fault."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.loader: FaultyLoader | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the module, with the loader that puts the fault into it."""
        if fullname != self._fault.module_name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = self.loader = FaultyLoader(self._fault, spec.origin)
        return spec


_FINDER: Final = FaultyFinder(FAULTS[os.environ["STREAMCORE_FAULT"]])
assert not any(name.startswith("streamcore") for name in sys.modules)
sys.meta_path.insert(0, _FINDER)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Say by the exit status if the fault was in no module that was imported."""
    if _FINDER.loader is None or not _FINDER.loader.was_used:
        session.exitstatus = NOT_IMPORTED
