"""A data folder has one owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamcore.errors import DirectoryInUseError, StorageError
from streamcore.log.node.directory_lock import DirectoryLock

HOLD = """
import sys
from pathlib import Path
from streamcore.log.node.directory_lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with (
        DirectoryLock(tmp_path / "data"),
        pytest.raises(DirectoryInUseError, match=f"pid={os.getpid()}") as refusal,
    ):
        DirectoryLock(tmp_path / "data")

    assert "stop it" in str(refusal.value)
    DirectoryLock(tmp_path / "data").release()


def test_the_refusal_names_the_address_where_the_folder_is_served(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path) as lock:
        lock.publish_address("127.0.0.1:9092")
        with pytest.raises(DirectoryInUseError, match=rf"--broker 127\.0\.0\.1:9092.*pid={os.getpid()}$"):
            DirectoryLock(tmp_path)

        lock.publish_address(None)
        with pytest.raises(DirectoryInUseError, match="another process") as refusal:
            DirectoryLock(tmp_path)

    assert "--broker" not in str(refusal.value)


def test_a_killed_process_releases_the_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUseError, match=f"pid={process.pid}"):
            DirectoryLock(tmp_path)
        process.kill()
        process.wait()

    DirectoryLock(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="a file, not a folder: use another folder"):
        DirectoryLock(tmp_path / "file" / "data")
