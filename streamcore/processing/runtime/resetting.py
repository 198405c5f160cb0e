"""Resets an application on the log of a folder or of a broker: ``reset`` with a log and state folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamcore.clock import SystemClock
from streamcore.errors import UsageError, fact_text
from streamcore.log.client.application_groups import descriptions_topic, worker_transactional_id
from streamcore.log.groups import ResetTarget
from streamcore.model import Offset, TopicPartition
from streamcore.processing.runtime.application_log import ApplicationLog
from streamcore.processing.runtime.reset import (
    ResetPlan,
    carry_out,
    connected_parts,
    parts_of_table,
    plan_reset,
)
from streamcore.processing.runtime.topics import ensure_descriptions
from streamcore.processing.runtime.worker_presence import other_workers, presence_id, runs_here
from streamcore.processing.topology.application import DeclaredApplication
from streamcore.state.application_records import ApplicationRecords, read_records
from streamcore.state.directory import StateDirectory, TaskFolder


class ApplicationReset(ApplicationLog):
    """A reset of one application: first planned, then carried out."""

    def __init__(
        self,
        app: DeclaredApplication,
        data: Path | str,
        *,
        broker: str | None = None,
        security: Mapping[str, str] | None = None,
    ) -> None:
        """Open the log; raises as ``ApplicationLog`` does."""
        super().__init__(app, data, broker=broker, security=security)
        self._data = Path(data)
        self._clock = SystemClock()
        self._state = StateDirectory(self._data / "state")

    def plan(
        self,
        *,
        table: str | None = None,
        to: ResetTarget = "earliest",
        offsets: Mapping[TopicPartition, Offset] | None = None,
    ) -> ResetPlan:
        """Return the effects of a reset. Changes nothing.

        Args:
            table: reset only the sub-topologies that make this table, and those connected to them.
            to: where to read the inputs from: ``earliest``, ``latest``, an offset or a time.
            offsets: other start offsets of single partitions.

        Raises:
            UsageError: the application runs, or an argument fits nothing.
        """
        self._ensure_stopped()
        plan, app_id = self._app.declared().plan, self._app.app_id
        names = [part.name for part in plan.sub_topologies] if table is None else parts_of_table(plan, table)
        has_records = descriptions_topic(app_id) in self._log.topics()
        records = read_records(self._log, app_id) if has_records else ApplicationRecords(app_id)
        begun = [] if records.reset is None else records.reset.parts
        parts = connected_parts(plan, [*names, *begun])
        return plan_reset(self._log, plan, records, parts, to, self._clock.now_ms(), offsets)

    def state_folders(self, plan: ResetPlan) -> list[Path]:
        """Return the state folders that a reset deletes here."""
        return [folder.path for folder in self._folders(plan)]

    def carry_out(self, plan: ResetPlan) -> None:
        """Carry out a plan.

        Raises:
            UsageError: the application was started meanwhile.
        """
        self._ensure_stopped()
        producer = self._log.producer_port(transactional_id=worker_transactional_id(plan.app_id))
        try:
            ensure_descriptions(self._log, plan.app_id)
            carry_out(self._log, plan, producer, self._clock)
        finally:
            producer.close()
        for folder in self._folders(plan):
            self._state.remove(folder.app, folder.task)

    def _folders(self, plan: ResetPlan) -> list[TaskFolder]:
        return [
            folder
            for folder in self._state.folders(plan.app_id)
            if any(
                folder.task.rpartition("-")[0] == part and folder.task.rpartition("-")[2].isdigit()
                for part in plan.parts
            )
        ]

    def _ensure_stopped(self) -> None:
        app_id = self._app.app_id
        others = other_workers(self._log, app_id, presence_id(self._log, self._data, app_id))
        if runs_here(self._data, app_id):
            raise UsageError(
                f"this process runs the application; stop it, then reset it: {fact_text(app=app_id)}"
            )
        if others:
            raise UsageError(
                "the application runs; stop its worker, then reset it. A worker that was killed counts "
                "as running until its session ends, some ten seconds later: "
                + fact_text(app=app_id, host=others[0].host, member=others[0].member_id)
            )
