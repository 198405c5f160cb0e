"""What a task needs of a step that awaits: an agent, or a sink that calls a user's function.

Such a step takes a batch and works through it in order. The records that it has acknowledged are always the
first ones of the batch. After a cut it stops between two records, where the task can commit those before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from streamcore.processing.operators.batch import Batch


class EventRunner(ABC):
    """The running side of a step that awaits, in one task."""

    can_be_cut: bool = False
    """Whether the task can commit the beginning of a batch without the rest."""
    is_spoiled: bool = False
    """Whether effects of records that are not acknowledged are mixed with those of others."""
    batch: Batch | None = None

    @property
    @abstractmethod
    def lane_count(self) -> int:
        """How many records may be under way at once."""

    @abstractmethod
    def wanted(self, batch: Batch) -> Batch:
        """Return the records of a batch that the step works on."""

    @abstractmethod
    def begin(self, batch: Batch) -> None:
        """Take the next batch, after the last one is done."""

    @abstractmethod
    async def process(self) -> int:
        """Work until the batch is done or a cut is requested; return the number of records acknowledged.

        Raises:
            UserCodeError: by the error policy of the step.
        """

    @abstractmethod
    def hand_on(self) -> None:
        """Add the records that the step has sent for acknowledged records to the outputs."""

    @abstractmethod
    def wake(self) -> None:
        """Check again whether there is anything to wait for, because a cut was requested."""

    @abstractmethod
    def cancel_events(self) -> None:
        """Cancel the records under way; they are not acknowledged."""

    @abstractmethod
    async def close(self) -> None:
        """End all calls."""


def ends_event(origins: Sequence[int], index: int) -> bool:
    """Whether no record of the log is done in part, if the records of a batch before ``index`` are done."""
    return index == 0 or index >= len(origins) or origins[index] != origins[index - 1]
