"""What type checkers say of users' programs: nothing of right ones, and each mistake of wrong ones.

The programs are checked as a user's: strictly, without this project's settings, with the package installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from mypy import api

PROGRAMS = Path(__file__).parent / "programs"
CACHE = Path(__file__).resolve().parent.parent.parent / ".mypy_cache" / "programs"

Found = Mapping[str, Mapping[int, str]]
"""Program -> line -> what was found there."""


@pytest.fixture(scope="module")
def found_by_mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    settings = tmp_path_factory.mktemp("mypy") / "mypy.ini"
    settings.write_text("[mypy]\nstrict = True\nshow_absolute_path = True\n", "utf-8")
    output, problems, _ = api.run(
        [f"--config-file={settings}", f"--cache-dir={CACHE}", "--output=json", *map(str, programs())]
    )
    assert not problems, problems
    found: dict[str, dict[int, str]] = {path.name: {} for path in programs()}
    for line in output.splitlines():
        if line.startswith("{"):
            message = json.loads(line)
            found[Path(message["file"]).name][message["line"]] = message["message"]
    return found


def programs() -> list[Path]:
    return sorted(PROGRAMS.glob("*.py"))


def marked(program: str) -> set[int]:
    """The lines of a program that say that they are wrong."""
    lines = (PROGRAMS / program).read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_mypy_finds_nothing_in_a_right_program(found_by_mypy: Found) -> None:
    assert found_by_mypy["right.py"] == {}


def test_mypy_finds_every_mistake_of_a_wrong_program(found_by_mypy: Found) -> None:
    found = found_by_mypy["wrong.py"]

    assert marked("wrong.py") - set(found) == set(), "not found"
    assert set(found) - marked("wrong.py") == set(), found


@pytest.mark.slow
def test_pyright_finds_the_same() -> None:
    pyright = os.environ.get("PYRIGHT") or shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed: npm install pyright, then PYRIGHT=node_modules/.bin/pyright")
    arguments = [pyright, "--outputjson", "--pythonpath", sys.executable, *map(str, programs())]
    report = json.loads(subprocess.run(arguments, capture_output=True, check=False).stdout)

    found: dict[str, set[int]] = {path.name: set() for path in programs()}
    for message in report["generalDiagnostics"]:
        found[Path(message["file"]).name].add(message["range"]["start"]["line"] + 1)

    assert found == {"right.py": set(), "wrong.py": marked("wrong.py")}
