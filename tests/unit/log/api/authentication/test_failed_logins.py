"""Who guesses passwords waits, and costs a bounded amount of memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.api.authentication.failed_logins import OF_ADDRESS, OF_USER, FailedLogins

HOST = "10.0.0.1"


def fail(failures: FailedLogins, user: str, count: int, now_s: float = 0.0) -> None:
    for _ in range(count):
        failures.add(HOST, user, now_s)


def test_a_few_failures_cost_nothing_and_each_one_after_them_another_second() -> None:
    failures = FailedLogins()
    waits = []
    for _ in range(6):
        waits.append(failures.wait_s(HOST, "alice", 0))
        fail(failures, "alice", 1)

    assert waits == [0, 0, 0, 0, 1, 2]


def test_one_failure_a_second_is_never_too_many() -> None:
    failures = FailedLogins()
    for second in range(1_000):
        failures.add(HOST, "alice", second)

    assert failures.wait_s(HOST, "alice", 1_000) == 0


def test_the_wait_is_bounded_and_over_soon_after_the_last_failure() -> None:
    failures = FailedLogins()
    fail(failures, "alice", 10_000)

    assert failures.wait_s(HOST, "alice", 0) == OF_USER.wait_s_max
    assert failures.wait_s(HOST, "alice", OF_USER.wait_s_max) == 0


def test_other_users_of_the_address_and_the_user_at_other_addresses_do_not_wait() -> None:
    failures = FailedLogins()
    fail(failures, "alice", 50)

    assert failures.wait_s(HOST, "alice", 0) > 0
    assert failures.wait_s(HOST, "bob", 0) == 0
    assert failures.wait_s("10.0.0.2", "alice", 0) == 0


def test_an_address_that_tries_many_users_waits_for_all_of_them() -> None:
    failures = FailedLogins()
    for number in range(10_000):
        failures.add(HOST, str(number), 0)

    assert failures.wait_s(HOST, "bob", 0) == OF_ADDRESS.wait_s_max
    assert failures.wait_s(HOST, "bob", OF_ADDRESS.wait_s_max) == 0


def test_failures_that_are_long_ago_are_forgotten() -> None:
    failures = FailedLogins()
    fail(failures, "alice", 3)

    failures.add("10.0.0.2", "bob", 1_000)

    assert len(failures) == 2


@given(users=st.lists(st.integers(0, 50), max_size=200))
def test_no_more_is_remembered_than_allowed_and_what_failed_last_is(users: list[int]) -> None:
    failures = FailedLogins(keys_max=10)

    for user in users:
        fail(failures, str(user), 4)

    latest = list(dict.fromkeys(reversed(users)))[:10]
    assert len(failures) == min(10, len(set(users))) + bool(users)
    assert all(failures.wait_s(HOST, str(user), 0) >= 1 for user in latest)
