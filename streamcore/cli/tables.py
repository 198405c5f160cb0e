"""``streamcore tables``: list and read the tables of a folder that no process has open, or of a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import click

from streamcore.cli.options import NegativeNumbers, data_option, json_option
from streamcore.cli.output import print_note, print_rows
from streamcore.durations import duration_text
from streamcore.errors import UsageError, with_facts


@click.group("tables")
def tables() -> None:
    """Tables: list, get a key, scan."""


Row = dict[str, Any]

_FOR_PROGRAMS = ("partition", "position")
"""What ``--json`` prints of each row, and a table for people does not."""

name_argument = click.argument("name")
http_option = click.option(
    "--http", metavar="HOST:PORT", help="Ask the worker that answers here; of several, any."
)
workers_broker_option = click.option(
    "--broker",
    envvar="STREAMCORE_BROKER",
    metavar="HOST:PORT",
    help="No effect: tables lie in the worker's folder, whatever log it works on.",
    show_envvar=True,
    expose_value=False,
)
app_option = click.option("--app", help="The application's id, where a folder has several.")


class TableReader(Protocol):
    """Reads tables: ``StoredTables`` from a folder, ``RemoteTables`` from a worker."""

    def tables(self) -> list[Row]:
        """Return one row per table."""

    def get(self, name: str, key: str, at: str | None) -> list[Row]:
        """Return the rows of a key."""

    def scan(
        self, name: str, start: str | None, end: str | None, limit: int | None, prefix: str | None = None
    ) -> Iterator[Row]:
        """Return the rows of a range, or of the keys with a prefix."""


def register(group: click.Group) -> None:
    """Add the group."""
    group.add_command(tables)


@tables.command("list")
@data_option
@http_option
@app_option
@workers_broker_option
@json_option
def list_tables(data: Path, http: str | None, app: str | None, as_json: bool) -> None:
    """List tables, with the position in their inputs that they reflect."""
    with _reader(data, http, app) as reader:
        rows = reader.tables()
        print_rows(rows if as_json else map(_listed, rows), as_json, empty="no tables")


@tables.command("get", cls=NegativeNumbers)
@name_argument
@click.argument("key")
@click.option("--at", help="The window that holds this time; without it, all windows.")
@data_option
@http_option
@app_option
@workers_broker_option
@json_option
def get_key(
    name: str,
    key: str,
    at: str | None,
    data: Path,
    http: str | None,
    app: str | None,
    as_json: bool,
) -> None:
    """Print the value of KEY in the table NAME; exit with 1 if it has none.

    KEY is text; fields of a class are a JSON array.
    """
    with _reader(data, http, app) as reader:
        rows = reader.get(name, key, at)
    if not rows:
        raise UsageError(
            with_facts("the key has no value", table=name, key=key, **({"at": at} if at else {}))
        )
    _print(rows, as_json)


@tables.command("scan")
@name_argument
@click.option("--from", "start", help="The first key; of a windowed table, the first time.")
@click.option("--to", "end", help="Where to stop, exclusive.")
@click.option("--prefix", help="Only keys with this prefix; for str and bytes keys.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many rows.")
@data_option
@http_option
@app_option
@workers_broker_option
@json_option
def scan_table(
    name: str,
    start: str | None,
    end: str | None,
    prefix: str | None,
    limit: int | None,
    data: Path,
    http: str | None,
    app: str | None,
    as_json: bool,
) -> None:
    """Print the rows of the table NAME in the order of their keys; windows by their start, then by key."""
    if prefix is not None and (start is not None or end is not None):
        raise UsageError("give --prefix, or --from and --to")
    with _reader(data, http, app) as reader:
        _print(reader.scan(name, start, end, limit, prefix), as_json)


def _reader(data: Path, http: str | None, app: str | None) -> AbstractContextManager[TableReader]:
    if http is not None:
        from streamcore.cli.remote_tables import RemoteTables

        if app is not None:
            raise UsageError(with_facts("a worker runs one application: leave --app out", http=http))
        return nullcontext(RemoteTables(http))
    from streamcore.cli.stored_tables import open_stored

    return open_stored(data, app)


def _print(rows: Iterable[Row], as_json: bool) -> None:
    if as_json:
        print_rows(rows, True)
        return
    collected = list(rows)
    print_rows(_columns(collected), False, empty="no rows")
    if collected:
        print_note(f"as of {_position_text(collected[0]['position'])}")


def _columns(rows: list[Row]) -> list[Row]:
    """Return rows for people: the fields of values as columns, if all values have the same fields."""
    first = rows[0]["value"] if rows else None
    fields = list(first) if isinstance(first, dict) else []
    spread = bool(fields) and all(
        isinstance(row["value"], dict) and list(row["value"]) == fields for row in rows
    )
    if not spread or not {"key", "start_ms", "end_ms"}.isdisjoint(fields):
        return [{name: item for name, item in row.items() if name not in _FOR_PROGRAMS} for row in rows]
    return [
        {
            **{name: item for name, item in row.items() if name != "value" and name not in _FOR_PROGRAMS},
            **row["value"],
        }
        for row in rows
    ]


def _listed(row: Row) -> Row:
    size_ms, advance_ms = row["window_size_ms"], row["window_advance_ms"]
    windows = row.get("window_calendar")
    if row.get("session_gap_ms") is not None:
        windows = f"sessions, gap {duration_text(row['session_gap_ms'])}"
    if row.get("sliding_size_ms") is not None:
        windows = f"sliding, {duration_text(row['sliding_size_ms'])}"
    if size_ms is not None:
        windows = duration_text(size_ms)
    if size_ms is not None and advance_ms not in (None, size_ms):
        windows = f"{windows} every {duration_text(advance_ms)}"
    return {
        "app": row["app"],
        "table": row["table"],
        "kind": row["kind"],
        "key type": row["key_type"],
        "windows": windows,
        "as of": _position_text(row["position"]),
    }


def _position_text(position: dict[str, dict[str, int]]) -> str:
    return " ".join(
        f"{topic}-{partition}@{offset}"
        for topic, offsets in position.items()
        for partition, offset in offsets.items()
    )
