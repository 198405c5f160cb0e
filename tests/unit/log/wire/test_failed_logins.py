"""Who guesses passwords waits, and costs a bounded amount of memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.wire.failed_logins import FailedLogins


def waits(failures: FailedLogins, count: int, *, every_s: float = 1.0) -> list[float]:
    """Fail so often, and return the wait after each failure."""
    found = []
    for number in range(count):
        failures.add("host", number * every_s)
        found.append(failures.wait_s("host", number * every_s))
    return found


def test_a_few_failures_cost_nothing_and_then_each_doubles_the_wait_up_to_a_bound() -> None:
    assert waits(FailedLogins(), 10) == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]


def test_the_wait_stays_bounded_over_any_number_of_failures() -> None:
    assert waits(FailedLogins(), 5_000)[-1] == 2


def test_other_addresses_do_not_wait() -> None:
    failures = FailedLogins()
    waits(failures, 10)

    assert failures.wait_s("other", 10) == 0


def test_an_address_that_has_not_failed_for_a_while_is_forgotten() -> None:
    failures = FailedLogins()
    waits(failures, 10)

    assert failures.wait_s("host", 9 + 59) == 2
    assert failures.wait_s("host", 9 + 60) == 0

    failures.add("other", 9 + 60)
    assert len(failures) == 1


@given(hosts=st.lists(st.integers(0, 50), max_size=200))
def test_no_more_addresses_are_remembered_than_allowed(hosts: list[int]) -> None:
    failures = FailedLogins(addresses_max=10)

    for moment, host in enumerate(hosts):
        failures.add(str(host), moment / 100)

    latest = list(dict.fromkeys(reversed(hosts)))[:10]
    assert len(failures) == min(10, len(set(hosts)))
    assert all(failures._failures[str(host)] for host in latest)
