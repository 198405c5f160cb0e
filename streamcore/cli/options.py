"""Options that every command shares, and the log that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamcore.errors import UsageError, fact_text

if TYPE_CHECKING:
    from streamcore.log.connect import ConnectedLog

DEFAULT_DATA = Path("streamcore-data")

DataOption = Annotated[
    Path,
    typer.Option(
        "--data", envvar="STREAMCORE_DATA", help="The data folder of the embedded log.", show_default=True
    ),
]
BrokerOption = Annotated[
    str | None,
    typer.Option("--broker", envvar="STREAMCORE_BROKER", help="A broker's address; not in this release."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


def refuse_broker(broker: str | None) -> None:
    """Say plainly that this release has no broker client.

    Raises:
        UsageError: if a broker was named.
    """
    if broker:
        raise UsageError(
            "this release reads the embedded log only: leave --broker (STREAMCORE_BROKER) out and name the "
            f"folder with --data {fact_text(broker=broker)}"
        )


def open_log(data: Path, broker: str | None, *, create: bool = False) -> ConnectedLog:
    """Open the log in a data folder.

    Args:
        data: the folder.
        broker: refused if given.
        create: begin a new log if the folder holds none; commands that only look must not.

    Raises:
        UsageError: no log there, or another process holds it.
    """
    from streamcore.log.connect import connect

    refuse_broker(broker)
    if not create and not (data / "log").is_dir():
        raise UsageError(
            f"no log in this folder: name another with --data or STREAMCORE_DATA {fact_text(data=data)}"
        )
    return connect(data)
