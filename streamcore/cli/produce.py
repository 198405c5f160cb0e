"""``streamcore produce``: append the lines of a file or of standard input as records."""

from __future__ import annotations

import codecs
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from streamcore.cli.options import (
    log_options,
    open_log,
)
from streamcore.cli.output import print_note, print_rows, progress_bar
from streamcore.cli.piped_input import open_after_input
from streamcore.cli.record_lines import Line, line_from_json, line_from_text
from streamcore.errors import StreamCoreError, UsageError, fact_text, with_facts

if TYPE_CHECKING:
    from streamcore.log.client.producer.pending import SendFuture
    from streamcore.log.client.producer.producer import Producer
    from streamcore.log.connected_log import ConnectedLog

_PROGRESS_LINES = 10_000


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(produce)


@click.command("produce")
@click.argument("topic")
@click.option("--key-separator", help="The text between key and value of a line.")
@click.option("--null", help="A value that equals this text is null: a tombstone.")
@click.option(
    "--file",
    "-f",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read this file instead of standard input.",
)
@click.option("--partition", type=click.IntRange(min=0), help="Write to this partition, not the key's.")
@click.option("--compression", default="none", help="none, gzip, snappy, lz4 or zstd.")
@log_options
@click.option("--keep-partitions", is_flag=True, help="With --json: the partition that each record names.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Read records as consume --json prints them (text with --key-separator or --null); print the "
    "result as JSON.",
)
def produce(
    topic: str,
    key_separator: str | None,
    null: str | None,
    file: Path | None,
    partition: int | None,
    compression: str,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    keep_partitions: bool,
    as_json: bool,
) -> None:
    """Append each line of standard input, or of a file, as a record of TOPIC."""
    separator = None if key_separator is None else key_separator.encode(errors="surrogateescape")
    if separator == b"":
        raise UsageError("a key separator has at least one character: give --key-separator : for example")
    is_text = separator is not None or null is not None or not as_json
    if keep_partitions and (is_text or partition is not None):
        raise UsageError("--keep-partitions is for --json, without --partition")
    null_value = None if null is None else null.encode(errors="surrogateescape")
    lines, log = _open(file, partial(open_log, data, broker, command_config))
    with log:
        if not is_text:
            is_text, lines = _is_plain_text(lines)
        if topic not in log.topics():
            raise UsageError(
                with_facts(f"create the topic first: streamcore topics create {topic}", topic=topic)
            )
        with log.producer(compression=compression) as producer:
            loader = _Loader(
                producer,
                topic,
                read=partial(line_from_text, separator=separator, null=null_value)
                if is_text
                else line_from_json,
                partition_of=lambda line: line.partition if keep_partitions else partition,
            )
            for number, text in enumerate(map(_without_end, lines), 1):
                if is_text or text.strip():
                    loader.add(number, text)
            count = loader.finish()
        if as_json:
            print_rows([{"topic": topic, "records": count}], True)
        else:
            print_note(f"produced {count:,} record{'s'[: count != 1]} to {topic}")


class _Loader:
    """Send lines, and find the line that was refused, although the log answers later."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        read: Callable[[bytes], Line],
        partition_of: Callable[[Line], int | None],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._read = read
        self._partition_of = partition_of
        self._number = 0
        self._sent = 0
        self._pending: deque[tuple[int, SendFuture]] = deque()

    def add(self, number: int, text: bytes) -> None:
        """Send a line.

        Raises:
            UsageError: this line or one before it is refused. All lines before the refused one are written.
        """
        self._number = number
        try:
            line = self._read(text)
            future = self._producer.send(
                self._topic,
                key=line.key,
                value=line.value,
                partition=self._partition_of(line),
                timestamp_ms=line.timestamp_ms,
                headers=line.headers,
            )
        except StreamCoreError as error:
            self._fail(number, error)
        self._sent += 1
        self._pending.append((number, future))
        while self._pending and self._pending[0][1].done():
            self._ensure_written(*self._pending.popleft())

    def finish(self) -> int:
        """Wait for all lines; return the number of written records."""
        self._producer.hurry()
        while self._pending:
            self._ensure_written(*self._pending.popleft())
        return self._sent

    def _ensure_written(self, number: int, future: SendFuture) -> None:
        error = future.exception()
        if error is not None:
            self._sent -= 1
            self._fail(number, error)

    def _fail(self, number: int, error: Exception) -> NoReturn:
        refused = sum(future.exception() is not None for _, future in self._pending)
        facts = fact_text(line=number, produced=self._sent - refused, read=self._number)
        raise UsageError(f"{error}; the lines before this one are produced: {facts}") from error


def _open(file: Path | None, open_folder: Callable[[], ConnectedLog]) -> tuple[Iterable[bytes], ConnectedLog]:
    """Return the lines to produce, and the log."""
    if file is not None:
        return _lines_of(file), open_folder()
    if not sys.stdin.isatty():
        return open_after_input(sys.stdin.buffer, open_folder)
    log = open_folder()
    print_note("reading lines from the terminal; end with Ctrl-D")
    return sys.stdin.buffer, log


def _is_plain_text(lines: Iterable[bytes]) -> tuple[bool, Iterable[bytes]]:
    """Whether the input of ``--json`` is text, as in version 0.1.0; return this and all lines.

    The first line that is not blank decides: a record is a JSON object.
    """
    rest = iter(lines)
    read: list[bytes] = []
    for line in rest:
        read.append(line)
        if line.strip():
            if line.lstrip().startswith((b"{", codecs.BOM_UTF8)):
                break
            print_note(
                "warning: lines of text with --json are deprecated: --json reads records as consume --json "
                "prints them, leave --json out to produce text"
            )
            return True, chain(read, rest)
    return False, chain(read, rest)


def _lines_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened, progress_bar() as progress:
        task = progress.add_task(f"reading {file.name}", total=file.stat().st_size)
        for number, line in enumerate(opened):
            yield line
            if number % _PROGRESS_LINES == 0:
                progress.update(task, completed=opened.tell())


def _without_end(line: bytes) -> bytes:
    return line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else line
