"""The scenarios: which API each is about, and whether it asks what is answered or what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.protocol.apis import APIS, Api
from tests.differential.running import Script
from tests.support.wire_client import BY_NAME

Kind = Literal["valid", "invalid"]

_FOLDER: Final = Path(__file__).parent / "scenarios"
_found: Final[list[Scenario]] = []


@dataclass(frozen=True, slots=True)
class Scenario:
    """A script that is run in each version of an API."""

    api: str
    kind: Kind
    since: int
    until: int
    script: Script

    @property
    def name(self) -> str:
        """Like the function."""
        return self.script.__name__

    @property
    def versions(self) -> range:
        """The versions it is run in."""
        api = BY_NAME[self.api]
        return range(max(self.since, api.version_min), min(self.until, api.version_max) + 1)


def valid(api: str, *, since: int = 0, until: int = 1000) -> Callable[[Script], Script]:
    """A scenario of what is done as it is asked."""
    return _adding(api, "valid", since, until)


def invalid(api: str, *, since: int = 0, until: int = 1000) -> Callable[[Script], Script]:
    """A scenario of what is refused."""
    return _adding(api, "invalid", since, until)


def _adding(api: str, kind: Kind, since: int, until: int) -> Callable[[Script], Script]:
    def add(script: Script) -> Script:
        _found.append(Scenario(api, kind, since, until, script))
        return script

    return add


def served_apis() -> list[Api]:
    """The APIs that we serve."""
    return [api for key, api in APIS.items() if key in HANDLERS]


def all_scenarios() -> list[Scenario]:
    """Every scenario of the folder."""
    for path in sorted(_FOLDER.glob("*.py")):
        import_module(f"tests.differential.scenarios.{path.stem}")
    return _found
