"""The versions of one key, in the order of their times."""

from __future__ import annotations

from streamcore.processing.topology.versions import Version, add_version


def test_a_version_replaces_the_one_of_its_time() -> None:
    versions: list[Version] = []

    for time_ms, data in ((1, b"a"), (3, b"b"), (3, b"c"), (2, b"d"), (1, b"e")):
        add_version(versions, Version(time_ms, data))

    assert [(version.time_ms, version.data) for version in versions] == [(1, b"e"), (2, b"d"), (3, b"c")]
