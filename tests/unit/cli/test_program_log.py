"""What commands log, and from which level on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamcore.cli.program_log import show_logging
from streamcore.errors import UsageError

RunCommand = Callable[..., tuple[int, str, str]]

CHATTY = """
import logging
import streamcore as sc

{setup}
app = sc.App("chatty")
words = app.topic("words", value=str)


@app.agent(words)
async def read(events):
    async for word in events:
        logging.getLogger("mine").debug("debug %s", word)
        logging.getLogger("mine").info("info %s", word)
        logging.getLogger("mine").error("error %s", word)


@app.command()
def load():
    words.send_and_wait(value="a")
    logging.getLogger("mine").info("loaded")


@app.command()
def choose(log_level: str = "own"):
    print(log_level)
"""


@contextlib.contextmanager
def new_logging() -> Iterator[None]:
    """A root logger without handlers, as a new process has it."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


@pytest.fixture
def fresh(command: RunCommand) -> RunCommand:
    """Run each command with the logging of a new process."""

    def run(*words: str) -> tuple[int, str, str]:
        with new_logging():
            return command(*words)

    return run


@pytest.fixture
def chatty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write the application as a module of its own name, and return MODULE:APP."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, setup: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(CHATTY.format(setup=setup))
        return f"{name}:app"

    return write


@pytest.mark.parametrize(
    ("level", "logged"),
    [((), ["info", "error"]), (("debug",), ["debug", "info", "error"]), (("ERROR",), ["error"])],
)
def test_a_worker_logs_what_the_application_logs_from_the_chosen_level_on(
    fresh: RunCommand, chatty: Callable[..., str], level: tuple[str, ...], logged: list[str]
) -> None:
    app = chatty(f"chatty_{level[0] if level else 'info'}")
    fresh("app", app, "load")

    code, _, told = fresh("worker", app, "--until-end", *(f"--log-level={word}" for word in level))

    assert code == 0
    assert [line.split()[-2] for line in told.splitlines() if " mine: " in line] == logged


def test_logging_that_the_application_sets_up_stays(
    fresh: RunCommand, chatty: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.log"
    app = chatty("chatty_own", f"logging.basicConfig(filename={str(file)!r}, level='ERROR')")
    (tmp_path / "lines").write_text("a\n")
    fresh("topics", "create", "words")
    fresh("produce", "words", "--file", str(tmp_path / "lines"))

    _, _, told = fresh("worker", app, "--until-end")

    assert " mine" not in told
    assert file.read_text().splitlines()[-1] == "ERROR:mine:error a"
    assert "info a" not in file.read_text()


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_level_of_a_command_of_an_application_stands_at_any_place(
    fresh: RunCommand, chatty: Callable[..., str], place: int
) -> None:
    words = ["app", chatty(f"chatty_{place}"), "load"]
    words[place:place] = ["--log-level", "error"]

    assert fresh(*words)[::2] == (0, "")


def test_a_command_of_an_application_logs_information_by_itself(
    fresh: RunCommand, chatty: Callable[..., str]
) -> None:
    code, _, told = fresh("app", chatty("chatty_load"), "load")

    assert code == 0
    assert told.endswith(" INFO mine: loaded\n")


def test_an_option_of_the_same_name_is_the_function_s(fresh: RunCommand, chatty: Callable[..., str]) -> None:
    app = chatty("chatty_choose")

    assert fresh("app", app, "choose", "--log-level", "loud") == (0, "loud\n", "")


@pytest.mark.parametrize(
    "words", [("worker", "tests.unit.cli.shop:app"), ("serve",), ("app", "tests.unit.cli.shop:app", "topics")]
)
def test_an_unknown_level_is_refused_before_anything_runs(
    fresh: RunCommand, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, told = fresh(*words, "--log-level", "loud")

    assert (code, out) == (1, "")
    assert told == "error: the log level is one of debug, info, warning, error: given='loud'\n"
    assert not (tmp_path / "data").exists()


def test_libraries_do_not_log_information_unless_debugging() -> None:
    with new_logging():
        with pytest.raises(UsageError):
            show_logging("verbose")
        show_logging("info")
        assert not logging.getLogger("asyncio").isEnabledFor(logging.INFO)
