"""The checker is silent about whatever happens to a sound log, and speaks up at each fault of another one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.histories.checker import anomalies_of
from tests.property.histories.model_log import TRACES, Fault
from tests.property.histories.random_clients import RandomClients

SEEDS = st.integers(0, 2**32)
STEP_COUNT = 70


@given(seed=SEEDS)
def test_nothing_is_wrong_with_a_history_of_a_sound_log(seed: int) -> None:
    clients = RandomClients(seed, fault=None)

    clients.run(STEP_COUNT, faulty_from=0)

    assert anomalies_of(clients.history) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@given(seed=SEEDS, faulty_from=st.integers(0, STEP_COUNT // 4))
def test_a_fault_that_can_be_seen_is_found(fault: Fault, seed: int, faulty_from: int) -> None:
    clients = RandomClients(seed, fault)

    clients.run(STEP_COUNT, faulty_from)

    assume(clients.log.is_harmed)
    assert {anomaly.kind for anomaly in anomalies_of(clients.history)} & TRACES[fault]
