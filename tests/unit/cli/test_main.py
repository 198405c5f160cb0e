"""The command itself: its version, its completion, and what it prints where a command line is wrong."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import pytest

from streamcore.cli.options import settings_in
from streamcore.cli.worker_display import tell_stop
from streamcore.errors import UsageError

RunCommand = Callable[..., tuple[int, str, str]]


def test_the_version_is_printed(command: RunCommand) -> None:
    assert command("--version") == (0, f"streamcore {version('streamcore')}\n", "")


def test_commands_are_listed_in_the_order_of_use(command: RunCommand) -> None:
    _, out, _ = command("--help")

    listed = [line.split()[0] for line in out[out.index("Commands:") :].splitlines()[1:]]
    assert listed[:3] == ["worker", "serve", "app"]
    assert listed[-1] == "log"


def test_a_help_page_has_its_options_in_sections(command: RunCommand) -> None:
    _, out, _ = command("serve", "--help")

    encryption, access = out.index("\nEncryption:"), out.index("\nAccess:")
    assert out.index("\nOptions:") < out.index("--listen") < encryption
    assert encryption < out.index("--tls-key ") < access < out.index("--authorize")


def test_the_help_of_an_option_has_its_default_and_its_variable(command: RunCommand) -> None:
    _, out, _ = command("topics", "list", "--help")

    assert "env var: STREAMCORE_DATA; default: streamcore-data" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("nothing",), "no such command 'nothing'"),
        (("consume",), "missing argument"),
        (("consume", "t", "u"), "unexpected extra argument"),
        (("consume", "t", "--nothing"), "no such option"),
        (("consume", "t", "--max", "x"), "'--max'"),
        (("topics", "create", "t", "--partitions", "0"), "'--partitions'"),
        (("app", "tests.unit.cli.shop:app", "nothing"), "no such command 'nothing'"),
        (("app", "tests.unit.cli.shop:app", "load", "many"), "count"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_where_help_is(
    command: RunCommand, words: tuple[str, ...], error: str
) -> None:
    code, out, told = command(*words)

    assert (code, out, told.count("\n")) == (2, "", 1)
    assert told.startswith("error: ")
    assert error in told.lower()
    assert f"; see streamcore {words[0] if len(words) > 1 else ''}".rstrip() in told
    assert told.endswith(" --help\n")


def test_a_setting_is_given_once() -> None:
    assert settings_in(["a=1", "b = x=y", "c="], "--set") == {"a": "1", "b": "x=y", "c": ""}
    for words in (["a=1", "a=1"], ["a=1", " a = 2"], ["a"], ["=1"]):
        with pytest.raises(UsageError, match="option=--set"):
            settings_in(words, "--set")


def test_a_signal_is_told_with_how_to_end_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell_stop("SIGTERM", "committing and stopping")
    tell_stop("SIGINT", "committing and stopping")

    assert capsys.readouterr().err.splitlines() == [
        "SIGTERM: committing and stopping; send SIGTERM again to stop at once",
        "SIGINT: committing and stopping; press Ctrl-C again to stop at once",
    ]
