"""The completion of ``streamcore`` in bash, zsh and fish: the script of a shell, and its installation.

click makes the script. It is written where the shell looks for completions. In bash and zsh, a line in the
shell's start file names the place.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from streamcore.errors import UsageError, fact_text

_VARIABLE = "_STREAMCORE_COMPLETE"
_PROGRAM = "streamcore"

_SCRIPTS = {
    "bash": ".bash_completions/streamcore.sh",
    "zsh": ".zfunc/_streamcore",
    "fish": ".config/fish/completions/streamcore.fish",
}
"""Where the script of each shell is written, below the home folder."""

_START_LINES = {
    "bash": (".bashrc", "source ~/.bash_completions/streamcore.sh"),
    "zsh": (".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
}
"""The start file of each shell that loads no folder of completions by itself, and the line it needs."""


def completion_script(command: click.Command) -> str:
    """Return the script that completes the command in the user's shell, which the variable ``SHELL`` names.

    Raises:
        UsageError: the shell is none of bash, zsh and fish.
    """
    completion = get_completion_class(_shell())
    assert completion is not None, "click has these shells"
    return completion(command, {}, _PROGRAM, _VARIABLE).source()


def install_completion(command: click.Command) -> Path:
    """Write the script where the user's shell finds it at its next start; return the path.

    Raises:
        UsageError: the shell is none of bash, zsh and fish.
        OSError: a file cannot be written.
    """
    shell, home = _shell(), Path.home()
    path = home / _SCRIPTS[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(completion_script(command) + "\n")
    if shell in _START_LINES:
        name, line = _START_LINES[shell]
        content = (home / name).read_text() if (home / name).exists() else ""
        if line not in content.splitlines():
            with (home / name).open("a") as start_file:
                start_file.write(f"\n{line}\n" if content and not content.endswith("\n") else f"{line}\n")
    return path


def _shell() -> str:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in _SCRIPTS:
        raise UsageError(
            "completion is for bash, zsh and fish: set SHELL to one of them: "
            + fact_text(SHELL=os.environ.get("SHELL"))
        )
    return shell
