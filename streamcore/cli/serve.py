"""``streamcore serve``: serves the log of a folder to Kafka's clients until it is stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamcore.cli.options import DEFAULT_DATA, DataOption
from streamcore.errors import UsageError, fact_text

DEFAULT_LISTEN = "127.0.0.1:9092"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


_PROMISES = {
    "durable": "durable: what is acknowledged is on disk",
    "relaxed": "relaxed: a power cut may take the last second",
}


def serve(
    data: DataOption = DEFAULT_DATA,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen", metavar="HOST:PORT", help="Where to listen, repeatable.", show_default=DEFAULT_LISTEN
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", metavar="HOST:PORT", help="What clients are told, where it differs."),
    ] = None,
    durability: Annotated[
        str,
        typer.Option(
            "--durability",
            metavar="durable|relaxed",
            help="relaxed does not wait for the disk: a power cut may take the last second.",
        ),
    ] = "durable",
) -> None:
    """Serve a log to Kafka's clients until SIGTERM or Ctrl-C."""
    if durability not in ("durable", "relaxed"):
        raise UsageError(f"the durability is 'durable' or 'relaxed': {fact_text(given=repr(durability))}")
    _serve(data, listen or [DEFAULT_LISTEN], advertise, "relaxed" if durability == "relaxed" else "durable")


def _serve(
    data: Path, listen: list[str], advertise: str | None, durability: Literal["durable", "relaxed"]
) -> None:
    from streamcore.cli.stop_signals import StopSignals
    from streamcore.cli.worker_display import say
    from streamcore.log.serving import serve as serve_log

    stopping = threading.Event()
    with (
        StopSignals("answering what was asked, then stopping") as signals,
        serve_log(data, listen=listen, advertise=advertise, durability=durability) as served,
    ):
        say(f"serving {data} at {served.address}, {_PROMISES[durability]}")
        signals.ask_with(stopping.set)
        stopping.wait()
    say("stopped; everything acknowledged is on disk")
