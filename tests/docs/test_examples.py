"""Every Python block of the README and the guide runs, and prints what the page says it prints.

The blocks of a page make one program, in their order, since a page tells one story. It runs as a reader would
run it: from a file, in an empty folder. Where a ``text`` block follows a Python block directly, it is
the output.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM_AND_OUTPUT = re.compile(r"^```python\n.*?^```\n\s*^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


FAST = {"README.md", "first-application.md", "times-order-and-nulls.md"}
"""The pages that the fast tests run, too: each takes seconds."""


def python_pages() -> list[Path]:
    return [page for page in PAGES if "```python" in page.read_text("utf-8")]


def as_parameter(page: Path) -> Any:
    return pytest.param(page, id=page.name, marks=() if page.name in FAST else pytest.mark.slow)


@pytest.mark.parametrize("page", list(map(as_parameter, python_pages())))
def test_the_blocks_of_a_page_run_and_print_what_it_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    program = tmp_path / "example.py"
    blocks = [code for language, code in BLOCK.findall(text) if language == "python"]
    program.write_text("\n\n".join(blocks), "utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()

    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    printed = "".join(PROGRAM_AND_OUTPUT.findall(text))
    assert done.stdout == printed


def test_the_readme_has_a_program() -> None:
    assert PROJECT / "README.md" in python_pages()


@pytest.mark.parametrize(
    "page",
    [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "apps").rglob("*.md")],
    ids=lambda page: str(page.relative_to(PROJECT)),
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []
