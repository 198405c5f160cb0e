"""Several streams into one table: a function of each stream adds to one accumulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing.topology_driver import TopologyDriver


@dataclass(frozen=True)
class Payment:
    customer: str
    cents: int


@dataclass(frozen=True)
class Account:
    paid: int = 0
    logins: tuple[str, ...] = ()


def add_payment(account: Account, payment: Payment) -> Account:
    return replace(account, paid=account.paid + payment.cents)


def add_login(account: Account, device: str) -> Account:
    return replace(account, logins=(*account.logins, device))


def united(earlier: Account, later: Account) -> Account:
    return Account(earlier.paid + later.paid, earlier.logins + later.logins)


def declared(app: sc.App, partitions: int = 2) -> Any:
    payments = app.topic("payments", key=str, value=Payment, partitions=3)
    logins = app.topic("logins", key=str, value=str, partitions=partitions)
    by_customer = payments.group_by(lambda payment: payment.customer, key=str, name="by-customer")
    return sc.cogroup(by_customer.by(add_payment), logins.by(add_login))


@pytest.mark.parametrize("batch_records", [1, 100])
def test_each_stream_adds_with_its_function_through_its_own_repartition_and_a_crash(
    batch_records: int,
) -> None:
    app = sc.App("app")
    accounts = declared(app).aggregate("accounts", initial=Account())
    accounts.updates().to("updates")
    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(6):
            driver.send(
                "payments", key=f"p{number}", value=Payment("ann" if number % 2 else "ben", number), at=number
            )
            driver.send("logins", key="ann", value=f"d{number}", at=number)
            if number == 3:
                driver.process()
                driver.crash()
        found = {answer.key: answer.value for answer in driver.table("accounts").all()}
        updates = driver.read("updates")

    assert found == {"ann": Account(9, ("d0", "d1", "d2", "d3", "d4", "d5")), "ben": Account(6)}
    assert len(updates) == 12


def test_values_that_are_missing_are_left_out_and_failing_ones_follow_the_policy() -> None:
    app = sc.App("app", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int)
    halves = numbers.map(lambda number: None if number == 2 else number, name="halves")
    table = sc.cogroup(
        numbers.by(lambda total, number: total + 100 // number),
        halves.by(lambda total, number: total + number),
    ).aggregate("table", initial=int)
    table.updates().to("updates")
    with TopologyDriver(app) as driver:
        for number in (1, 0, 2):
            driver.send(numbers, key="k", value=number)
        assert [answer.value for answer in driver.table("table").all()] == [100 + 1 + 50]


@pytest.mark.parametrize("batch_records", [1, 100])
def test_windows_and_sessions_hold_the_values_of_all_streams(batch_records: int) -> None:
    app = sc.App("app")
    streams = declared(app)
    streams.tumbling("10s").aggregate("windows", initial=Account).final().to("closed")
    streams.session("5s", grace="1m").aggregate("sessions", initial=Account, merge=united)
    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for at_s, cents, device in ((1, 5, None), (9, None, "phone"), (5, None, "desk"), (12, 7, None)):
            if cents is None:
                driver.send("logins", key="ann", value=device, at=at_s * 1_000)
            else:
                driver.send("payments", key="p", value=Payment("ann", cents), at=at_s * 1_000)
        sessions = [(answer.key.start_ms, answer.value) for answer in driver.table("sessions").windows("ann")]
        windows = [(answer.key.start_ms, answer.value) for answer in driver.table("windows").windows("ann")]

    assert [(start_ms, found.paid, sorted(found.logins)) for start_ms, found in sessions] == [
        (1_000, 12, ["desk", "phone"])
    ]
    assert [(start_ms, found.paid, sorted(found.logins)) for start_ms, found in windows] == [
        (0, 5, ["desk", "phone"]),
        (10_000, 7, []),
    ]


def test_a_cogroup_takes_streams_of_one_key_and_application_with_their_functions() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    other_keys = app.topic("others", key=int, value=int)
    elsewhere = sc.App("elsewhere").topic("numbers", key=str, value=int)

    def add(total: int, number: int) -> int:
        return total + number

    wrong: Any = sc.cogroup
    unchecked: Any = numbers
    calls: list[tuple[Any, str]] = [
        (lambda: wrong(), "name the streams"),
        (lambda: wrong(numbers), "each stream says how it adds"),
        (lambda: wrong(numbers.by(add), other_keys.by(add)), "keys of one type"),
        (lambda: wrong(numbers.by(add), elsewhere.by(add)), "one application"),
        (lambda: unchecked.by(len), "accumulator, value"),
        (lambda: wrong(numbers.by(add)).tumbling("-1s"), "window's size"),
        (lambda: wrong(numbers.by(add)).session("1s").aggregate("t", initial=0), "merge="),
        (lambda: wrong(numbers.by(add)).aggregate("no name", initial=0), "name the table"),
    ]
    for call, message in calls:
        with pytest.raises(TopologyError, match=rf"(?s){message}.*at=.*test_cogroup.py"):
            call()


def test_keys_share_no_initial_accumulator_that_functions_change_in_place() -> None:
    def noted(found: list[str], word: str) -> list[str]:
        found.append(word)
        return found

    app = sc.App("app")
    words = app.topic("words", key=str, value=str)
    sc.cogroup(words.by(noted)).aggregate("noted", initial=[], value=list[str])
    with TopologyDriver(app) as driver:
        for key in ("a", "b", "a"):
            driver.send(words, key=key, value=f"of {key}")

        found = {answer.key: answer.value for answer in driver.table("noted").all()}

    assert found == {"a": ["of a", "of a"], "b": ["of b"]}
