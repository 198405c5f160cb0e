"""A folder is open once in a process: connections share its node, and the last one closes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.clock import SystemClock
from streamcore.errors import UsageError
from streamcore.log.node.directory_lock import DirectoryLock
from streamcore.log.node.shared_node import SharedNode


def acquired(
    folder: Path, *, durability: str = "durable", config: dict[str, str] | None = None
) -> SharedNode:
    assert durability in ("durable", "relaxed")
    return SharedNode.acquire(
        folder, "relaxed" if durability == "relaxed" else "durable", config or {}, SystemClock()
    )


def test_connections_to_a_folder_share_its_node(tmp_path: Path) -> None:
    first = acquired(tmp_path)
    second = acquired(tmp_path / "." / "x" / "..")

    assert first is second
    first.release()
    assert first.node is acquired(tmp_path).node
    first.release()
    second.release()


def test_the_last_release_closes_the_node(tmp_path: Path) -> None:
    first = acquired(tmp_path)
    acquired(tmp_path)
    first.release()
    first.release()

    again = acquired(tmp_path)

    assert again is not first
    again.release()
    DirectoryLock(tmp_path).release()


def test_another_durability_or_other_settings_are_refused(tmp_path: Path) -> None:
    shared = acquired(tmp_path, config={"log.retention.ms": "-1"})

    with pytest.raises(UsageError, match="open_as=durable wanted=relaxed"):
        acquired(tmp_path, durability="relaxed")
    with pytest.raises(UsageError, match=r"other settings.*wanted=log\.retention\.ms"):
        acquired(tmp_path, config={"log.retention.ms": "5"})
    same = acquired(tmp_path, config={"log.retention.ms": "-1"})
    without = acquired(tmp_path)

    assert same is without is shared
    for each in (same, without, shared):
        each.release()


def test_a_refused_connection_does_not_keep_the_node_open(tmp_path: Path) -> None:
    shared = acquired(tmp_path)
    with pytest.raises(UsageError):
        acquired(tmp_path, durability="relaxed")

    shared.release()

    relaxed = acquired(tmp_path, durability="relaxed")
    assert relaxed.user_count == 1
    relaxed.release()
