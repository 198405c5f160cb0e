"""``streamcore users`` and ``acls``: what they change, what they show, what they refuse."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.main import main
from streamcore.log.broker.access.acl import AccessRuleFilter, Permission
from tests.support.logins import log_in
from tests.support.serving import client_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a folder of its own; returns exit code, stdout and stderr."""
    monkeypatch.setenv("STREAMCORE_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("STREAMCORE_BROKER", raising=False)

    def run_command(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main(words)
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run_command


def rows(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


# --- users --------------------------------------------------------------------------------------


def test_the_first_user_is_added_before_anything_is_served(run: Run, tmp_path: Path) -> None:
    code, out, err = run("users", "add", "admin", "--password-stdin", stdin="sécret\n")

    security = sc.Security(authorize=True, super_users=["User:admin"])
    listen = "sasl_plaintext://127.0.0.1:0"
    with sc.serve(tmp_path / "data", listen=listen, security=security) as served, client_of(served) as client:
        logged_in = log_in(client, "admin", "sécret").error_code

    assert (code, out, err) == (0, "", "added admin\n")
    assert logged_in == 0


def test_users_are_listed_by_how_they_can_log_in_and_deleted(run: Run) -> None:
    run("users", "add", "bob", "--password-stdin", stdin="old\r\n")
    again = run("users", "add", "bob", "--password-stdin", stdin="new")
    run("users", "add", "alice", "--password-stdin", stdin="x")

    listed = rows(run("users", "list", "--json")[1])
    for_people = run("users", "list")[1]
    deleted = run("users", "delete", "bob")
    missing = run("users", "delete", "bob")

    assert again == (0, "", "bob has a new password\n")
    assert listed == [
        {"user": name, "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"], "iterations": 8192}
        for name in ("alice", "bob")
    ]
    assert "SCRAM-SHA-256, SCRAM-SHA-512" in for_people
    assert deleted == (0, "", "deleted bob\n")
    assert missing[0] == 1
    assert "there is no resource of this name" in missing[2]
    assert [row["user"] for row in rows(run("users", "list", "--json")[1])] == ["alice"]


def test_a_password_is_asked_for_or_given_and_never_empty(run: Run) -> None:
    nobody_there = run("users", "add", "alice")
    empty = run("users", "add", "alice", "--password-stdin", stdin="\n")

    assert nobody_there[0] == empty[0] == 1
    assert "use --password-stdin" in nobody_there[2]
    assert "standard input has no password" in empty[2]


def test_a_log_that_is_not_there_has_no_users_to_look_at(run: Run, tmp_path: Path) -> None:
    for words in (("users", "list"), ("users", "delete", "x"), ("acls", "list"), ("acls", "delete", "--all")):
        code, _, err = run(*words)
        assert code == 1
        assert "no log in this folder" in err
    assert not (tmp_path / "data").exists()


# --- rules --------------------------------------------------------------------------------------


def stored(tmp_path: Path) -> set[tuple[str, str, str, str, str, str]]:
    """The rules of the folder: principal, operation, type, name, pattern, host; denials with a ``!``."""
    with sc.connect(tmp_path / "data") as log:
        return {
            (
                ("!" if rule.permission is Permission.DENY else "") + rule.principal,
                rule.operation.name,
                rule.resource.type.name,
                rule.resource.name,
                rule.resource.pattern.name,
                rule.host,
            )
            for rule in log.access.rules(AccessRuleFilter())
        }


def test_a_rule_says_who_may_do_what_with_what_from_where(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        *("acls", "add", "alice", "User:bob", "--operation", "read,Describe", "--operation", "alter-configs"),
        *("--topic", "a", "--host", "10.0.0.1", "--host", "0:0::1", "--json"),
    )

    expected = {
        (principal, operation, "TOPIC", "a", "LITERAL", host)
        for principal in ("User:alice", "User:bob")
        for operation in ("READ", "DESCRIBE", "ALTER_CONFIGS")
        for host in ("10.0.0.1", "::1")
    }
    assert code == 0
    assert stored(tmp_path) == expected
    assert len(rows(out)) == len(expected)
    assert rows(out)[0] == {
        "principal": "User:alice",
        "permission": "allow",
        "operation": "read",
        "resource": "topic",
        "name": "a",
        "pattern": "literal",
        "host": "10.0.0.1",
    }


def test_rules_are_about_every_kind_of_resource(run: Run, tmp_path: Path) -> None:
    run(
        *("acls", "add", "CN=alice:1,O=x", "--operation", "all", "--deny", "--prefixed", "--cluster"),
        *("--topic", "t", "--group", "g", "--transactional-id", "i"),
    )

    assert stored(tmp_path) == {
        ("!User:CN=alice:1,O=x", "ALL", "TOPIC", "t", "PREFIXED", "*"),
        ("!User:CN=alice:1,O=x", "ALL", "GROUP", "g", "PREFIXED", "*"),
        ("!User:CN=alice:1,O=x", "ALL", "TRANSACTIONAL_ID", "i", "PREFIXED", "*"),
        ("!User:CN=alice:1,O=x", "ALL", "CLUSTER", "kafka-cluster", "LITERAL", "*"),
    }


def test_producers_and_consumers_have_what_they_need_by_one_word(run: Run, tmp_path: Path) -> None:
    run("acls", "add", "p", "--producer", "--topic", "t", "--transactional-id", "i")
    run("acls", "add", "c", "--consumer", "--topic", "t", "--group", "g")

    assert {rule[:4] for rule in stored(tmp_path)} == {
        ("User:p", "WRITE", "TOPIC", "t"),
        ("User:p", "DESCRIBE", "TOPIC", "t"),
        ("User:p", "CREATE", "TOPIC", "t"),
        ("User:p", "WRITE", "TRANSACTIONAL_ID", "i"),
        ("User:p", "DESCRIBE", "TRANSACTIONAL_ID", "i"),
        ("User:c", "READ", "TOPIC", "t"),
        ("User:c", "DESCRIBE", "TOPIC", "t"),
        ("User:c", "READ", "GROUP", "g"),
    }


@pytest.fixture
def ruled(run: Run) -> Run:
    for words in (
        ("alice", "--operation", "read,write", "--topic", "orders"),
        ("bob", "--operation", "read", "--topic", "ord", "--prefixed"),
        ("*", "--operation", "describe", "--topic", "*"),
        ("alice", "--operation", "read", "--group", "orders"),
    ):
        assert run("acls", "add", *words)[0] == 0
    return run


def told(out: str) -> set[tuple[object, ...]]:
    return {(row["principal"], row["operation"], row["resource"], row["name"]) for row in rows(out)}


def test_rules_that_apply_to_a_resource_are_listed(ruled: Run) -> None:
    of_topic = told(ruled("acls", "list", "--topic", "orders", "--json")[1])
    of_alice = told(ruled("acls", "list", "--principal", "alice", "--json")[1])

    assert of_topic == {
        ("User:alice", "read", "topic", "orders"),
        ("User:alice", "write", "topic", "orders"),
        ("User:bob", "read", "topic", "ord"),
        ("User:*", "describe", "topic", "*"),
    }
    assert {row[2:] for row in of_alice} == {("topic", "orders"), ("group", "orders")}
    assert len(told(ruled("acls", "list", "--json")[1])) == 5


@pytest.mark.parametrize(
    ("words", "deleted"),
    [
        (("--principal", "alice"), 3),
        (("--principal", "alice", "--topic", "orders"), 2),
        (("--principal", "alice", "--topic", "orders", "--operation", "read"), 1),
        (("--topic", "ord"), 0),
        (("--topic", "ord", "--prefixed"), 1),
        (("--operation", "read,describe"), 4),
        (("--all",), 5),
    ],
)
def test_rules_are_deleted_that_agree_in_all_that_is_given(
    ruled: Run, words: tuple[str, ...], deleted: int
) -> None:
    code, out, _ = ruled("acls", "delete", *words, "--json")
    left = rows(ruled("acls", "list", "--json")[1])

    assert code == 0
    assert len(rows(out)) == deleted
    assert len(left) == 5 - deleted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "a", "--topic", "t"), "a rule is about an --operation"),
        (("add", "a", "--operation", "read"), "a rule is about an --operation"),
        (("add", "a", "--operation", "fly", "--topic", "t"), "given=fly"),
        (("add", "a", "--operation", "any", "--topic", "t"), "given=any"),
        (("add", "a", "--operation", "read", "--topic", "t", "--host", "h"), "a host is an IP address"),
        (("add", "a", "--operation", "read", "--topic", ""), "name=''"),
        (("add", "a", "--producer"), "--producer is about --topic"),
        (("add", "a", "--consumer", "--topic", "t"), "--consumer about --topic and --group"),
        (("add", "a", "--producer", "--topic", "t", "--group", "g"), "--producer is about --topic"),
        (("add", "a", "--producer", "--topic", "t", "--operation", "read"), "leave --operation out"),
        (("delete",), "say which rules"),
        (("delete", "--all", "--topic", "t"), "say which rules"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_do(run: Run, words: tuple[str, ...], told: str) -> None:
    run("topics", "create", "t")

    code, out, err = run("acls", *words)

    assert code == 1
    assert out == ""
    assert told in err
