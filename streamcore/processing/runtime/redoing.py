"""The parts of a worker whose commit failed on a value, until their tasks are open again (``narrowing``)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.commit import UnstorableError
from streamcore.processing.runtime.narrowing import Narrowing, narrowed
from streamcore.processing.runtime.parts import Part
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.nodes import Node

_logger = logging.getLogger(__name__)


class Redoing:
    """Keeps how the records of parts are to be processed again."""

    def __init__(self) -> None:
        self._narrowings: dict[int, Narrowing] = {}
        """The number of a part -> the smaller rounds that it gets."""
        self.is_due = False
        """Whether a commit has failed, so that the tasks must be opened again."""

    def commit_failed(self, error: UnstorableError, parts: Sequence[Part]) -> None:
        """Note that a commit has failed.

        Raises:
            UnstorableError: the error itself, if no step can be given a record as a failed one.
        """
        number, part = next(
            (number, part)
            for number, part in enumerate(parts)
            if any(str(state.task.task_id) == error.task for state in part.states)
        )
        self._narrowings[number] = narrowed(error, part.states, part.narrowing, part.alone)
        self.is_due = True

    def warn_if_due(self) -> None:
        """Log, at the end of the worker, that the work since the last commit is left for the next start."""
        for narrowing in self._narrowings.values():
            _logger.warning(
                "the work since the last commit is left uncommitted, and done again at the next start: %s",
                narrowing.cause,
            )

    def begin(self, parts: Sequence[Part], guard_of: Callable[[Task, Node], Guard]) -> None:
        """Begin to process records again: the tasks of the parts are opened at their last commit."""
        self.is_due = False
        for number, part in enumerate(parts):
            if part.states and number in self._narrowings:
                part.narrow(self._narrowings.pop(number), guard_of)
