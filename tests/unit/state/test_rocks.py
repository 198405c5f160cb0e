"""What only the engine on disk can get wrong: reopening, locks, damage, versions, kills, full disks."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streamcore.errors import (
    ClosedError,
    CorruptStoreError,
    DirectoryInUseError,
    StorageError,
    UnsupportedVersionError,
    UsageError,
)
from streamcore.state.engine import StoreWrites
from streamcore.state.rocks import FORMAT_VERSION, RocksEngine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "app" / "task"


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    """A lock must be released by closing, not by luck."""
    gc.disable()
    yield
    gc.enable()


def write(engine: RocksEngine, key: bytes, value: bytes, position: int) -> None:
    engine.apply([StoreWrites("counts", [key], [value])], {"in": position}, {"note": value})


def set_format(folder: Path, value: bytes) -> None:
    families = Rdict.list_cf(str(folder))
    options = Options(raw_mode=True)
    database = Rdict(str(folder), options, dict.fromkeys(families, options))
    database[b"format"] = value
    database.close()


def test_everything_is_there_after_reopening(folder: Path) -> None:
    engine = RocksEngine.open(folder)
    write(engine, b"a", b"1", 5)
    engine.close()

    engine = RocksEngine.open(folder)

    assert engine.get("counts", b"a") == b"1"
    assert engine.position("in") == 5
    assert engine.note("note") == b"1"
    assert engine.stores() == ["counts"]
    engine.close()


def test_a_deleted_range_stays_deleted_after_reopening(folder: Path) -> None:
    engine = RocksEngine.open(folder)
    engine.apply([StoreWrites("counts", [b"a", b"b"], [b"1", b"2"])])
    engine.apply([StoreWrites("counts", [], [], [(b"a", b"b")])])
    engine.close()

    engine = RocksEngine.open(folder)

    assert list(engine.scan("counts")) == [(b"b", b"2")]
    engine.close()


def test_a_second_opener_is_refused(folder: Path) -> None:
    engine = RocksEngine.open(folder)

    with pytest.raises(DirectoryInUseError, match="stop the worker"):
        RocksEngine.open(folder)

    engine.close()


@pytest.mark.usefixtures("without_garbage_collection")
def test_close_releases_the_folder_while_scans_are_still_held(folder: Path) -> None:
    engine = RocksEngine.open(folder)
    engine.apply([StoreWrites("counts", [b"a", b"b"], [b"1", b"2"])])
    begun, not_begun, ended = (
        engine.scan("counts"),
        engine.scan("counts", reverse=True),
        engine.scan("counts"),
    )
    next(begun)
    list(ended)
    reversed_from = engine.scan("counts", b"a", reverse=True)
    next(reversed_from)

    engine.close()

    RocksEngine.open(folder).close()
    for scan in (begun, not_begun, reversed_from):
        with pytest.raises(ClosedError):
            next(scan)


@pytest.mark.usefixtures("without_garbage_collection")
def test_a_dropped_store_does_not_keep_the_folder(folder: Path) -> None:
    engine = RocksEngine.open(folder)
    write(engine, b"a", b"1", 1)
    engine.drop_store("counts")

    engine.close()

    RocksEngine.open(folder).close()


def test_a_reader_sees_what_was_applied_while_the_owner_goes_on(folder: Path) -> None:
    owner = RocksEngine.open(folder)
    write(owner, b"a", b"1", 5)

    reader = RocksEngine.open(folder, read_only=True)

    assert reader.get("counts", b"a") == b"1"
    assert reader.position("in") == 5
    with pytest.raises(UsageError, match="reading only"):
        reader.apply([])
    reader.close()
    write(owner, b"b", b"2", 6)
    owner.close()


def test_a_reader_does_not_create_a_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="no state"):
        RocksEngine.open(folder, read_only=True)

    assert not folder.exists()


def test_a_newer_format_is_refused(folder: Path) -> None:
    RocksEngine.open(folder).close()
    set_format(folder, b"%d" % (FORMAT_VERSION + 1))

    for _ in range(2):
        with pytest.raises(UnsupportedVersionError, match="newer version"):
            RocksEngine.open(folder)


def test_an_unreadable_format_is_damage(folder: Path) -> None:
    RocksEngine.open(folder).close()
    set_format(folder, b"\x00garbage")

    with pytest.raises(CorruptStoreError, match="delete the folder"):
        RocksEngine.open(folder)


def test_a_database_of_somebody_else_is_damage(folder: Path) -> None:
    folder.mkdir(parents=True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(folder), options)
    database.create_column_family("store/theirs", options)
    database.close()

    with pytest.raises(CorruptStoreError):
        RocksEngine.open(folder)


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "CURRENT", "*.sst"])
@pytest.mark.parametrize("damage", ["deleted", "garbage", "empty"])
def test_damaged_files_are_reported_with_what_to_do(folder: Path, pattern: str, damage: str) -> None:
    engine = RocksEngine.open(folder)
    for number in range(1000):
        write(engine, b"%d" % number, b"value" * 10, number)
    engine.close()
    for path in folder.glob(pattern):
        if damage == "deleted":
            path.unlink()
        elif damage == "empty":
            path.write_bytes(b"")
        else:
            path.write_bytes(b"\x55" * path.stat().st_size)

    def read_everything() -> None:
        with contextlib.closing(RocksEngine.open(folder)) as engine:
            list(engine.scan("counts"))

    with pytest.raises(CorruptStoreError, match="delete the folder") as caught:
        read_everything()

    assert str(folder) in str(caught.value)


def test_a_half_created_database_is_created_again(folder: Path) -> None:
    """A process was killed before it could write the format."""
    folder.mkdir(parents=True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    Rdict(str(folder), options).close()

    engine = RocksEngine.open(folder)
    write(engine, b"a", b"1", 1)
    engine.close()

    RocksEngine.open(folder).close()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError):
        RocksEngine.open(tmp_path / "file" / "task")


KILLED = """
import os, signal, sys
from pathlib import Path
from streamcore.state.engine import StoreWrites
from streamcore.state.rocks import RocksEngine

engine = RocksEngine.open(Path(sys.argv[1]))
for number in range(1000):
    data = b"%d" % number
    engine.apply([StoreWrites("a", [b"k"], [data]), StoreWrites("b", [data], [data])], {"in": number})
    print(number, flush=True)
    if number == 500:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_that_was_applied(folder: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL

    for read_only in (True, False):
        engine = RocksEngine.open(folder, read_only=read_only)
        assert engine.position("in") == 500
        assert engine.get("a", b"k") == b"500"
        assert len(list(engine.scan("b"))) == 501
        engine.close()


@pytest.mark.parametrize("torn_bytes", [1, 30, 1000, 5000])
def test_a_torn_log_loses_a_suffix_of_whole_applies(folder: Path, torn_bytes: int) -> None:
    """After a power cut the end of the write-ahead log may be missing."""
    child = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL
    (log,) = folder.glob("*.log")
    os.truncate(log, log.stat().st_size - torn_bytes)

    engine = RocksEngine.open(folder)

    position = engine.position("in")
    assert position is not None
    assert 300 < position < 500
    assert engine.get("a", b"k") == b"%d" % position
    assert len(list(engine.scan("b"))) == position + 1
    engine.close()


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Stands for a full disk: what would make a file larger fails. Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_until_refused(engine: RocksEngine, applied: list[int]) -> None:
    for number in range(100):
        write(engine, b"%d" % number, os.urandom(64 << 10), number)
        applied.append(number)


@pytest.mark.usefixtures("without_garbage_collection")
def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(folder: Path) -> None:
    """The errors are kept until the end: not even they may hold the folder."""
    engine = RocksEngine.open(folder)
    applied: list[int] = []

    with files_of_at_most(256 << 10):
        with pytest.raises(StorageError) as refused:
            write_until_refused(engine, applied)
        with pytest.raises(StorageError) as refused_to_close:
            engine.close()

    engine = RocksEngine.open(folder)
    assert engine.position("in") == applied[-1]
    assert len(list(engine.scan("counts"))) == len(applied)
    engine.close()
    assert "File too large" in str(refused.value)
    assert "File too large" in str(refused_to_close.value)


READ_COUNTS = Path("/proc/self/io")


@pytest.mark.slow
@pytest.mark.skipif(not READ_COUNTS.exists(), reason="the system does not count what a process reads")
def test_a_lookup_reads_a_few_blocks_however_many_keys_there_are(tmp_path: Path) -> None:
    """A filter that does not fit into the cache would be read whole, hundreds of kB, for each key."""
    engine = RocksEngine.open(tmp_path)
    keys = [b"key-%09d" % number for number in range(800_000)]
    engine.apply([StoreWrites("s", keys, [b"v"] * len(keys))])
    engine.close()
    engine = RocksEngine.open(tmp_path)
    wanted = keys[::4_000]

    before_bytes = read_bytes()
    found = engine.get_many("s", wanted)
    read_per_key = (read_bytes() - before_bytes) / len(wanted)

    assert found == [b"v"] * len(wanted)
    assert read_per_key < 64_000
    engine.close()


def read_bytes() -> int:
    return int(READ_COUNTS.read_text().split()[1])
