"""The log of failures under a policy that goes on: a few lines of each step, and numbers of all."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.failures import FailureLog


def test_a_node_that_fails_for_ever_has_a_few_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    failures = FailureLog(lambda: now_s[0])
    record: sc.Record[Any, Any] = sc.Record(b"k", b"v", 0, (), "events", 1, 7)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            failures.count("step", "skip", record, ValueError("no"))
        now_s[0] = 61.0
        failures.count("step", "skip", record, ValueError("no"))

    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == 12
    assert "topic=events partition=1 offset=7 key=b'k' value=b'v' error=ValueError: no" in lines[0]
    assert "failures=90" in lines[10]
    assert failures.counts == {("step", "skip"): 101}
