"""``streamcore produce``: lines of a file or of standard input become records."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from streamcore.cli.options import (
    DEFAULT_DATA,
    BrokerOption,
    CommandConfigOption,
    DataOption,
    JsonOption,
    open_log,
)
from streamcore.cli.output import print_note, print_rows, progress_bar
from streamcore.errors import UsageError, fact_text

_PROGRESS_LINES = 10_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("produce")(produce)


def produce(
    topic: Annotated[str, typer.Argument(help="Where to; it must exist.")],
    key_separator: Annotated[
        str | None, typer.Option("--key-separator", help="What stands between key and value of a line.")
    ] = None,
    null: Annotated[
        str | None, typer.Option("--null", help="A value of just this text is null: a tombstone.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="Read this instead of standard input.", exists=True, dir_okay=False
        ),
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", min=0, help="This one, not the key's.")
    ] = None,
    compression: Annotated[
        str, typer.Option("--compression", help="none, gzip, snappy, lz4 or zstd.")
    ] = "none",
    data: DataOption = DEFAULT_DATA,
    broker: BrokerOption = None,
    command_config: CommandConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append each line of standard input, or of a file, as a record."""
    separator = None if key_separator is None else key_separator.encode()
    if separator == b"":
        raise UsageError("a key separator has at least one character")
    null_value = None if null is None else null.encode()
    with open_log(data, broker, command_config) as log:
        if topic not in log.topics():
            raise UsageError(
                f"create the topic first: streamcore topics create {topic} {fact_text(topic=topic)}"
            )
        if file is None and sys.stdin.isatty():
            print_note("reading lines from the terminal; end with Ctrl-D")
        count = 0
        with log.producer(compression=compression) as producer:
            for count, line in enumerate(_lines(file), 1):
                key: bytes | None = None
                value: bytes | None = line
                if separator is not None:
                    key, found, value = line.partition(separator)
                    if not found:
                        facts = fact_text(line=count, separator=repr(key_separator))
                        raise UsageError(f"the line has no key; the lines before it are produced {facts}")
                producer.send(
                    topic, key=key, value=None if value == null_value else value, partition=partition
                )
            producer.flush()
        if as_json:
            print_rows([{"topic": topic, "records": count}], True)
        else:
            print_note(f"produced {count:,} record{'s'[: count != 1]} to {topic}")


def _lines(file: Path | None) -> Iterator[bytes]:
    if file is None:
        yield from _stripped(sys.stdin.buffer)
        return
    with file.open("rb") as opened, progress_bar() as progress:
        task = progress.add_task(f"reading {file.name}", total=file.stat().st_size)
        for number, line in enumerate(_stripped(opened)):
            yield line
            if number % _PROGRESS_LINES == 0:
                progress.update(task, completed=opened.tell())


def _stripped(lines: BinaryIO) -> Iterator[bytes]:
    for line in lines:
        yield line.removesuffix(b"\n").removesuffix(b"\r")
