"""Settings of topics that an application owns: corrected with a warning, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

import streamcore as sc
from tests.support.application_house import House, counting

CHANGELOG = "counting-counts-changelog"
REPARTITION = "counting-by-key-repartition"


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.produce("numbers", ("a", 1), ("b", 2))
    yield made
    made.log.close()


def repartitioned() -> sc.App:
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).repartition(1, name="by-key").count("counts")
    return app


def windowed() -> sc.App:
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).tumbling("1h").count("counts")
    return app


def settings(house: House, topic: str) -> Mapping[str, str]:
    return house.log.topics()[topic].config


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_changelog_made_by_hand_keeps_what_a_table_needs(
    house: House, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.log.create_topic(CHANGELOG, config={"cleanup.policy": policy, "retention.ms": "1000"})

    house.run(counting())

    assert settings(house, CHANGELOG)["cleanup.policy"] == "compact"
    (record,) = caplog.records
    assert f"they are corrected: topic={CHANGELOG}" in record.getMessage()
    assert f"cleanup.policy: {policy} -> compact" in record.getMessage()


def test_a_changelog_altered_between_two_starts_is_set_right(house: House) -> None:
    house.run(counting())
    house.log.alter_topic(CHANGELOG, config={"cleanup.policy": "delete", "retention.ms": "1"})

    assert house.run(counting(), "counts") == {"a": 1, "b": 1}
    assert settings(house, CHANGELOG)["cleanup.policy"] == "compact"


def test_a_windowed_changelog_may_compact_alone_and_keeps_its_windows_where_it_deletes(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.run(windowed())
    wanted = settings(house, CHANGELOG).get("retention.ms")
    house.log.alter_topic(CHANGELOG, config={"cleanup.policy": "compact"})
    house.run(windowed())
    assert not caplog.records
    if wanted is None:
        return

    house.log.alter_topic(
        CHANGELOG,
        config={"cleanup.policy": "compact,delete", "retention.ms": "1000", "retention.bytes": "1000"},
    )
    house.run(windowed())

    found = settings(house, CHANGELOG)
    assert (found["retention.ms"], found.get("retention.bytes", "-1")) == (wanted, "-1")


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("cleanup.policy", "compact", "delete"),
        ("retention.ms", "1000", "-1"),
        ("retention.bytes", "1000", "-1"),
        ("message.timestamp.type", "LogAppendTime", "CreateTime"),
        ("message.timestamp.after.max.ms", "1000", str(2**63 - 1)),
        ("message.timestamp.before.max.ms", "1000", str(2**63 - 1)),
    ],
)
def test_a_repartition_topic_loses_no_record_and_changes_no_time(
    house: House, name: str, value: str, right: str
) -> None:
    house.run(repartitioned())
    house.log.alter_topic(REPARTITION, config={name: value})

    house.run(repartitioned())

    assert settings(house, REPARTITION)[name] == right


def test_settings_that_the_log_does_not_let_change_are_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run(counting())
    house.log.alter_topic(CHANGELOG, config={"cleanup.policy": "delete"})

    def refuse(*_: object, **__: object) -> None:
        raise sc.UsageError("not allowed")

    monkeypatch.setattr(house.log, "alter_topic", refuse)

    with pytest.raises(
        sc.TopologyError, match=r"cannot be changed from here.*topic=counting-counts-changelog"
    ):
        house.run(counting())


def test_settings_of_ones_own_that_lose_nothing_stay(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.run(counting())
    house.log.alter_topic(
        CHANGELOG,
        config={"segment.bytes": str(1 << 20), "min.compaction.lag.ms": "1000", "retention.ms": "5"},
    )

    house.run(counting())

    assert not caplog.records
    assert settings(house, CHANGELOG)["segment.bytes"] == str(1 << 20)


def test_a_table_over_a_topic_that_expires_is_a_warning(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    app = sc.App("following")
    app.topic("numbers", key=str, value=int).table("kept")
    house.log.alter_topic("numbers", config={"retention.ms": "86400000"})

    house.run(app)
    warnings = [record.getMessage() for record in caplog.records]
    house.log.alter_topic("numbers", config={"cleanup.policy": "compact"})
    house.run(app)

    assert len(caplog.records) == len(warnings) == 1
    assert "table=kept topic=numbers retention_ms=86400000" in warnings[0]
