"""``streamcore log``: show and check the files of a log, also while a process has it open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamcore.cli.options import broker_option, data_option, json_option, refuse_broker
from streamcore.cli.output import bytes_json, bytes_text, print_json, print_line, print_note, print_rows
from streamcore.durations import time_text
from streamcore.errors import UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.log.tools.dump import DumpedBatch, DumpedRecord


@click.group("log")
def log() -> None:
    """The log's files: dump, verify. Read only."""


what_argument = click.argument("what", metavar="[WHAT]", required=False)


def register(group: click.Group) -> None:
    """Add the group of commands."""
    group.add_command(log)


@log.command("dump")
@what_argument
@click.option("--batches", "only_batches", is_flag=True, help="Leave the records out.")
@data_option
@broker_option
@json_option
def dump_log(what: str | None, only_batches: bool, data: Path, broker: str | None, as_json: bool) -> None:
    """Print the stored record batches, as they are on disk.

    WHAT is a topic, a partition such as orders-0, or a path; without it, the whole log.
    """
    from streamcore.log.tools.dump import dump

    refuse_broker(broker)
    for path in _paths(data, what):
        for batch in dump(path, with_records=not only_batches):
            if as_json:
                print_json(_batch_row(batch, with_records=not only_batches))
                continue
            print_line(_batch_line(batch))
            for record in batch.records:
                print_line(_record_line(record))


@log.command("verify")
@what_argument
@data_option
@broker_option
@json_option
def verify_log(what: str | None, data: Path, broker: str | None, as_json: bool) -> None:
    """Check every batch and index; exit with 1 if stored bytes have changed.

    WHAT is a topic, a partition such as orders-0, or a path; without it, the whole log.
    """
    from streamcore.log.tools.verification import verify

    refuse_broker(broker)
    paths = _paths(data, what)
    problems = [problem for path in paths for problem in verify(path)]
    print_rows(
        (
            {
                "file": str(problem.file),
                "position": problem.position,
                "problem": problem.text,
                "mended_at_start": problem.is_mended_at_start,
            }
            for problem in problems
        ),
        as_json,
        empty="sound: every batch and every index entry is as it should be",
    )
    bad_count = sum(not problem.is_mended_at_start for problem in problems)
    if bad_count:
        print_note(f"{bad_count} problem{'s'[: bad_count != 1]} that no restart mends")
        raise click.exceptions.Exit(1)


def _paths(data: Path, what: str | None) -> list[Path]:
    """Return the folders or the file that the argument names.

    Raises:
        UsageError: nothing of this name exists.
    """
    root = data / "log"
    if what is None:
        if root.is_dir():
            return [root]
        raise UsageError(
            with_facts("no log in this folder: name another with --data or STREAMCORE_DATA", data=data)
        )
    if (root / what).is_dir():
        return [root / what]
    partitions = [path for path in root.glob("*-*") if path.is_dir() and path.name.rpartition("-")[0] == what]
    if partitions:
        return sorted(partitions, key=lambda path: int(path.name.rpartition("-")[2]))
    if Path(what).exists():
        return [Path(what)]
    raise UsageError(with_facts("no topic, partition or path of this name", name=what, data=data))


def _batch_row(batch: DumpedBatch, *, with_records: bool) -> dict[str, object]:
    header = batch.header
    row: dict[str, object] = {
        "file": str(batch.file),
        "position": batch.position,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "record_count": header.record_count,
        "size_bytes": header.size_bytes,
        "compression": batch.compression,
        "max_timestamp_ms": header.max_timestamp_ms,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "is_transactional": header.is_transactional,
        "is_control": header.is_control,
        "marker": None if batch.marker is None else "commit" if batch.marker.is_commit else "abort",
        "problem": batch.problem,
    }
    if with_records:
        row["records"] = [
            {
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "key": bytes_json(record.key),
                "value": bytes_json(record.value),
                "headers": [[name, bytes_json(value)] for name, value in record.headers],
            }
            for record in batch.records
        ]
    return row


def _batch_line(batch: DumpedBatch) -> str:
    header = batch.header
    parts = [
        f"{batch.file.parent.name}/{batch.file.name} @{batch.position}",
        f"offsets {header.base_offset}..{header.last_offset}",
        f"records {header.record_count}",
        f"{header.size_bytes} B",
    ]
    if batch.compression != "none":
        parts.append(batch.compression)
    if header.producer_id >= 0:
        parts.append(f"producer {header.producer_id}/{header.producer_epoch} sequence {header.base_sequence}")
    if batch.marker is not None:
        parts.append("commit marker" if batch.marker.is_commit else "abort marker")
    elif header.is_transactional:
        parts.append("transactional")
    if batch.problem is not None:
        parts.append(f"PROBLEM {batch.problem}")
    return "  ".join(parts)


def _record_line(record: DumpedRecord) -> str:
    parts = [
        f"    @{record.offset}",
        time_text(record.timestamp_ms),
        bytes_text(record.key),
        bytes_text(record.value),
    ]
    parts.extend(f"{name}={bytes_text(value)}" for name, value in record.headers)
    return "  ".join(parts)
