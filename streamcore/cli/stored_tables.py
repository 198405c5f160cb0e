"""Read the tables in a data folder that no process has open, without the application's code.

Stores describe themselves. Types that only the application knows are returned as plain data: a class as its
fields, a user's own aggregation as its accumulator. The folder is not changed; its lock is held while it is
read.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from streamcore.durations import time_ms
from streamcore.errors import DirectoryInUseError, StorageError, UsageError, with_facts
from streamcore.log.node.directory_lock import DirectoryLock
from streamcore.model import TopicPartition, Windowed
from streamcore.processing.topology.stored_results import stored_result
from streamcore.serde import BYTES, SERDES_BY_NAME, UNTYPED
from streamcore.state.changelog import checkpoint
from streamcore.state.descriptions import StoreDescription, store_description
from streamcore.state.directory import StateDirectory
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec, key_codec_by_name
from streamcore.state.position import Position
from streamcore.state.queries import Answer, StoreView
from streamcore.state.session_view import store_view
from streamcore.state.text_forms import answer_row, parse_key, parse_prefix, position_json, table_json

GLOBAL_TASK = "global"

Row = dict[str, Any]
Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a table that one task has."""

    app: str
    table: str
    is_global: bool
    description: StoreDescription
    engine: KeyValueEngine

    @property
    def view(self) -> StoreView[Any, Any]:
        return store_view(self.engine, self.description, decoder_of(self.description))

    def position(self) -> Position:
        """Return how far the task has processed its inputs; for a global table, its checkpoint."""
        if not self.is_global:
            return self.view.position()
        reached = checkpoint(self.engine, self.description.name)
        if reached is None or self.description.follows is None:
            return Position()
        partition = int(self.description.name.rpartition("@")[2])
        return Position({TopicPartition(self.description.follows, partition): reached.offset})


class StoredTables:
    """The tables in a folder, while ``open_stored`` holds its lock."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    def tables(self) -> list[Row]:
        """Return one row per table."""
        rows = []
        for app, name in sorted({(part.app, part.table) for part in self._parts}):
            parts = [part for part in self._parts if (part.app, part.table) == (app, name)]
            rows.append(
                {
                    "app": app,
                    "table": name,
                    **table_json(parts[0].description, is_global=parts[0].is_global),
                    "tasks": len(parts),
                    "position": position_json(_position(parts)),
                }
            )
        return rows

    def get(self, name: str, key: str, at: str | None) -> list[Row]:
        """Return the value of a key; without ``at``, all windows of a key of a windowed table."""
        parts = self._parts_of(name)
        codec = _codec(parts)
        wanted = parse_key(codec, key)
        position = _position(parts)
        answers: list[Answer[Any]] = []
        for part in parts:
            if part.description.kind != "kv" and at is None:
                answers += part.view.windows(wanted)
                continue
            found = part.view.get(wanted, at=None if at is None else time_ms(at))
            answers += [] if found is None else [found]
        answers.sort(key=lambda answer: answer.key.start_ms if isinstance(answer.key, Windowed) else 0)
        return [_row(answer, codec, wanted, position) for answer in answers]

    def scan(
        self, name: str, start: str | None, end: str | None, limit: int | None, prefix: str | None = None
    ) -> Iterator[Row]:
        """Return the rows of the keys in ``[start, end)``, or with a prefix, in order.

        Of a windowed table ``start`` and ``end`` are times, between which its windows start.
        """
        parts = self._parts_of(name)
        codec = _codec(parts)
        position = _position(parts)
        if prefix is not None:
            wanted = parse_prefix(codec, prefix)
            found = [part.view.prefix(wanted) for part in parts]
        elif parts[0].description.kind != "kv":
            since, until = (None if time is None else time_ms(time) for time in (start, end))
            found = [part.view.windows_between(since, until) for part in parts]
        else:
            low, high = (None if key is None else parse_key(codec, key) for key in (start, end))
            found = [part.view.range(low, high) for part in parts]

        def order(answer: Answer[Any]) -> tuple[int, bytes]:
            if isinstance(answer.key, Windowed):
                return answer.key.start_ms, codec.encode(answer.key.key)
            return 0, codec.encode(answer.key)

        for answer in islice(heapq.merge(*found, key=order), limit):
            yield _row(answer, codec, None, position)

    def _parts_of(self, name: str) -> list[_Part]:
        parts = [part for part in self._parts if part.table == name]
        apps = sorted({part.app for part in parts})
        if len(apps) > 1:
            raise UsageError(
                with_facts(
                    "several applications in this folder have such a table, choose one with --app",
                    table=name,
                    apps=",".join(apps),
                )
            )
        if not parts:
            known = sorted({part.table for part in self._parts})
            raise UsageError(
                with_facts(
                    "there is no such table; tables appear with their first value",
                    table=name,
                    tables=",".join(known) or "none",
                )
            )
        return parts


@contextmanager
def open_stored(data: Path, app: str | None) -> Iterator[StoredTables]:
    """Lock a folder while its tables are read.

    Raises:
        DirectoryInUseError: a process has it open; the message names its pid.
        UsageError: the folder has no state, or none of this application.
    """
    directory = StateDirectory(data / "state")
    if not directory.root.is_dir():
        raise UsageError(
            with_facts(
                "no tables in this folder: run the application first, or name another with --data or "
                "STREAMCORE_DATA",
                data=data,
            )
        )
    with contextlib.ExitStack() as undo:
        try:
            undo.enter_context(DirectoryLock(data))
        except DirectoryInUseError as error:
            raise DirectoryInUseError(
                with_facts(
                    "a process runs this folder: ask it with --http HOST:PORT, which a worker answers if "
                    "it was started with the same, or stop it",
                    data=data,
                    pid=_pid_in(error),
                )
            ) from error
        except StorageError:
            pass  # A folder that cannot be written cannot be locked; no process has it open for writing.
        folders = directory.folders()
        apps = sorted({folder.app for folder in folders})
        if app is not None and app not in apps:
            raise UsageError(
                with_facts(
                    "no state of this application in the folder",
                    app=app,
                    apps=",".join(apps) or "none",
                    data=data,
                )
            )
        parts: list[_Part] = []
        for folder in folders:
            if app in (None, folder.app):
                engine = directory.open(folder.app, folder.task, read_only=True)
                undo.callback(engine.close)
                parts += _parts_in(folder.app, folder.task, engine)
        yield StoredTables(parts)


def decoder_of(description: StoreDescription) -> Decode:
    """Return the function that decodes a store's values without the application."""
    if not description.aggregations:
        return SERDES_BY_NAME.get(description.value_codec, BYTES).decode
    names = [name for name, _ in description.aggregations]
    results = [stored_result(kind) for _, kind in description.aggregations]

    def decode(data: bytes) -> Any:
        found = [result(state) for result, state in zip(results, UNTYPED.decode(data), strict=True)]
        return found[0] if names == [""] else dict(zip(names, found, strict=True))

    return decode


def _pid_in(error: DirectoryInUseError) -> str:
    return str(error).rpartition("pid=")[2]


def _parts_in(app: str, task: str, engine: KeyValueEngine) -> Iterator[_Part]:
    for store in engine.stores():
        description = store_description(engine, store)
        if description is not None:
            is_global = task == GLOBAL_TASK and "@" in store
            yield _Part(app, store.rpartition("@")[0] if is_global else store, is_global, description, engine)


def _codec(parts: list[_Part]) -> KeyCodec[Any]:
    return key_codec_by_name(parts[0].description.key_codec)


def _position(parts: list[_Part]) -> Position:
    found = Position()
    for part in parts:
        found = found.merge(part.position())
    return found


def _row(answer: Answer[Any], codec: KeyCodec[Any], key: Any, position: Position) -> Row:
    row = answer_row(answer, codec, key, with_position=False)
    return {**row, "position": position_json(position)}
