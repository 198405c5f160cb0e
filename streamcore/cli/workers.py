"""``streamcore worker --workers N``: serve the folder's log, and run N worker processes on it.

The processes share the tasks as workers of a broker do. The log of a folder is served to them on a loopback
port; behind ``--broker`` they connect to that. Their states are in one folder, so that a task that moves
finds its state there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamcore.cli.stop_signals import StopSignals
from streamcore.cli.supervisor import Supervisor
from streamcore.cli.worker_display import say
from streamcore.errors import StreamCoreError
from streamcore.log.connect import broker_place, connect, hold_folder
from streamcore.log.connected_log import ConnectedLog
from streamcore.log.node.node import Durability
from streamcore.processing.runtime.worker_presence import CLIENT_PREFIX, worker_name

if TYPE_CHECKING:
    from streamcore.processing.dsl.app import App

_OWN_LISTENER: Final = "127.0.0.1:0"


def run_workers(
    app: App,
    count: int,
    command_of: Callable[[str, int], Sequence[str]],
    *,
    data: Path,
    broker: str | None,
    security: Mapping[str, str] | None,
    durability: Durability,
    listen: Sequence[str],
    stop_timeout_s: float,
    show_plan: Callable[[ConnectedLog], None],
) -> None:
    """Run the workers until a signal, or until all have ended.

    Args:
        command_of: the command line of a worker, by the address of the broker and its number from 1.
        listen: further addresses at which the folder's log is served.
        stop_timeout_s: how long the workers may take to stop.
        show_plan: prints what the application does on this log.

    Raises:
        DirectoryInUseError: another process uses the folder.
        StreamCoreError: a worker ends after each start.
    """
    stopping = threading.Event()
    with contextlib.ExitStack() as undo:
        signals = undo.enter_context(
            StopSignals(
                "the workers commit and stop", limit_s=stop_timeout_s + 5, obstacle="a worker does not stop"
            )
        )
        if broker is None:
            from streamcore.log.serving import serve

            served = undo.enter_context(serve(data, listen=[_OWN_LISTENER, *listen], durability=durability))
            log, address, *others = served.log, *served.address.split(",")
            place = f"embedded log in {data} ({durability})"
        else:
            undo.enter_context(hold_folder(data))
            log = undo.enter_context(connect(broker_place(broker), security=security))
            address, others = broker, []
            place = f"log at {broker_place(broker)}, state in {data}"
        say(f"{app.app_id}: {place}, {count} workers")
        show_plan(log)
        if others:
            say(f"  listen   {','.join(others)}")
        name = worker_name(data, app.app_id, has_state=True)
        supervisor = Supervisor(
            [(f"worker {number}", command_of(address, number)) for number in range(1, count + 1)],
            say=say,
            died=lambda worker: _forget(log, app.app_id, f"{name}-{worker.removeprefix('worker ')}"),
        )
        signals.ask_with(stopping.set)
        supervisor.run(stopping, stop_timeout_s)
        if signals.is_stopped:
            say("stopped; what was processed is committed")


def _forget(log: ConnectedLog, app_id: str, worker: str) -> None:
    """Remove a worker that has died from its group, so that its tasks go to others at once."""
    if not log.is_embedded:
        return  # The broker notices the end of its session.
    with contextlib.suppress(StreamCoreError):
        for member in log.group_members(app_id):
            if member.client_id.partition("@")[0] == f"{CLIENT_PREFIX}{worker}":
                log.embedded.leave_group(app_id, member.member_id)
