"""Applications that are drawn from a seed give what the interpreter gives, whatever crashes.

The property of ``tests/property/test_applications_equal_events`` for other examples: each seed draws some
applications with all steps, windows and joins, their records, how these are cut, and when the machine fails.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from streamcore.processing.dsl.app import App
from tests.property.test_applications_equal_events import DRAWN, ensure_equal_to_events

SEEDS = max(1, int(os.environ.get("SIMULATION_SEEDS", "4")) // 8)


@pytest.mark.parametrize("number", range(SEEDS))
def test_a_drawn_application_gives_what_the_interpreter_gives(number: int) -> None:
    @seed(number)
    @settings(
        max_examples=8,
        derandomize=False,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DRAWN, st.data())
    def drawn(app: App, data: st.DataObject) -> None:
        ensure_equal_to_events(app, data)

    drawn()
