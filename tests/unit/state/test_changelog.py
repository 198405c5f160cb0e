"""Names, settings and checkpoints of changelogs."""

from __future__ import annotations

from uuid import UUID

from streamcore.model import RecordColumns
from streamcore.state import changelog
from streamcore.state.engine import StoreWrites
from streamcore.state.memory import MemoryEngine
from streamcore.state.restoring import Checkpoint

DAY_MS = 86_400_000


def test_a_changelog_is_named_after_application_and_store() -> None:
    assert changelog.changelog_topic("flights", "hourly") == "flights-hourly-changelog"


def test_a_key_value_changelog_is_compacted_only() -> None:
    config = changelog.changelog_config()

    assert config["cleanup.policy"] == "compact"
    assert "retention.ms" not in config


def test_a_windowed_changelog_outlives_its_windows_by_a_week_of_the_logs_own_time() -> None:
    config = changelog.changelog_config(window_retention_ms=1000)

    assert config["cleanup.policy"] == "compact,delete"
    assert config["retention.ms"] == str(7 * DAY_MS + 1000)
    assert config["message.timestamp.type"] == "LogAppendTime"


def test_writes_become_columns_of_equal_length() -> None:
    columns = changelog.columns(StoreWrites("s", [b"a", b"b"], [b"1", None]), 5)

    assert columns == RecordColumns([b"a", b"b"], [b"1", None], [5, 5])


def test_a_checkpoint_is_read_as_it_was_stamped() -> None:
    engine, topic = MemoryEngine(), UUID(int=7)

    engine.apply([], changelog.checkpoints({"s": 12}, 99), changelog.topic_notes({"s": topic}))

    assert changelog.checkpoint(engine, "s") == Checkpoint(12, topic, 99)
    assert changelog.checkpoint(engine, "other") is None


def test_a_store_being_rebuilt_has_no_checkpoint() -> None:
    engine = MemoryEngine()

    engine.apply(
        [],
        changelog.checkpoints({"s": changelog.REBUILDING}, 99),
        changelog.topic_notes({"s": UUID(int=7)}),
    )

    assert changelog.checkpoint(engine, "s") is None
