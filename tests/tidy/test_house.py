"""The code's own properties: what a reader may rely on in every file, checked rather than hoped for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.protocol.apis import APIS

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("streamcore", "apps")
LINES_MAX = 500
TEST_LINES_MAX = 600  # a suite for one port stays in one file

TEXT_SUFFIXES = {".py", ".md", ".toml", ".lock", ".txt", ".xml", ".cfg", ".ini", ".yml", ".yaml", ".json", ""}
SKIPPED_FOLDERS = {"build", "dist", "node_modules", "__pycache__", "fleet-data", "streamcore-data", "target"}
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:" + "|".join(("work", "root", "home", "Users", "opt/wheels")) + r")/[\w.]"
)

ENTRY_POINTS = {
    "streamcore",  # what users import
    "streamcore.cli.main",  # the command, named in pyproject.toml
    "streamcore.__main__",
    "streamcore.processing.topology.meaning.interpreter",  # the specification: tests hold the operators to it
}
"""Modules that nothing has to import, because they are started, imported from outside, or held against."""

LOADED_BY_TABLE = {
    *(api.module for api in APIS.values()),
    *(f"streamcore.log.api.handlers.{function.split('.')[0]}" for function in HANDLERS.values()),
}
"""Modules that are loaded when a client first asks for what is in them."""


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def project_texts() -> Iterator[Path]:
    """Every text file of the project: nothing hidden but .ci and .importlinter, nothing that was built."""
    for path in sorted(PROJECT.iterdir()):
        if path.name in {".ci", ".github", ".importlinter"} or not path.name.startswith("."):
            for file in [path] if path.is_file() else path.rglob("*"):
                parts = file.relative_to(PROJECT).parts
                hidden = any(part.startswith(".") for part in parts[1:])
                built = any(part in SKIPPED_FOLDERS or part.endswith(".egg-info") for part in parts)
                if file.is_file() and file.suffix in TEXT_SUFFIXES and not hidden and not built:
                    yield file


def imported_modules(path: Path) -> Iterator[str]:
    """The names of modules that a file may import; for ``from a import b`` both ``a`` and ``a.b``.

    A file that imports by name is believed to import the siblings that it names in a text.
    """
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    source = path.read_text("utf-8")
    imports_by_name = "import_module(" in source
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*above, origin] if origin else above)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif imports_by_name and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{package}.{node.value}"
            yield node.value


def test_a_module_says_what_it_is_for() -> None:
    silent = [
        module_name(path)
        for path in source_files(*PACKAGES, "bench")
        if not ast.get_docstring(parsed(path))
        # An empty package file: the folder's modules speak for themselves.
        and not (path.name == "__init__.py" and not path.read_text("utf-8").strip())
    ]

    assert silent == []


def test_a_module_is_short_enough_to_hold_one_noun() -> None:
    long = []
    for path in source_files(*PACKAGES, "tests", "bench"):
        lines = len(path.read_text("utf-8").splitlines())
        lines_max = TEST_LINES_MAX if module_name(path).startswith("tests.") else LINES_MAX
        if lines <= lines_max:
            continue
        imports = (node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom))
        lines -= sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in imports)
        if lines > lines_max:
            long.append(f"{module_name(path)}: {lines}")

    assert long == []


def test_nothing_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{path.relative_to(PROJECT)}: {match.group(0)}"
        for path in project_texts()
        for match in MACHINE_PATH.finditer(path.read_text("utf-8", errors="replace"))
    ]

    assert found == []


def test_lock_files_name_versions_and_no_hosts() -> None:
    for path in PROJECT.glob("requirements*.lock"):
        for line in path.read_text("utf-8").splitlines():
            assert line.startswith("#") or re.match(r"[a-z0-9-]+==[\w.]+( ; .+)?$", line), (
                f"{path.name}: {line}"
            )


def test_every_module_is_imported_by_another_one() -> None:
    names = {module_name(path) for path in source_files(*PACKAGES)}
    imported = {
        name
        for path in source_files(*PACKAGES)
        for name in imported_modules(path)
        if name != module_name(path)
    }
    packages = {module_name(path) for path in source_files(*PACKAGES) if path.name == "__init__.py"}

    dead = {
        name
        for name in names - imported - packages - ENTRY_POINTS - LOADED_BY_TABLE
        if not name.startswith("apps.")
    }

    assert dead == set()


def test_inside_the_package_nobody_imports_the_facade() -> None:
    """``import streamcore as sc`` is for users; inside it would hide which layer is meant."""
    names = {module_name(path) for path in source_files("streamcore")}
    found = []
    for path in source_files("streamcore"):
        if path == PROJECT / "streamcore" / "__init__.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                found += [module_name(path) for alias in node.names if alias.name == "streamcore"]
            elif isinstance(node, ast.ImportFrom) and node.module == "streamcore" and not node.level:
                found += [
                    module_name(path) for alias in node.names if f"streamcore.{alias.name}" not in names
                ]

    assert found == []


def text_pieces(node: ast.expr) -> list[ast.expr | str]:
    """Return the texts and expressions that an expression joins, in order."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return [*text_pieces(left), *text_pieces(right)]
        case ast.JoinedStr(values):
            return [piece for value in values for piece in text_pieces(value)]
        case ast.FormattedValue(value):
            return text_pieces(value)
        case ast.Constant(str() as text):
            return [text]
        case _:
            return [node]


def test_messages_join_their_facts_by_a_colon() -> None:
    """After the text of another error, which has facts already, a space is enough."""
    found = set()
    for path in source_files("streamcore"):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.BinOp | ast.JoinedStr):
                continue
            for before, piece in pairwise(text_pieces(node)):
                is_facts = isinstance(piece, ast.Call) and ast.unparse(piece.func) == "fact_text"
                is_facts |= isinstance(piece, ast.Name) and piece.id == "facts"
                if not isinstance(before, str):
                    continue
                is_joined = is_facts and before != " " and not before.endswith(": ")
                if is_joined or re.search(r"[\w)`'][,.;]? [a-z_]+=$", before):
                    found.add(f"{path.name}:{node.lineno} {before[-30:]!r}")

    assert not found
