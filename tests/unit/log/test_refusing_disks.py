"""Real disks that refuse: each says clearly what to do, loses nothing, and works again once it is well.

Some need root, to make a small file system or to become nobody; elsewhere they are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamcore.errors import CorruptDataError, StorageError, UnsupportedVersionError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.port import Log
from streamcore.log.storage.checkpoints import CHECKPOINT_NAMES, RECOVERY_POINTS
from streamcore.log.storage.topics.topic_registry import REGISTRY_NAME
from streamcore.log.tools.verification import verify
from streamcore.model import RecordColumns, TopicPartition

EVENTS = TopicPartition("events", 0)
LIMIT_S = 60
VALUE = b"v" * 10_000


def open_log(data: Path) -> EmbeddedLog:
    log = EmbeddedLog.open(data, maintenance=False)
    if "events" not in log.topics():
        log.create_topic("events", config={"retention.ms": "-1", "segment.bytes": "100000"})
    return log


def write(log: Log, count: int) -> int:
    """Write so many records one by one, and say how many were acknowledged before the disk refused."""
    producer = log.producer_port()
    for number in range(count):
        try:
            producer.append_columns(EVENTS, RecordColumns([None], [b"%06d" % number + VALUE], [0])).result()
        except StorageError as error:
            if "no space left" in str(error) or "size limit" in str(error):
                return number
            raise
    return count


def read(log: Log) -> list[bytes]:
    reader = log.reader()
    reader.assign({EVENTS: 0})
    numbers: list[bytes] = []
    while (run := reader.fetch(EVENTS, bytes_max=1_000_000)) is not None:
        numbers += [(value or b"")[:6] for value in run.values]
    return numbers


def numbered(count: int) -> list[bytes]:
    return [b"%06d" % number for number in range(count)]


# A folder that cannot be written


@pytest.mark.parametrize("place", ["file", "file/data", "data"])
def test_a_file_where_a_folder_should_be_is_said_to_be_one(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log").write_bytes(b"")

    with pytest.raises(StorageError, match="use another folder"):
        EmbeddedLog.open(tmp_path / place)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_folder_of_the_system_is_refused() -> None:
    with pytest.raises(StorageError, match="use another folder"):
        EmbeddedLog.open("/proc/streamcore")


_OPEN_AS_NOBODY = """
import os, sys
from streamcore.errors import StorageError
from streamcore.log.client.embedded.log import EmbeddedLog
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    EmbeddedLog.open(sys.argv[1], maintenance=False)
except StorageError as error:
    print(error)
"""


def test_a_folder_without_the_right_to_write_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    if os.getuid() == 0:
        for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            folder.chmod(folder.stat().st_mode | 0o011)
    else:
        data.chmod(0o555)

    said = _run(_OPEN_AS_NOBODY, data)

    assert "permission denied: give this user the right" in said
    assert not list(data.iterdir())


def test_a_read_only_file_system_is_refused_and_works_again_when_it_is_writable(small_disk: Path) -> None:
    with open_log(small_disk / "data") as log:
        write(log, 3)
    _mount("-o", "remount,ro", str(small_disk))

    with pytest.raises(StorageError, match="read-only: mount it writable"):
        EmbeddedLog.open(small_disk / "data", maintenance=False)

    _mount("-o", "remount,rw", str(small_disk))
    with open_log(small_disk / "data") as log:
        assert read(log) == numbered(3)


# A disk without room


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.getuid() != 0:
        pytest.skip("only root can make a small file system")
    path = tmp_path / "disk"
    path.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path))
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("this machine does not let root mount a file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_loses_nothing_and_takes_more_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    log = open_log(small_disk / "data")
    count = write(log, 1000)
    assert 0 < count < 1000
    assert read(log) == numbered(count)

    ballast.unlink()
    more = write(log, 5)
    log.close()

    assert more == 5
    with open_log(small_disk / "data") as log:
        assert read(log) == numbered(count) + numbered(5)


def test_a_log_that_was_killed_on_a_full_disk_opens_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    said = _run(_WRITE_UNTIL_REFUSED, small_disk / "data", "none")
    ballast.unlink()

    with open_log(small_disk / "data") as log:
        assert read(log) == numbered(int(said))


_WRITE_UNTIL_REFUSED = """
import os, resource, sys
from pathlib import Path
from tests.unit.log.test_refusing_disks import open_log, write
log = open_log(Path(sys.argv[1]))
if sys.argv[2] != "none":
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
print(write(log, 1000), flush=True)
if sys.argv[2] == "none":
    os._exit(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(write(log, 5))
log.close()
"""


def test_a_file_size_limit_refuses_what_passes_it_and_loses_nothing(tmp_path: Path) -> None:
    first, second = _run(_WRITE_UNTIL_REFUSED, tmp_path / "data", "55555").split()

    assert (int(first), second) == (5, "5")
    with open_log(tmp_path / "data") as log:
        assert read(log) == numbered(5) + numbered(5)


# Damage


def damaged(path: Path, position: int) -> bytes:
    """Change a byte of a file; return what the file holds now."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)
    return bytes(data)


def test_damage_before_the_recovery_point_is_refused_with_file_and_position(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        write(log, 5)
    (tmp_path / "log" / ".kafka_cleanshutdown").unlink()
    path = tmp_path / "log" / "events-0" / f"{0:020d}.log"
    content = damaged(path, 25_000)

    with pytest.raises(CorruptDataError, match=r"restore the file from a copy.*position=2\d{4} offset=2"):
        open_log(tmp_path)

    assert path.read_bytes() == content


def test_a_damaged_segment_in_the_middle_is_found_when_read_and_the_rest_is_there(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        write(log, 30)
    paths = sorted((tmp_path / "log" / "events-0").glob("*.log"))
    assert len(paths) > 3
    damaged(paths[1], 50)

    with open_log(tmp_path) as log:
        with pytest.raises(CorruptDataError, match=r"restore the data file .* path=\S+/events-0/\d{20}\.log"):
            read(log)
        reader = log.reader()
        reader.assign({EVENTS: int(paths[2].stem)})
        assert reader.fetch(EVENTS, bytes_max=1000) is not None

    problems = list(verify(paths[1].parent))
    assert [problem.file for problem in problems] == [paths[1]]
    assert problems[0].position == 0


@pytest.mark.parametrize("name", [REGISTRY_NAME, *CHECKPOINT_NAMES])
def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    with open_log(tmp_path) as log:
        write(log, 1)
    path = tmp_path / "log" / name
    newer = b'{"version": 2}' if name == REGISTRY_NAME else b"1\n0\n"
    path.write_bytes(newer)

    with pytest.raises(UnsupportedVersionError, match="upgrade the program"):
        open_log(tmp_path)

    assert path.read_bytes() == newer
    assert RECOVERY_POINTS in CHECKPOINT_NAMES


def test_a_producer_snapshot_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        write(log, 1)
    path = max((tmp_path / "log" / "events-0").glob("*.snapshot"))
    path.write_bytes(b"\x00\x02" + path.read_bytes()[2:])

    with pytest.raises(UnsupportedVersionError, match="upgrade the program"):
        open_log(tmp_path)


def _run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
