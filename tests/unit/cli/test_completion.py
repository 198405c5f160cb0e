"""Completion: the script of the shell, where it is installed, and what it completes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_script_is_that_of_the_shell_of_the_user(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {}
    for shell in ("zsh", "fish"):
        monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
        code, scripts[shell], _ = command("--show-completion")
        assert code == 0

    assert "_STREAMCORE_COMPLETE=zsh_complete" in scripts["zsh"]
    assert "_STREAMCORE_COMPLETE=fish_complete" in scripts["fish"]


def test_zsh_loads_the_installed_script_by_one_line_of_its_start_file(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("SHELL", "/bin/zsh")
    (home / ".zshrc").write_text("alias ll='ls -l'")

    for _ in range(2):
        assert command("--install-completion")[0] == 0

    lines = (home / ".zshrc").read_text().splitlines()
    assert lines == ["alias ll='ls -l'", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"]
    assert "streamcore" in (home / ".zfunc/_streamcore").read_text()


def test_fish_finds_the_installed_script_in_its_own_folder(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")

    _, _, told = command("--install-completion")

    path = home / ".config/fish/completions/streamcore.fish"
    assert str(path) in told
    assert path.is_file()


def test_another_shell_is_an_error_that_names_it(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/ksh")

    code, _, told = command("--install-completion")

    assert (code, told.count("\n")) == (1, 1)
    assert "SHELL=/bin/ksh" in told


def test_commands_of_a_group_and_options_are_completed(
    command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_STREAMCORE_COMPLETE", "zsh_complete")
    completed = {}
    for words in ("streamcore to", "streamcore topics cr", "streamcore consume --fol"):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        completed[words] = command()[1].split("\n")[1]

    assert list(completed.values()) == ["topics", "create", "--follow"]
