"""A ``KeyValueEngine`` on RocksDB: one database per task, one column family per store.

Database := column family ``default``      data of the task as a whole
          | column family ``store/<name>`` one per store: key bytes -> value bytes

In ``default``::

    format          -> "1"                           checked at every open
    position/<name> -> int64 big-endian              stamped by ``apply``
    note/<name>     -> bytes

Invariants:

* One ``apply`` is one RocksDB write batch: data, positions and notes are written together or not at all.
* The write-ahead log is on and not synced per apply. A killed process loses nothing; a power cut loses
  a suffix of the applies. RocksDB syncs the log before it flushes one of several column families, so
  even then no store is ahead of its position. The changelog replays the lost suffix.
* ``close`` flushes, so a clean restart has nothing to replay, and drops every handle: RocksDB keeps its
  folder locked while one iterator, handle or column family object exists in this process.
"""

from __future__ import annotations

import struct
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from rocksdict import (
    AccessType,
    ColumnFamily,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from streamcore.errors import (
    ClosedError,
    CorruptStoreError,
    StreamCoreError,
    UnsupportedVersionError,
    UsageError,
    with_facts,
)
from streamcore.state.engine import StoreWrites
from streamcore.state.rocks_errors import corrupt_text, error_at_open, error_while_open
from streamcore.state.rocks_settings import RocksSettings, rocks_options

FORMAT_VERSION = 1

_FORMAT_KEY = b"format"
_POSITION_PREFIX = b"position/"
_NOTE_PREFIX = b"note/"
_STORE_PREFIX = "store/"
_POSITION = struct.Struct(">q")


class RocksEngine:
    """The state of one task in its folder; the module's docstring has the layout."""

    def __init__(self, directory: Path, database: Rdict, options: Options, stores: Sequence[str]) -> None:
        """Only ``open`` calls it."""
        self._directory = directory
        self._options = options
        self._database: Rdict | None = database
        self._stores: dict[str, Rdict] = {}
        self._handles: dict[str, ColumnFamily] = {}
        self._scans: weakref.WeakSet[_Scan] = weakref.WeakSet()
        self._scans_lock = threading.Lock()
        self._is_read_only = False
        for name in stores:
            self._adopt_store(database, name)

    @classmethod
    def open(
        cls, directory: Path, *, settings: RocksSettings | None = None, read_only: bool = False
    ) -> RocksEngine:
        """Open the database in ``directory``, or create it there.

        With ``read_only`` nothing is created, locked or changed; the engine then shows the data that was
        applied when it was opened.

        Raises:
            DirectoryInUseError: another engine, in this process or another, has it open for writing.
            UnsupportedVersionError: a newer version of this program wrote it.
            CorruptStoreError: the files are damaged; the state can be restored from its changelogs.
            StorageError: the disk is full, or the folder cannot be written.
        """
        options = rocks_options(settings or RocksSettings())
        exists = (directory / "CURRENT").exists()
        if read_only and not exists:
            raise UsageError(with_facts("there is no state in this folder", folder=directory))
        if not exists and any(directory.glob("*.sst")):
            raise CorruptStoreError(corrupt_text(directory, "the file CURRENT is missing"))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            names = Rdict.list_cf(str(directory), options) if exists else []
            database = Rdict(
                str(directory),
                options,
                dict.fromkeys(names, options) or None,
                AccessType.read_only(error_if_log_file_exist=False) if read_only else AccessType.read_write(),
            )
        except Exception as error:  # rocksdict has one exception class for everything
            raise error_at_open(directory, error) from error
        stores = [name.removeprefix(_STORE_PREFIX) for name in names if name.startswith(_STORE_PREFIX)]
        engine = cls(directory, database, options, stores)
        engine._is_read_only = read_only
        del database
        try:
            engine._check_format(is_new=not exists)
        except StreamCoreError:
            engine._release()
            raise
        return engine

    def get(self, store: str, key: bytes) -> bytes | None:
        """Return the value of a key, or ``None``."""
        try:
            found = self._stores.get(store)
            if found is not None:
                value: bytes | None = found.get(key)
                return value
        except Exception as error:
            raise self._error(error) from error
        self._ensure_open()
        return None

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in their order."""
        try:
            found = self._stores.get(store)
            if found is not None:
                # One call per key: rocksdict's own list form costs nearly twice as much.
                get = found.get
                return [get(key) for key in keys]
        except Exception as error:
            raise self._error(error) from error
        self._ensure_open()
        return [None] * len(keys)

    def scan(
        self, store: str, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Return the pairs with ``start <= key < end``, as of this call."""
        found = self._stores.get(store)
        self._ensure_open()
        if found is None or (start is not None and end is not None and start >= end):
            return iter(())
        # The lower bound is a seek forwards and a check backwards: rocksdict's own setter for a
        # lower bound (0.3.29) sets the upper one.
        bounds = ReadOptions()
        if end is not None:
            bounds.set_iterate_upper_bound(end)
        try:
            pairs: Any = found.items(backwards=reverse, from_key=None if reverse else start, read_opt=bounds)
        except Exception as error:
            raise self._error(error) from error
        if reverse and start is not None:
            pairs = takewhile(lambda pair: start <= pair[0], pairs)
        scan = _Scan(self, pairs, bounds)
        with self._scans_lock:
            if self._database is None:  # Closed by its owner since: no iterator may keep the folder locked.
                scan.end()
            self._scans.add(scan)
        return scan

    def apply(
        self,
        writes: Sequence[StoreWrites],
        positions: Mapping[str, int] | None = None,
        notes: Mapping[str, bytes] | None = None,
    ) -> None:
        """Apply writes, positions and notes in one write batch."""
        database = self._writable()
        try:
            self._write(database, writes, positions or {}, notes or {})
        except Exception as error:  # noqa: BLE001 - the linter does not see that it is raised
            # Without the frames below this one: they hold column family handles, and a caller that keeps
            # the error would keep the folder locked.
            raise self._error(error) from error.with_traceback(None)

    def position(self, name: str) -> int | None:
        """Return the number that ``apply`` last stamped under this name."""
        stamped = self._task_value(_POSITION_PREFIX + name.encode())
        return None if stamped is None else int(_POSITION.unpack(stamped)[0])

    def note(self, name: str) -> bytes | None:
        """Return the bytes that ``apply`` last wrote under this name."""
        return self._task_value(_NOTE_PREFIX + name.encode())

    def stores(self) -> list[str]:
        """Return the names of the existing stores, sorted."""
        self._ensure_open()
        return sorted(self._stores)

    def drop_store(self, store: str) -> None:
        """Delete a store with all its data; positions and notes stay."""
        database = self._writable()
        if self._stores.pop(store, None) is None:
            return
        del self._handles[store]
        try:
            database.drop_column_family(_STORE_PREFIX + store)
        except Exception as error:
            raise self._error(error) from error

    def flush(self) -> None:
        """Make everything applied so far survive a power cut."""
        database = self._writable()
        try:
            database.flush_wal(True)
        except Exception as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Flush, release the folder, end open scans. A second call does nothing.

        Raises:
            StorageError: the flush failed. The folder is released anyway, and the changelog replays the lost
                writes.
        """
        if self._database is None:
            return
        failure = None
        try:
            if not self._is_read_only:
                for family in (*self._stores.values(), self._database):
                    family.flush(True)
        except Exception as error:  # noqa: BLE001 - told below, once the folder is given back
            failure = error
        try:
            self._release()
        except Exception as error:  # noqa: BLE001
            failure = failure or error
        if failure is not None:
            raise error_while_open(self._directory, failure) from failure

    def _adopt_store(self, database: Rdict, store: str) -> None:
        self._handles[store] = database.get_column_family_handle(_STORE_PREFIX + store)
        self._stores[store] = database.get_column_family(_STORE_PREFIX + store)

    def _write(
        self,
        database: Rdict,
        writes: Sequence[StoreWrites],
        positions: Mapping[str, int],
        notes: Mapping[str, bytes],
    ) -> None:
        batch = WriteBatch(raw_mode=True)
        for store_writes in writes:
            self._fill(batch, store_writes)
        batch.set_default_column_family(None)
        for name, position in positions.items():
            batch.put(_POSITION_PREFIX + name.encode(), _POSITION.pack(position))
        for name, note in notes.items():
            batch.put(_NOTE_PREFIX + name.encode(), note)
        database.write(batch)

    def _fill(self, batch: WriteBatch, writes: StoreWrites) -> None:
        if writes.store not in self._stores:
            database = self._writable()
            database.create_column_family(_STORE_PREFIX + writes.store, self._options)
            self._adopt_store(database, writes.store)
        handle = self._handles[writes.store]
        for start, end in writes.deleted_ranges:
            if start < end:
                batch.delete_range(start, end, handle)
        batch.set_default_column_family(handle)
        put, delete = batch.put, batch.delete
        if None not in writes.values:
            # Without a step of the interpreter for each key.
            deque(map(put, writes.keys, writes.values), maxlen=0)
            return
        for key, value in zip(writes.keys, writes.values, strict=True):
            if value is None:
                delete(key)
            else:
                put(key, value)

    def _task_value(self, key: bytes) -> bytes | None:
        database = self._ensure_open()
        try:
            value: bytes | None = database.get(key)
        except Exception as error:
            raise self._error(error) from error
        return value

    def _check_format(self, *, is_new: bool) -> None:
        if is_new:
            batch = WriteBatch(raw_mode=True)
            batch.put(_FORMAT_KEY, str(FORMAT_VERSION).encode())
            try:
                self._writable().write(batch)
            except Exception as error:
                raise self._error(error) from error
            return
        written = self._task_value(_FORMAT_KEY)
        if written is None or not written.isdigit():
            # A process killed between creating the database and this write leaves it empty.
            if written is None and not self._stores and not self._is_read_only:
                self._check_format(is_new=True)
                return
            raise CorruptStoreError(corrupt_text(self._directory, f"format version {written!r}"))
        if int(written) > FORMAT_VERSION:
            raise UnsupportedVersionError(
                with_facts(
                    "this state was written by a newer version of streamcore: update this program, or delete"
                    " the folder to restore the state from its changelogs",
                    folder=self._directory,
                    format=int(written),
                    readable=FORMAT_VERSION,
                )
            )

    def _ensure_open(self) -> Rdict:
        if self._database is None:
            raise ClosedError("the state of this task was closed before the call")
        return self._database

    def _writable(self) -> Rdict:
        if self._is_read_only:
            raise UsageError(with_facts("this state was opened for reading only", folder=self._directory))
        return self._ensure_open()

    def _release(self) -> None:
        """Drop every object that keeps the database open."""
        families = [*self._stores.values(), self._database]
        self._database = None
        self._stores, self._handles = {}, {}
        with self._scans_lock:
            for scan in list(self._scans):
                scan.end()
        failure = None
        for family in families:
            try:
                if family is not None:
                    family.close()
            except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
                failure = error.with_traceback(None)
        if failure is not None:
            raise failure

    def _error(self, error: Exception) -> StreamCoreError:
        if self._database is None and not isinstance(error, StreamCoreError):
            return ClosedError("the state of this task was closed during the call")
        return error_while_open(self._directory, error)


class _Scan:
    """An iterator of RocksDB that ``close`` can end, so that the folder is released."""

    __slots__ = ("__weakref__", "_bounds", "_engine", "_pairs")

    def __init__(
        self, engine: RocksEngine, pairs: Iterator[tuple[bytes, bytes]], bounds: ReadOptions
    ) -> None:
        # RocksDB reads the upper bound from the options while the iterator exists.
        self._bounds = bounds
        self._engine = engine
        self._pairs: Iterator[tuple[bytes, bytes]] | None = pairs

    def __iter__(self) -> _Scan:
        return self

    def __next__(self) -> tuple[bytes, bytes]:
        pairs = self._pairs
        if pairs is None:
            raise ClosedError("the state of this task was closed during a scan")
        try:
            return next(pairs)
        except StopIteration:
            # Not kept until the caller drops the scan: an iterator pins the files that it reads.
            self._pairs = iter(())
            raise
        except Exception as error:
            del pairs  # A caller may keep the error, and the folder stays locked while the iterator exists.
            raise self._engine._error(error) from error

    def end(self) -> None:
        self._pairs = None
