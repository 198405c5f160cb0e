"""The command line of the log: what it prints for people and programs, and how it fails."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.main import main
from streamcore.cli.output import bytes_text, print_error
from streamcore.log.connect import connect

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a folder of its own; returns exit code, stdout and stderr."""
    monkeypatch.setenv("STREAMCORE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("STREAMCORE_BROKER", raising=False)

    def run_command(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(words)
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run_command


def rows(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def orders(run: Run) -> Run:
    """Topic ``orders`` with three records in two partitions."""
    assert run("topics", "create", "orders", "--partitions", "2", "--config", "retention.ms=-1")[0] == 0
    assert run("produce", "orders", "--key-separator", ":", stdin=b"a:1\nb:2\nc:x:y\n")[0] == 0
    return run


def test_topics_are_created_listed_described_altered_and_deleted(run: Run) -> None:
    assert run("topics", "create", "t", "-p", "2", "--config", "retention.ms=-1") == (
        0,
        "",
        "created t with 2 partitions\n",
    )
    assert rows(run("topics", "list", "--json")[1]) == [
        {"topic": "t", "partitions": 2, "offsets": 0, "config": {"retention.ms": "-1"}}
    ]
    described = rows(run("topics", "describe", "t", "--json")[1])
    assert [row["partition"] for row in described] == [0, 1]
    assert run("topics", "alter", "t", "-p", "3", "--reset", "retention.ms")[0] == 0
    assert rows(run("topics", "list", "--json")[1])[0]["partitions"] == 3
    assert rows(run("topics", "list", "--json")[1])[0]["config"] == {}
    assert run("topics", "delete", "t")[0] == 0
    assert run("topics", "list")[1] == "no topics\n"


def test_internal_topics_are_listed_on_demand(orders: Run) -> None:
    orders("consume", "orders", "--group", "g")

    assert len(rows(orders("topics", "list", "--json")[1])) == 1
    assert "__consumer_offsets" in orders("topics", "list", "--internal")[1]


def test_what_is_produced_is_consumed(orders: Run) -> None:
    _, output, _ = orders("consume", "orders", "--json")

    seen = rows(output)
    assert sorted((row["key"], row["value"]) for row in seen) == [("a", "1"), ("b", "2"), ("c", "x:y")]
    assert set(seen[0]) == {"topic", "partition", "offset", "timestamp_ms", "key", "value", "headers"}


def test_people_read_one_line_a_record(orders: Run) -> None:
    _, output, _ = orders("consume", "orders", "--max", "1")

    assert len(output.splitlines()) == 1
    assert "orders-" in output


def test_consume_begins_at_an_offset_a_time_or_the_end(orders: Run) -> None:
    offsets = [row["offset"] for row in rows(orders("consume", "orders", "--json")[1])]
    later = [row["offset"] for row in rows(orders("consume", "orders", "--from", "1", "--json")[1])]
    assert later == [offset for offset in offsets if offset != 0]
    assert orders("consume", "orders", "--from", "latest", "--json")[1] == ""
    assert len(rows(orders("consume", "orders", "--from", "2013-01-01T00:00Z", "--json")[1])) == 3
    code, _, error = orders("consume", "orders", "--from", "yesterday")
    assert (code, error.startswith("error: ")) == (1, True)


def test_a_file_is_produced_and_a_chosen_text_is_null(run: Run, tmp_path: Path) -> None:
    run("topics", "create", "t")
    lines = tmp_path / "lines"
    lines.write_bytes(b"k=NULL\r\nk=\xff\n")

    code, output, _ = run(
        "produce", "t", "-f", str(lines), "--key-separator", "=", "--null", "NULL", "--json"
    )

    assert (code, rows(output)) == (0, [{"topic": "t", "records": 2}])
    assert [row["value"] for row in rows(run("consume", "t", "--json")[1])] == [None, {"base64": "/w=="}]


def test_a_line_without_a_key_stops_with_its_number(run: Run) -> None:
    run("topics", "create", "t")

    code, _, error = run("produce", "t", "--key-separator", ":", stdin=b"a:1\nb\n")

    assert code == 1
    assert "line=2" in error
    assert len(rows(run("consume", "t", "--json")[1])) == 1


def test_producing_to_an_unknown_topic_says_how_to_create_it(run: Run) -> None:
    run("topics", "create", "other")

    code, _, error = run("produce", "t", stdin=b"x\n")

    assert code == 1
    assert "streamcore topics create t" in error


def test_groups_are_listed_described_reset_and_deleted(orders: Run) -> None:
    orders("consume", "orders", "--group", "g")
    assert orders("consume", "orders", "--group", "g", "--json")[1] == ""
    assert rows(orders("groups", "list", "--json")[1]) == [
        {"group": "g", "state": "Empty", "members": 0, "partitions": 2, "lag": 0}
    ]
    planned = rows(orders("groups", "reset", "g", "--to", "earliest", "--dry-run", "--json")[1])
    assert [row["after"] for row in planned] == [0, 0]
    assert rows(orders("groups", "list", "--json")[1])[0]["lag"] == 0
    orders("groups", "reset", "g", "--to", "earliest")
    assert rows(orders("groups", "list", "--json")[1])[0]["lag"] == 3
    described = rows(orders("groups", "describe", "g", "--json")[1])
    assert [(row["topic"], row["committed"]) for row in described] == [("orders", 0), ("orders", 0)]
    assert orders("groups", "delete", "g")[0] == 0
    assert orders("groups", "list")[1] == "no groups\n"


def test_stored_batches_are_dumped_while_somebody_else_runs_the_log(orders: Run, tmp_path: Path) -> None:
    with connect(tmp_path / "data"):
        batches = rows(orders("log", "dump", "orders", "--json")[1])
        assert sum(len(records) for batch in batches if isinstance(records := batch["records"], list)) == 3
        assert "records" not in rows(orders("log", "dump", "--batches", "--json")[1])[0]
        assert "offsets 0.." in orders("log", "dump", "orders")[1]


def test_a_sound_log_is_verified_and_a_damaged_one_found(orders: Run, tmp_path: Path) -> None:
    code, output, _ = orders("log", "verify")
    assert (code, output.startswith("sound")) == (0, True)
    file = next(path for path in (tmp_path / "data" / "log").glob("orders-*/*.log") if path.stat().st_size)
    damaged = bytearray(file.read_bytes())
    damaged[70] ^= 0xFF
    file.write_bytes(damaged)

    code, output, error = orders("log", "verify", str(file), "--json")

    assert code == 1
    assert rows(output)[0]["file"] == str(file)
    assert "no restart mends" in error


def test_a_log_whose_end_is_missing_is_not_sound(orders: Run, tmp_path: Path) -> None:
    file = next(path for path in (tmp_path / "data" / "log").glob("orders-*/*.log") if path.stat().st_size)
    file.write_bytes(b"")

    code, output, _ = orders("log", "verify", "--json")

    assert code == 1
    assert any("were stored" in str(row["problem"]) for row in rows(output))


def test_looking_does_not_create_a_log(run: Run, tmp_path: Path) -> None:
    for command in (
        ("topics", "list"),
        ("consume", "t"),
        ("groups", "list"),
        ("log", "dump"),
        ("log", "verify"),
    ):
        code, _, error = run(*command)
        assert code == 1
        assert "--data" in error
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [("log", "dump"), ("log", "verify")])
def test_files_are_looked_at_where_they_lie(run: Run, command: tuple[str, ...]) -> None:
    code, _, error = run(*command, "--broker", "kafka://h1:9092")

    assert code == 1
    assert "where the broker runs" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("topics", "create"), ("unknown",), ("topics", "create", "t", "-p", "0")]
)
def test_a_wrong_command_is_exit_code_2(run: Run, command: tuple[str, ...]) -> None:
    assert run(*command)[0] == 2


def test_a_setting_without_a_value_is_refused(run: Run) -> None:
    code, _, error = run("topics", "create", "t", "--config", "retention.ms")

    assert code == 1
    assert "NAME=VALUE" in error


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ValueError("two\nlines"))

    assert capsys.readouterr().err == "error: two lines\n"


@pytest.mark.parametrize(
    ("data", "text"), [(None, "null"), (b"plain", "plain"), (b"\xff", "b'\\xff'"), (b"a\nb", "a\\nb")]
)
def test_bytes_are_shown_on_one_line(data: bytes | None, text: str) -> None:
    assert bytes_text(data) == text


@pytest.mark.parametrize(
    "words",
    [
        ("topics", "list"),
        ("topics", "describe", "orders", "--json"),
        ("groups", "list"),
        ("consume", "orders"),
        ("log", "dump"),
        ("log", "verify"),
        ("users", "list"),
        ("describe", "tests.unit.cli.shop:app"),
        ("app", "tests.unit.cli.shop:app", "topics"),
        ("app", "tests.unit.cli.shop:app", "--help"),
        ("produce", "orders", "--json"),
        ("--version",),
    ],
)
def test_a_command_whose_reader_has_gone_ends_with_1_and_without_a_word(
    orders: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), open(writing, "w") as closed_pipe:
        monkeypatch.setattr(sys, "stdout", closed_pipe)
        code, _, error = orders(*words)

    assert (code, error) == (1, "")


def test_a_command_without_standard_streams_does_its_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert run("topics", "create", "t")[0] == 0
    assert run("topics", "list")[0] == 0
    monkeypatch.undo()


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure_worth_a_word(tmp_path: Path, project: Path) -> None:
    with connect(tmp_path) as log:
        log.create_topic("t")
        with log.producer() as producer:
            producer.send_many("t", [(None, b"x" * 100)] * 20_000).result()
    with subprocess.Popen(
        [sys.executable, "-m", "streamcore.cli.main", "consume", "t", "--data", str(tmp_path)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()

        assert reader.stderr.read() == b""
        reader.wait(20)


NASTY = (
    (b"\xff\x00", b"\xfe\n", (("h", b"\xff"), ("n", None), ("", b""))),
    (b"a\n", b'{"base64":"YQ=="}', ()),
    (b"tomb", None, ()),
    (None, b"", ()),
    (b"", "é\u2028\0\ufeff".encode(), ()),
    (b"k", b"null", ()),
    (b"k", b"x" * 100_000, (("a", b"1"), ("a", b"2"))),
)


@pytest.mark.parametrize("flags", [(), ("--keep-partitions",)])
def test_what_is_consumed_as_json_is_produced_again_as_it_was(
    run: Run, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    with sc.connect(tmp_path / "data") as log:
        log.create_topic("t", partitions=3, config={"retention.ms": "-1"})
        log.create_topic("again", partitions=3, config={"retention.ms": "-1"})
        with log.producer() as producer:
            for number, (key, value, headers) in enumerate(NASTY):
                producer.send(
                    "t", key=key, value=value, timestamp_ms=1_600_000_000_000 + number, headers=headers
                )
    _, lines, _ = run("consume", "t", "--json")

    assert run("produce", "again", "--json", *flags, stdin=lines.encode()) == (
        0,
        '{"topic":"again","records":7}\n',
        "",
    )

    def content(output: str) -> list[dict[str, object]]:
        left_out = ("topic",) if flags else ("topic", "partition", "offset")
        found = [{name: row[name] for name in row if name not in left_out} for row in rows(output)]
        return sorted(found, key=lambda row: str(row["timestamp_ms"]))

    assert content(run("consume", "again", "--json")[1]) == content(lines)
    with sc.connect(tmp_path / "data") as log, log.consumer("again") as consumer:
        found = sorted(consumer.poll("5s"), key=lambda record: record.timestamp_ms)
    assert [(record.key, record.value, record.headers) for record in found] == list(NASTY)


def test_a_bad_line_is_named_and_the_lines_before_it_are_there(run: Run) -> None:
    run("topics", "create", "t")
    for line, error in (
        (b'{"vlaue":1}', "unknown field `vlaue`"),
        (b'{"value":"v","timestamp_ms":-2}', "1970"),
        (b'{"value":"' + b"x" * 2_000_000 + b'"}', "larger than the topic allows"),
    ):
        code, output, told = run("produce", "t", "--json", stdin=b'{"value":"a"}\n{"value":"b"}\n' + line)

        assert (code, output, told.count("\n")) == (1, "", 1)
        assert error in told
        assert "line=3 produced=2" in told
    assert [row["value"] for row in rows(run("consume", "t", "--json")[1])] == ["a", "b"] * 3


def test_lines_of_text_with_json_are_deprecated_text(run: Run) -> None:
    run("topics", "create", "t")

    code, output, told = run("produce", "t", "--json", stdin=b"\nplain\n7\n{not json")

    assert (code, output) == (0, '{"topic":"t","records":4}\n')
    assert told.startswith("warning: lines of text with --json are deprecated")
    assert told.count("\n") == 1
    found = [row["value"] for row in rows(run("consume", "t", "--json")[1])]
    assert found == ["", "plain", "7", "{not json"]


def test_a_first_line_that_is_another_object_is_not_taken_as_text(run: Run) -> None:
    run("topics", "create", "t")

    code, _, told = run("produce", "t", "--json", stdin=b'{"amount":5}\n')

    assert code == 1
    assert "leave --json out to produce lines as they are" in told
    assert "line=1 produced=0" in told


def test_lines_of_text_keep_every_byte_but_their_end(run: Run) -> None:
    run("topics", "create", "t")

    assert run("produce", "t", stdin=b"a\0\xff\r\n\n last\r")[0] == 0

    found = [row["value"] for row in rows(run("consume", "t", "--json")[1])]
    assert found == [{"base64": "YQD/"}, "", " last\r"]


def test_the_last_records_are_the_newest_of_all_partitions(run: Run, tmp_path: Path) -> None:
    with sc.connect(tmp_path / "data") as log:
        log.create_topic("t", partitions=3, config={"retention.ms": "-1"})
        with log.producer() as producer:
            for number in range(30):
                producer.send("t", value=b"%d" % number, partition=number % 3, timestamp_ms=1_000 + number)
        for _ in range(20):  # markers take offsets, and aborted records are not shown
            with log.producer(transactional_id="x") as producer, producer.transaction() as transaction:
                transaction.send("t", value=b"aborted", partition=0)
                transaction.abort()

    def last(*words: str) -> list[str]:
        return [str(row["value"]) for row in rows(run("consume", "t", "--json", *words)[1])]

    assert last("--last", "5") == ["25", "26", "27", "28", "29"]
    assert last("--last", "3", "--partition", "0") == ["21", "24", "27"]
    assert last("--last", "100") == [str(number) for number in range(30)]
    assert last("--last", "5", "--max", "2") == ["25", "26"]
    assert last("--last", "2", "--follow", "--max", "2") == ["28", "29"]
    assert last("--follow", "--max", "30", "--from", "0") != []


def test_where_to_begin_is_said_once_and_can_be(orders: Run) -> None:
    for words, error in (
        (("--last", "1", "--from", "3"), "leave out --from"),
        (("--last", "1", "--group", "g"), "leave out --group"),
        (("--from", "-5"), "--last N"),
        (("--from", "9" * 30), "64 bits"),
        (("--from", "9" * 5_000), "64 bits"),
    ):
        code, _, told = orders("consume", "orders", *words)

        assert (code, told.count("\n")) == (1, 1)
        assert error in told


def test_settings_that_contradict_each_other_are_refused(orders: Run) -> None:
    for words in (
        ("create", "new", "--config", "retention.ms=1", "--config", " retention.ms =1"),
        ("alter", "orders", "--config", "retention.ms=1", "--config", "retention.ms=2"),
        ("alter", "orders", "--config", "retention.ms=1", "--reset", "retention.ms"),
        ("alter", "orders"),
    ):
        code, _, told = orders("topics", *words)

        assert (code, told.count("\n")) == (1, 1)
    (row,) = rows(orders("topics", "list", "--json")[1])
    assert row["config"] == {"retention.ms": "-1"}
