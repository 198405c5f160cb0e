"""Dead letters: what they carry, and ``streamcore app MODULE:APP replay-dead-letters``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.dead_letters import DeadLetterReplay
from streamcore.processing.topology.dead_letters import letter_of
from tests.unit.cli import failing
from tests.unit.cli.conftest import RunCommand

FAILING = "tests.unit.cli.failing:app"


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    yield
    failing.MENDED[0] = False


@pytest.fixture
def data(command: RunCommand, tmp_path: Path) -> Path:
    """A folder in which two records have failed."""
    assert command("app", FAILING, "load")[0] == 0
    run(tmp_path / "data")
    return tmp_path / "data"


def run(data: Path) -> None:
    with sc.run(failing.app, data=data, state="memory") as running:
        running.wait_until_caught_up("10s")


def records(data: Path, topic: str) -> list[Any]:
    with sc.connect(data) as log, log.consumer(topic, start="earliest") as consumer:
        found: list[Any] = []
        while polled := consumer.poll(timeout="10ms"):
            found += polled
        return sorted(found, key=lambda record: (record.partition, record.offset))


def test_a_dead_letter_names_place_node_error_and_the_users_line(data: Path) -> None:
    letter = records(data, "dead")[0]
    headers = dict(letter.headers)

    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b"-2", 7)
    assert headers["own"] == b"1"
    assert [headers[f"streamcore.{name}"] for name in ("node", "topic", "partition", "offset", "error")] == [
        b"checked",
        b"numbers",
        b"1",
        b"0",
        b"ValueError: negative",
    ]
    assert b'raise ValueError("negative")' in headers["streamcore.traceback"]
    assert b"failing.py" in headers["streamcore.traceback"]


def test_a_replay_sends_each_record_once_as_it_was(command: RunCommand, data: Path) -> None:
    failing.MENDED[0] = True

    first = command("app", FAILING, "replay-dead-letters", "--yes")
    second = command("app", FAILING, "replay-dead-letters", "--yes")
    run(data)

    assert (first[0], "2 of dead to numbers" in first[1], "2 dead letters were sent" in first[2]) == (
        0,
        True,
        True,
    )
    assert (second[0], "no dead letters to send" in second[2]) == (0, True)
    again = [record for record in records(data, "numbers") if record.offset > 0]
    assert [(record.key, record.value, record.timestamp_ms, record.headers) for record in again] == [
        (b"k", b"-2", 7, (("own", b"1"),)),
        (b"k", b"-3", 7, (("own", b"1"),)),
    ]
    assert [record.partition for record in again] == [1, 2]
    assert sorted(record.value for record in records(data, "out")) == [b"-2", b"-3", b"1"]


def test_a_letter_that_fails_again_is_a_new_letter(command: RunCommand, data: Path) -> None:
    assert command("app", FAILING, "replay-dead-letters", "--yes", "--max", "1")[0] == 0
    run(data)

    with DeadLetterReplay(failing.app, data) as replay:
        assert replay.plan().count == 2
        assert replay.replay(count_max=5).count == 2
        assert replay.plan().count == 0
    offsets = [dict(letter.headers)["streamcore.offset"] for letter in records(data, "dead")]
    assert offsets == [b"0", b"0", b"1"]


def test_without_yes_nothing_is_sent_and_a_topic_of_no_letters_is_refused(
    command: RunCommand, data: Path
) -> None:
    unasked = command("app", FAILING, "replay-dead-letters")
    unknown = command("app", FAILING, "replay-dead-letters", "--topic", "numbers")
    other = command("app", FAILING, "replay-dead-letters", "--topic", "dead-others", "--yes")

    assert (unasked[0], "give --yes" in unasked[2]) == (1, True)
    assert (unknown[0], "dead_letters=dead,dead-others" in unknown[2]) == (1, True)
    assert (other[0], "no dead letters to send" in other[2]) == (0, True)
    assert len(records(data, "numbers")) == 3


def test_records_that_are_no_letters_of_the_application_are_passed_over(data: Path) -> None:
    with sc.connect(data) as log, log.producer() as producer:
        producer.send_and_wait("dead", key=b"x", value=b"1")
        theirs = (("streamcore.node", b"n"), ("streamcore.topic", b"elsewhere"), ("streamcore.offset", b"1"))
        producer.send_and_wait(
            "dead", key=b"x", value=b"1", headers=(*theirs, ("streamcore.partition", b"0"))
        )

    with DeadLetterReplay(failing.app, data) as replay:
        done = replay.replay()

    assert dict(done.sent) == {("dead", "numbers"): 2}
    assert dict(done.passed_over) == {"dead": 2}


def test_a_replay_into_a_topic_that_was_deleted_says_so_and_sends_nothing(data: Path) -> None:
    with sc.connect(data) as log:
        log.delete_topic("numbers")

    with DeadLetterReplay(failing.app, data) as replay:
        for call in (replay.plan, replay.replay):
            with pytest.raises(sc.UsageError, match=r"does not exist.*topic=numbers"):
                call()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("streamcore.node", b"n"),),
        (("streamcore.node", b"n"), ("streamcore.topic", b"t"), ("streamcore.partition", b"x")),
        (("streamcore.node", None), ("streamcore.topic", b"t"), ("streamcore.partition", b"1")),
    ],
)
def test_other_headers_are_those_of_no_dead_letter(headers: Any) -> None:
    assert letter_of(headers) is None
