"""Error policies as they are declared."""

from __future__ import annotations

import pytest

from streamcore.errors import UsageError
from streamcore.processing.topology.error_policy import DeadLetter, Retry, dead_letter, retry


def test_a_retry_waits_as_long_as_told() -> None:
    assert retry(3) == Retry(3, 100)
    assert retry(times=5, backoff="2s") == Retry(5, 2_000)


def test_a_retry_happens_at_least_once() -> None:
    with pytest.raises(UsageError, match="times=0"):
        retry(0)


def test_a_dead_letter_names_its_topic() -> None:
    assert dead_letter("failed") == DeadLetter("failed")
