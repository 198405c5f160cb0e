"""``streamcore worker``: run an application on the log of a folder or of a broker until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from streamcore.cli.applications import application_argument, load_app
from streamcore.cli.options import (
    broker_option,
    command_config_option,
    data_option,
    log_level_option,
    security_of,
)
from streamcore.cli.program_log import show_logging
from streamcore.cli.supervisor import STOPPED, give_signs_of_life
from streamcore.durations import duration_ms
from streamcore.errors import SerdeError, UsageError, UserCodeError, fact_text, with_facts

if TYPE_CHECKING:
    from streamcore.cli.stop_signals import StopSignals
    from streamcore.cli.worker_display import RestoreDisplay
    from streamcore.log.connected_log import ConnectedLog
    from streamcore.processing.dsl.app import App
    from streamcore.processing.runtime.running import Worker

_REFRESH_S = 0.2
_WORKERS_MAX = 256
_STOP_MARGIN_S = 20.0
"""How much longer than its events the worker may take to stop: time for the last commit."""
_BROKER_MARGIN_S = 30.0
"""How much longer with a broker: other nodes of a cluster take over what a lost one coordinated."""


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    data: Path
    broker: str | None
    security: Mapping[str, str] | None
    durability: Literal["durable", "relaxed"]
    guarantee: str
    commit_interval: str
    http: str | None
    listen: tuple[str, ...]
    until_end: bool
    close_windows: bool
    stop_timeout: str
    shows_traceback: bool
    instance_id: str | None
    slot: int | None
    """The number of this process among those of ``--workers``."""


@click.command("worker")
@application_argument
@data_option
@click.option("--until-end", is_flag=True, help="Process what is there, commit, and stop.")
@click.option(
    "--close-windows", is_flag=True, help="With --until-end: the input has ended, close the open windows."
)
@click.option(
    "--guarantee",
    default="exactly-once",
    metavar="exactly-once|at-least-once",
    help="What a crash may leave.",
)
@click.option("--http", metavar="HOST:PORT", help="Answer queries, health and metrics over HTTP here.")
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Serve the log to Kafka's clients here meanwhile, repeatable.",
)
@click.option(
    "--commit-interval", default="100ms", help="How long results may wait until they are committed."
)
@click.option(
    "--durability",
    default="durable",
    metavar="durable|relaxed",
    help="relaxed does not wait for the disk: a power cut may take the last second.",
)
@click.option(
    "--stop-timeout",
    default="10s",
    help="How long events under way may take after SIGTERM; then they are cancelled, uncommitted.",
)
@log_level_option
@click.option(
    "--traceback",
    "show_traceback",
    is_flag=True,
    help="Show the whole traceback of an error that ends the worker.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=_WORKERS_MAX),
    default=1,
    help="How many processes share the tasks of the application on this machine.",
)
@click.option(
    "--instance-id",
    metavar="NAME",
    help="With --broker: a worker that starts again with this name within 10 s gets its tasks back.",
)
@click.option("--slot", type=int, hidden=True)
@broker_option
@command_config_option
def worker(
    application: str,
    data: Path,
    until_end: bool,
    close_windows: bool,
    guarantee: str,
    http: str | None,
    listen: tuple[str, ...],
    commit_interval: str,
    durability: str,
    stop_timeout: str,
    log_level: str | None,
    show_traceback: bool,
    workers: int,
    instance_id: str | None,
    slot: int | None,
    broker: str | None,
    command_config: Path | None,
) -> None:
    """Run an application: process its topics, keep its tables, until SIGTERM or Ctrl-C.

    MODULE:APP is the module and the name of the application in it, such as apps.flights:app.
    """
    if close_windows and not until_end:
        raise UsageError("--close-windows says that the input has ended: give --until-end, too")
    if broker and listen:
        raise UsageError(
            with_facts(
                "the log is behind a broker, which serves it: leave --listen or --broker out", broker=broker
            )
        )
    if instance_id is not None and not broker and workers == 1:
        raise UsageError(
            with_facts(
                "a worker on its own folder shares no tasks: leave --instance-id out", given=instance_id
            )
        )
    if workers > 1 and http is not None:
        raise UsageError(
            with_facts(
                "the processes of --workers cannot share an address for HTTP yet: leave --http out, or run "
                "each worker by a command of its own, with --broker and --http",
                workers=workers,
                http=http,
            )
        )
    if durability not in ("durable", "relaxed"):
        raise UsageError(with_facts("the durability is 'durable' or 'relaxed'", given=repr(durability)))
    options = _Options(
        data=data,
        broker=broker or None,
        security=security_of(broker, command_config),
        durability="relaxed" if durability == "relaxed" else "durable",
        guarantee=guarantee,
        commit_interval=commit_interval,
        http=http,
        listen=listen,
        until_end=until_end,
        close_windows=close_windows,
        stop_timeout=stop_timeout,
        shows_traceback=show_traceback,
        instance_id=instance_id,
        slot=slot,
    )
    if slot is not None:
        give_signs_of_life()
    app = load_app(application)
    show_logging(log_level)
    if workers == 1:
        _run(app, options)
        return
    from streamcore.cli.workers import run_workers

    def command_of(address: str, number: int) -> list[str]:
        given = ["--broker", address, "--slot", str(number), "--data", str(data)]
        given += ["--guarantee", guarantee, "--commit-interval", commit_interval]
        given += ["--stop-timeout", stop_timeout]
        given += ["--instance-id", f"{instance_id}-{number}"] if instance_id is not None else []
        given += ["--log-level", log_level] if log_level is not None else []
        given += ["--command-config", str(command_config)] if command_config is not None else []
        given += ["--until-end"] if until_end else []
        given += ["--close-windows"] if close_windows else []
        given += ["--traceback"] if show_traceback else []
        return [sys.executable, "-m", "streamcore", "worker", application, *given]

    run_workers(
        app,
        workers,
        command_of,
        data=data,
        broker=options.broker,
        security=options.security,
        durability=options.durability,
        listen=listen,
        stop_timeout_s=_stop_limit_s(stop_timeout, options.broker),
        show_plan=lambda log: _say_plan(app, log),
    )


def _stop_limit_s(stop_timeout: str, broker: str | None) -> float:
    """Return how long a worker may take to stop, before its process is ended."""
    margin_s = _STOP_MARGIN_S if broker is None else _STOP_MARGIN_S + _BROKER_MARGIN_S
    return duration_ms(stop_timeout) / 1000 + margin_s


def _run(app: App, options: _Options) -> None:
    from streamcore.cli.stop_signals import StopSignals
    from streamcore.cli.worker_display import RestoreDisplay, say
    from streamcore.processing.runtime.running import Worker, new_event_loop
    from streamcore.processing.topology.code_locations import error_location

    with contextlib.ExitStack() as undo:
        obstacle = "the application's code blocks the event loop"
        if options.broker is not None:
            obstacle = f"the broker does not answer, or {obstacle}"
        limit_s = _stop_limit_s(options.stop_timeout, options.broker)
        signals = undo.enter_context(StopSignals(limit_s=limit_s, obstacle=obstacle))
        restore = undo.enter_context(RestoreDisplay())
        worker = Worker(
            app,
            data=options.data,
            broker=options.broker,
            security=options.security,
            guarantee=options.guarantee,
            commit_interval=options.commit_interval,
            durability=options.durability,
            stop_timeout=options.stop_timeout,
            progress=restore,
            instance_id=options.instance_id,
            shares_folder=None if options.slot is None else str(options.slot),
        )
        if options.slot is None:
            # Opened before the worker opens it, because the first lines show the plan on this log.
            log = undo.enter_context(worker.connect())
            if worker.broker is None:
                place = f"embedded log in {options.data} ({options.durability})"
            else:
                place = f"log at {worker.broker}, state in {options.data}"
            say(f"{app.app_id}: {place}, {worker.guarantee.value}, commits every {options.commit_interval}")
            _say_plan(app, log)
        if options.listen:
            from streamcore.log.serving import serve

            served = undo.enter_context(
                serve(options.data, listen=options.listen, durability=options.durability)
            )
            say(f"  listen   {served.address}")
        if options.http is not None:
            from streamcore.web.server import WebServer

            server = undo.enter_context(WebServer(worker, options.http, restore.stores))
            say(f"  http     {server.url}")
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            try:
                runner.run(_work(worker, signals, restore, options))
                if options.slot is not None and signals.is_stopped:
                    raise SystemExit(STOPPED)
            except KeyboardInterrupt:
                if not signals.is_stopped:
                    raise
                say("stopped before anything was processed")
            except asyncio.CancelledError as error:
                raise UserCodeError(
                    "the worker was cancelled by the application's code; cancel only tasks that it started"
                ) from error
            except (UserCodeError, SerdeError) as error:
                cause = error.__cause__
                if cause is None:
                    raise
                if options.shows_traceback:
                    traceback.print_exception(cause)
                raise type(error)(f"{error} {fact_text(at=error_location(cause))}") from cause
            except Exception as error:
                if options.shows_traceback:
                    traceback.print_exception(error)
                raise


async def _work(worker: Worker, signals: StopSignals, restore: RestoreDisplay, options: _Options) -> None:
    from streamcore.cli.worker_display import say

    await worker.open()
    restore.close()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def ask_to_stop() -> None:
        loop.call_soon_threadsafe(stopping.set)

    def ended(future: asyncio.Future[None]) -> None:
        if not future.cancelled():
            future.exception()  # ``worker.stop`` raises the error.
        stopping.set()

    signals.ask_with(ask_to_stop)
    try:
        if options.until_end:
            await _work_until_end(worker, signals, close_windows=options.close_windows)
        else:
            worker.start(logs_failure=False)
            say("running; Ctrl-C or SIGTERM commits and stops")
            asyncio.ensure_future(worker.wait()).add_done_callback(ended)
            await stopping.wait()
    finally:
        await worker.stop()
    if signals.is_stopped:
        say("stopped; what was processed is committed")


async def _work_until_end(worker: Worker, signals: StopSignals, *, close_windows: bool) -> None:
    from streamcore.cli.worker_display import ProcessingDisplay, say

    display = ProcessingDisplay(worker.tasks, worker.log)

    async def draw() -> None:
        while True:
            display.update()
            await asyncio.sleep(_REFRESH_S)

    with display:
        drawing = asyncio.ensure_future(draw()) if display.is_shown else None
        try:
            await worker.run_until_end(close_windows=close_windows, is_stopped=lambda: signals.is_stopped)
        finally:
            if drawing is not None:
                drawing.cancel()
    say(display.summary())


def _say_plan(app: App, log: ConnectedLog) -> None:
    from streamcore.cli.worker_display import plan_lines, say
    from streamcore.processing.runtime.topics import topics_read_before
    from streamcore.processing.topology.partitions import resolve_partitions

    plan = app.plan()
    existing = {name: topic.partition_count for name, topic in log.topics().items()}
    counts = resolve_partitions(plan, existing, may_grow=topics_read_before(log, app.app_id))
    for line in plan_lines(plan, counts):
        say(line)
