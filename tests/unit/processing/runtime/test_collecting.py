"""The garbage collector is paced while somebody works in batches, and is the program's own otherwise."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from streamcore.processing.runtime.collecting import YOUNG_OBJECTS_MAX, CollectorPace


@pytest.fixture(autouse=True)
def default_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_collector_is_paced_until_the_last_holder_lets_go() -> None:
    pace = CollectorPace()

    with pace.held():
        with pace.held():
            assert gc.get_threshold()[0] == YOUNG_OBJECTS_MAX
        assert gc.get_threshold()[0] == YOUNG_OBJECTS_MAX

    assert gc.get_threshold() == (700, 10, 10)


def test_a_block_that_fails_puts_the_thresholds_back() -> None:
    pace = CollectorPace()

    with pytest.raises(ValueError), pace.held():
        raise ValueError

    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (YOUNG_OBJECTS_MAX * 2, 5, 5)])
def test_thresholds_that_the_program_chose_wider_or_off_are_left_alone(chosen: tuple[int, int, int]) -> None:
    pace = CollectorPace()
    gc.set_threshold(*chosen)

    with pace.held():
        assert gc.get_threshold() == chosen

    assert gc.get_threshold() == chosen
