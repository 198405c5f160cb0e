"""Settings that all tests share: how Hypothesis searches, and where the project is.

The default profile, ``repeatable``, tries the same examples in each run, so that a red test is red for
everybody. ``thorough`` tries four times as many, also the same in each run, for continuous integration.
``HYPOTHESIS_PROFILE=searching`` looks for new examples. No profile has a deadline: the machine may be busy.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

for name, example_count in (("repeatable", 25), ("thorough", 100)):
    settings.register_profile(
        name,
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=example_count,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.register_profile(
    "searching",
    deadline=None,
    max_examples=1000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the project."""
    return Path(__file__).resolve().parent.parent


gc.disable()  # collecting ten thousand tests makes no garbage


def pytest_collection_finish() -> None:
    """Keep the collected tests out of the garbage collector's later passes."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Give the frozen objects back, so that modules with native code can free theirs at exit."""
    gc.unfreeze()
