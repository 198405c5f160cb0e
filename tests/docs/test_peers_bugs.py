"""The page of other frameworks' faults names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_each_test_that_the_page_names_exists(project: Path) -> None:
    named = NAMED.findall((project / "docs" / "peers-bugs.md").read_text("utf-8"))
    missing = []
    for path, name in named:
        module = ast.parse((project / "tests" / path).read_text("utf-8"))
        if name not in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{path}::{name}")

    assert len(named) >= 20
    assert missing == []
