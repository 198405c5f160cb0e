"""``streamcore consume``: print the records of a topic, up to its end or until Ctrl-C."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamcore.cli.last_records import last_records
from streamcore.cli.options import (
    json_option,
    log_options,
    open_log,
)
from streamcore.cli.output import print_json, print_line
from streamcore.cli.record_lines import record_line, record_row
from streamcore.durations import time_ms
from streamcore.errors import UsageError, with_facts
from streamcore.model import Isolation, Offset, TopicPartition

if TYPE_CHECKING:
    from streamcore.log.client.consumer.consumer import Consumer
    from streamcore.log.client.consumer.fetch_state import BytesRecord, Start
    from streamcore.log.connected_log import ConnectedLog


_POLL_MAX = 10_000
_DIGITS_MAX = 100
_OFFSET_MAX = 2**63 - 1


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(consume)


@click.command("consume")
@click.argument("topic")
@click.option(
    "--from",
    "start",
    help="earliest, latest, an offset, or a time such as 2013-01-01T05:00Z.",
    show_default="earliest",
)
@click.option("--last", type=click.IntRange(min=1), help="Begin with this many of the newest records.")
@click.option("--max", "records_max", type=click.IntRange(min=1), help="Stop after this many records.")
@click.option("--follow", "-f", is_flag=True, help="Wait for more records at the end, until Ctrl-C.")
@click.option("--partition", type=click.IntRange(min=0), help="Only this one.")
@click.option("--group", help="Begin at this group's offsets; commit what is printed.")
@click.option("--uncommitted", is_flag=True, help="Records of open and aborted transactions too.")
@log_options
@json_option
def consume(
    topic: str,
    start: str | None,
    last: int | None,
    records_max: int | None,
    follow: bool,
    partition: int | None,
    group: str | None,
    uncommitted: bool,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Print the records that are in TOPIC, then stop."""
    if last is not None and (start is not None or group is not None):
        raise UsageError(
            "--last says where to begin: leave out " + ("--from" if start is not None else "--group")
        )
    isolation = Isolation.READ_UNCOMMITTED if uncommitted else Isolation.READ_COMMITTED
    begin = _start(start or "earliest")
    with (
        open_log(data, broker, command_config) as log,
        _consumer(log, topic, partition, group, begin, isolation) as consumer,
    ):
        left = records_max
        if last is not None:
            newest = last_records(consumer, log, isolation, last)[:left]
            _print(newest, as_json)
            if not follow:
                return
            left = None if left is None else left - len(newest)
        ends: dict[TopicPartition, Offset] = {}
        while left is None or left > 0:
            if not follow and _has_reached(consumer, log, isolation, ends):
                break
            records = consumer.poll("200ms", records_max=_POLL_MAX if left is None else min(left, _POLL_MAX))
            _print(records, as_json)
            if group is not None and records:
                consumer.commit()
            if left is not None:
                left -= len(records)


def _print(records: Sequence[BytesRecord], as_json: bool) -> None:
    for record in records:
        if as_json:
            print_json(record_row(record))
        else:
            print_line(record_line(record))
    if records:
        # Flush: a pipe's reader gets the records at once, and before the group's offsets are committed.
        sys.stdout.flush()


def _has_reached(
    consumer: Consumer, log: ConnectedLog, isolation: Isolation, ends: dict[TopicPartition, Offset]
) -> bool:
    """Whether each partition is read up to the end that it had when it was first seen.

    Other programs may write meanwhile; the command still ends.
    """
    assigned = consumer.assignment()
    new = [partition for partition in assigned if partition not in ends]
    if new:
        ends.update(
            (partition, marks.visible_end(isolation)) for partition, marks in log.offsets(new).items()
        )
    return bool(assigned) and all(consumer.position(partition) >= ends[partition] for partition in assigned)


def _consumer(
    log: ConnectedLog,
    topic: str,
    partition: int | None,
    group: str | None,
    start: Start,
    isolation: Isolation,
) -> Consumer:
    if partition is not None:
        return log.consumer(assign=[(topic, partition)], group=group, start=start, isolation=isolation)
    return log.consumer(topic, group=group, start=start, isolation=isolation)


def _start(text: str) -> Start:
    if text in ("earliest", "latest"):
        return text
    if re.fullmatch("[0-9]+", text):
        offset = int(text) if len(text) <= _DIGITS_MAX else _OFFSET_MAX + 1
        if offset > _OFFSET_MAX:
            raise UsageError(with_facts("an offset has 64 bits at most", offset=text[:50]))
        return offset
    if re.fullmatch("-[0-9]+", text):
        raise UsageError(
            with_facts("an offset is not negative; the newest records are --last N", **{"from": text[:50]})
        )
    time_ms(text)
    return text
