"""A declared application as one frozen value: all that running, resetting and testing it need.

``App.declared()`` makes the value from what is declared so far; what is declared afterwards is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from msgspec import Struct

from streamcore.errors import UsageError, fact_text
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy
from streamcore.processing.topology.plan import Plan
from streamcore.processing.topology.timers import Hook, Timer

OnRecreatedTopic = Literal["stop", "start-over", "go-on"]
"""What a start does when a topic that the application reads was deleted and created again."""


class Application(Struct, frozen=True):
    """What an application declares, split into sub-topologies."""

    app_id: str
    plan: Plan
    on_error: ErrorPolicy
    """The error policy of steps, topics and timers that declare none."""
    on_recreated_topic: OnRecreatedTopic
    dead_letter_topics: tuple[str, ...]
    """The topics that error policies write to, each once, in the order of their declaration."""
    timers: tuple[Timer, ...]
    start_hooks: tuple[Hook, ...]
    stop_hooks: tuple[Hook, ...]


class DeclaredApplication(Protocol):
    """An object on which an application is declared, such as ``App``."""

    @property
    def app_id(self) -> str:
        """The identity of the application."""

    def declared(self) -> Application:
        """Return what is declared so far.

        Raises:
            TopologyError: the declarations do not fit together.
        """


def ensure_application(given: object) -> None:
    """Refuse an object that is not a declared application.

    Raises:
        UsageError: it is something else; the message says what to give.
    """
    if not isinstance(given, type) and callable(getattr(given, "declared", None)):
        return
    advice = "give an application, app = sc.App('name')"
    if isinstance(given, str):
        advice += f", not its name; text names one on the command line only, streamcore worker {given}"
    raise UsageError(f"{advice}: {fact_text(given=shown(given))}")


def dead_letter_topics(policies: Iterable[ErrorPolicy | None]) -> tuple[str, ...]:
    """Return the topics that error policies write to, each once, in the order of the policies."""
    return tuple(dict.fromkeys(policy.topic for policy in policies if isinstance(policy, DeadLetter)))
