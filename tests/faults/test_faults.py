"""Each fault is found by the test that is listed beside it: ``make faults``.

A fault is put into a module while a process imports it, and the one test runs in that process. It must fail.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.listed import AREAS, FAULTS

PROJECT = Path(__file__).resolve().parent.parent.parent
TESTS = PROJECT / "tests"
FAILED = 1
"""The exit status of pytest where tests ran and some failed. One that cannot be collected gives another."""


pytestmark = pytest.mark.faults


def test_no_two_faults_have_one_name() -> None:
    assert len(FAULTS) == sum(len(faults) for faults in AREAS.values())


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_change_of_one_place_that_compiles(name: str) -> None:
    fault = FAULTS[name]
    source = (PROJECT / "streamcore" / fault.module).read_text("utf-8")

    compile(fault.put_into(source), fault.module, "exec", dont_inherit=True)


def test_the_tests_that_find_faults_exist() -> None:
    missing = []
    for fault in FAULTS.values():
        file, _, test = fault.found_by.partition("::")
        tree = (
            ast.parse((TESTS / file).read_text("utf-8")) if (TESTS / file).is_file() else ast.Module([], [])
        )
        if test.partition("[")[0] not in {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef)
        }:
            missing.append(fault.found_by)

    assert missing == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    environment = {
        **os.environ,
        "STREAMCORE_FAULT": name,
        "HYPOTHESIS_PROFILE": "faults",
        # No plugin is needed; importing those that are installed takes a tenth of a run.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [
        *(sys.executable, "-m", "pytest", "-p", "tests.faults.injected", "-p", "no:cacheprovider"),
        *("-x", "-m", "slow or not slow", f"tests/{FAULTS[name].found_by}"),
    ]

    run = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )

    assert run.returncode == FAILED, run.stdout[-3000:] + run.stderr[-3000:]
