"""What ``import streamcore as sc`` gives: every public name, once for programs and once for type checkers."""

from __future__ import annotations

import ast
import importlib.metadata
import pydoc
import runpy
import sys
from pathlib import Path

import pytest

import streamcore as sc
from streamcore import errors


def names_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(sc.__file__).read_text("utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom):
                    found |= {alias.asname or "not exported" for alias in statement.names}
                elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    found.add(statement.target.id)
    return found


def test_every_public_name_can_be_loaded_and_is_known_to_type_checkers() -> None:
    assert sorted(sc.__all__) == sorted(names_for_type_checkers())
    for name in sc.__all__:
        assert getattr(sc, name) is not None


def test_all_errors_are_public() -> None:
    own = vars(errors).items()
    raised = {name for name, value in own if getattr(value, "__module__", "") == errors.__name__}
    raised -= {"fact_text", "with_facts"}

    assert raised <= set(sc.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Ap'"):
        sc.Ap  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    assert sc.__version__ == importlib.metadata.version("streamcore")


def test_help_begins_with_a_map_of_the_names() -> None:
    text = pydoc.plain(pydoc.render_doc(sc))
    page = text[: text.index("PACKAGE CONTENTS")]

    lower_errors = {name for name in sc.__all__ if name.endswith("Error")} - {"StreamCoreError"}
    missing = [name for name in sc.__all__ if name not in page and name not in lower_errors]
    assert missing == ["__version__"]


def test_the_package_can_be_run_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["streamcore", "--help"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("streamcore", run_name="__main__")

    assert ended.value.code == 0
    assert "Usage: streamcore" in capsys.readouterr().out
