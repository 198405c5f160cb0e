"""Joins as of a time: which version of a row a record meets, what is forgotten, and what a crash keeps."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

S = 1_000
Sent = tuple[str, Any, Any, float]
"""The topic, ``rate`` or ``pay``; the key; the value; the time in seconds."""


def both(payment: str, rate: str | None) -> str:
    return f"{payment}@{rate}"


def application(
    how: Any = "left", history: str = "100s", partitions: int = 1
) -> tuple[sc.App, dict[str, sc.Topic[str, str]]]:
    app = sc.App("app")
    topics = {name: app.topic(name, key=str, value=str, partitions=partitions) for name in ("rate", "pay")}
    rates = topics["rate"].table("rates", history=history)
    topics["pay"].join(rates, both, as_of=True, how=how).to("out")
    return app, topics


def joined(
    sent: list[Sent],
    how: Any = "left",
    history: str = "100s",
    *,
    crash_after: int | None = None,
    one_by_one: bool = True,
    partitions: int = 1,
) -> list[str]:
    """Return the results of a join of payments with the rates of their time."""
    app, topics = application(how, history, partitions)
    with TopologyDriver(app) as driver:
        for number, (topic, key, value, at_s) in enumerate(sent):
            driver.send(topics[topic], key=key, value=value, at=round(at_s * S))
            if one_by_one:
                driver.process()
            if number == crash_after:
                driver.crash()
        return [record.value for record in driver.read("out")]


IN_TURN: list[Sent] = [("rate", "a", "1", 10), ("rate", "a", "2", 20), ("rate", "a", "3", 30)]


@pytest.mark.parametrize(
    ("at_s", "rate"), [(9.999, None), (10, "1"), (19.999, "1"), (20, "2"), (30, "3"), (29.999, "2")]
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_record_meets_the_value_that_held_at_its_time(
    at_s: float, rate: str | None, one_by_one: bool
) -> None:
    # The first payment takes all rates into the table before the payment that is looked at.
    sent: list[Sent] = [*IN_TURN, ("pay", "b", "x", 31), ("pay", "a", "p", at_s)]

    assert joined(sent, one_by_one=one_by_one)[-1] == f"p@{rate}"


def test_a_join_without_left_leaves_out_records_without_a_value() -> None:
    sent: list[Sent] = [*IN_TURN, ("pay", "a", "p", 9), ("pay", "a", "q", 10), ("pay", "b", "r", 11)]

    assert joined(sent, "inner") == ["q@1"]


def test_a_deletion_is_a_version() -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("rate", "a", None, 20),
        ("rate", "a", "2", 30),
        ("pay", "a", "p", 31),
        ("pay", "a", "q", 29),
        ("pay", "a", "r", 19),
    ]

    assert joined(sent) == ["p@2", "q@None", "r@1"]


@pytest.mark.parametrize("crash_after", [None, 0, 1, 2, 3])
def test_a_version_out_of_order_holds_from_its_time_to_the_next(crash_after: int | None) -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("rate", "a", "3", 30),
        ("rate", "a", "2", 20),
        ("pay", "a", "p", 35),
        ("pay", "a", "q", 25),
        ("pay", "a", "r", 15),
    ]

    assert joined(sent, crash_after=crash_after) == ["p@3", "q@2", "r@1"]


def test_of_two_versions_of_one_time_the_later_one_counts() -> None:
    assert joined([("rate", "a", "1", 10), ("rate", "a", "2", 10), ("pay", "a", "p", 10)]) == ["p@2"]


@pytest.mark.parametrize(("at_s", "rate"), [(900, "1"), (899.999, None)])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_record_that_is_older_than_the_history_has_no_match(
    at_s: float, rate: str | None, one_by_one: bool
) -> None:
    # The last record is older than any history, so that the times of the batch are compared one by one.
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("pay", "b", "x", 1_000),
        ("pay", "a", "p", at_s),
        ("pay", "b", "y", 10),
    ]

    assert joined(sent, one_by_one=one_by_one)[1] == f"p@{rate}"


def test_records_of_one_batch_are_older_than_the_history_each_by_its_own_time() -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("pay", "b", "x", 1_000),
        ("pay", "a", "p", 900),
        ("pay", "a", "q", 899.999),
    ]

    assert joined(sent, one_by_one=False)[-2:] == ["p@1", "q@None"]


@pytest.mark.parametrize("crash_after", [None, 2, 3])
def test_a_value_holds_until_the_next_one_however_old_it_is(crash_after: int | None) -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("rate", "a", "2", 20),
        ("pay", "b", "x", 1_000_000),
        ("pay", "a", "p", 1_000_000),
        ("rate", "a", "3", 1_000_050),
        ("pay", "b", "x", 1_000_060),
        ("pay", "a", "q", 1_000_049),
        ("pay", "a", "r", 1_000_051),
    ]

    found = joined(sent, crash_after=crash_after)

    assert found == ["x@None", "p@2", "x@None", "q@2", "r@3"]


def test_of_the_versions_of_one_bucket_the_last_holds_at_the_beginning_of_the_history() -> None:
    sent: list[Sent] = [("rate", "a", "1", 10), ("rate", "a", "2", 10.1), ("pay", "a", "p", 1_000)]

    assert joined([*sent, ("pay", "a", "q", 1_001)]) == ["p@2", "q@2"]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_version_that_comes_after_a_record_does_not_change_what_the_record_met(one_by_one: bool) -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("pay", "a", "p", 25),
        ("rate", "z", "z", 30),
        ("rate", "a", "2", 20),
        ("pay", "z", "q", 31),
        ("pay", "a", "r", 25),
    ]

    assert joined(sent, one_by_one=one_by_one) == ["p@1", "q@z", "r@2"]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_deletion_before_the_history_is_forgotten_in_whatever_round_the_next_version_comes(
    one_by_one: bool,
) -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("rate", "a", None, 20),
        ("pay", "b", "x", 1_000),
        ("rate", "z", "z", 1_001),
        ("rate", "a", "2", 15),
        ("pay", "a", "p", 1_002),
    ]

    assert joined(sent, one_by_one=one_by_one)[-1] == "p@2"


def test_of_two_versions_of_one_time_before_the_history_the_later_one_counts() -> None:
    sent: list[Sent] = [
        ("rate", "a", "1", 10),
        ("pay", "b", "x", 1_000),
        ("rate", "z", "z", 1_001),
        ("rate", "a", "2", 10),
        ("pay", "a", "p", 1_002),
    ]

    assert joined(sent)[-1] == "p@2"


def test_a_version_older_than_the_history_counts_if_none_is_newer() -> None:
    sent: list[Sent] = [
        ("rate", "z", "z", 1_000),
        ("pay", "b", "x", 1_000),
        ("rate", "a", "2", 20),
        ("rate", "a", "1", 10),
        ("pay", "a", "p", 1_001),
    ]

    assert joined(sent)[-1] == "p@2"


def test_a_version_older_than_the_history_and_than_the_value_that_holds_is_left_out_and_counted() -> None:
    app, topics = application()
    with TopologyDriver(app) as driver:
        for key, value, at_s in (("a", "2", 20), ("z", "z", 1_000)):
            driver.send(topics["rate"], key=key, value=value, at=at_s * S)
        driver.send(topics["pay"], key="b", value="x", at=1_000 * S)
        driver.process()
        driver.send(topics["rate"], key="a", value="1", at=10 * S)
        driver.send(topics["pay"], key="a", value="p", at=1_001 * S)

        assert driver.read("out")[-1].value == "p@2"
        assert driver.late_count == 1


def test_a_key_that_was_deleted_before_the_history_takes_no_room() -> None:
    app, topics = application()
    with TopologyDriver(app) as driver:
        for key in "abc":
            driver.send(topics["rate"], key=key, value="1", at=10 * S)
            driver.send(topics["rate"], key=key, value=None, at=20 * S)
        driver.send(topics["pay"], key="b", value="x", at=1_000 * S)
        driver.process()

        assert list(driver.table("rates.history").all()) == []
        assert list(driver.table("rates.versions").all()) == []


def test_a_bucket_before_the_history_is_deleted_and_leaves_the_value_that_held() -> None:
    app, topics = application()
    with TopologyDriver(app) as driver:
        for second in range(10, 200):
            driver.send(topics["rate"], key="a", value=str(second), at=second * S)
        driver.send(topics["pay"], key="a", value="x", at=200 * S)
        driver.process()
        kept = [version.time_ms for row in driver.table("rates.versions").all() for version in row.value]

        assert min(kept) >= 97 * S
        assert driver.table("rates").get("a").value == "199"  # type: ignore[union-attr]


def test_payments_in_one_round_with_rates_meet_those_before_them() -> None:
    sent: list[Sent] = []
    for second in range(0, 100, 2):
        sent += [("rate", "a", str(second), second), ("pay", "a", str(second + 1), second + 1)]

    found = joined(sent, one_by_one=False)

    assert found == [f"{second + 1}@{second}" for second in range(0, 100, 2)]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_each_key_has_its_own_versions_in_several_partitions(one_by_one: bool) -> None:
    sent: list[Sent] = []
    for second in range(30):
        sent += [("rate", f"k{second % 7}", str(second), second), ("pay", f"k{second % 7}", "p", second)]

    found = joined(sent, one_by_one=one_by_one, partitions=3)

    assert sorted(found) == sorted(f"p@{second}" for second in range(30))


def test_final_results_meet_the_value_of_the_end_of_their_window() -> None:
    app = sc.App("app")
    rate, pay = (app.topic(name, key=str, value=str) for name in ("rate", "pay"))
    counts = pay.tumbling("10s", grace="50s").count("counts").final()
    by_key = counts.map_record(
        lambda found: sc.Record(found.key.key, str(found.value), found.timestamp_ms), key=str, value=str
    )
    by_key.join(rate.table("rates", history="1s"), both, as_of=True, name="rated").to("out")
    with TopologyDriver(app) as driver:
        for second in range(100):
            driver.send(rate, key="a", value=str(second), at=second * S)
            driver.send(pay, key="a", value="p", at=second * S)

        assert [record.value for record in driver.read("out")] == ["10@9", "10@19", "10@29", "10@39"]


def test_a_deletion_without_a_time_holds_from_the_time_of_its_partition() -> None:
    app = sc.App("app")
    rate = app.topic("rate", key=str, value=int, timestamp=lambda value: value)
    pay = app.topic("pay", key=str, value=str)
    rates = rate.table("rates", history="1d")
    pay.join(rates, lambda payment, found: f"{payment}@{found}", as_of=True, how="left", name="j").to("out")
    with TopologyDriver(app) as driver:
        driver.send(rate, key="a", value=10 * S)
        driver.send(rate, key="b", value=20 * S)
        driver.send(rate, key="a", value=None)
        for at_s in (30, 19):
            driver.send(pay, key="a", value="p", at=at_s * S)

        assert [record.value for record in driver.read("out")] == ["p@None", f"p@{10 * S}"]


@pytest.mark.parametrize("policy", [sc.skip, sc.stop])
def test_a_row_without_a_time_is_an_error_of_its_record(policy: Any) -> None:
    app = sc.App("app", on_error=policy)
    rate, pay = (app.topic(name, key=str, value=str) for name in ("rate", "pay"))
    pay.join(rate.table("rates", history="1d"), both, as_of=True, how="left").to("out")
    with TopologyDriver(app) as driver:
        driver.send_bytes(rate, key=b"a", value=b"1", at=-1)
        driver.send(pay, key="a", value="p", at=30 * S)
        if policy is sc.stop:
            with pytest.raises(sc.errors.UserCodeError, match="no time"):
                driver.process()
        else:
            assert [record.value for record in driver.read("out")] == ["p@None"]


def test_the_table_may_be_of_the_topic_that_is_joined() -> None:
    app = sc.App("app")
    rate = app.topic("rate", key=str, value=str)
    rate.join(rate.table("rates", history="1d"), both, as_of=True).to("out")
    with TopologyDriver(app) as driver:
        for value, at_s in (("1", 10), ("2", 20), ("3", 15)):
            driver.send(rate, key="a", value=value, at=at_s * S)

        assert [record.value for record in driver.read("out")] == ["1@1", "2@2", "3@3"]


def test_a_query_at_a_time_finds_the_value_that_held_then() -> None:
    app, topics = application(history="100s", partitions=2)
    with TopologyDriver(app) as driver:
        for key, value, at_s in [
            ("a", "1", 10),
            ("a", None, 20),
            ("b", "2", 20),
            ("a", "3", 900),
            ("a", "4", 950),
        ]:
            driver.send(topics["rate"], key=key, value=value, at=at_s * S)
        table = driver.table("rates")

        found = [table.get("a", at=at_s * S) for at_s in (9, 10, 19, 20, 899, 900, 949, 950, 2_000)]
        values = [None if answer is None else answer.value for answer in found]
        assert values == [None, "1", "1", None, None, "3", "3", "4", "4"]

        for partition in range(2):
            driver.send_bytes(topics["pay"], key=b"x", value=b"p", at=1_000 * S, partition=partition)
        table = driver.table("rates")
        assert table.get("a", at=15 * S) is None
        assert table.get("b", at=1_000 * S).value == "2"  # type: ignore[union-attr]
        assert table.get("a").value == "4"  # type: ignore[union-attr]
        assert table.get("c", at=15 * S) is None


def test_an_as_of_join_needs_a_table_that_keeps_a_history() -> None:
    app = sc.App("app")
    rate, pay = (app.topic(name, key=str, value=str) for name in ("rate", "pay"))
    kept = rate.table("kept", history="1d")
    derived = kept.map(str, name="derived")
    tables: list[Any] = [rate.table("rates"), rate.global_table("all"), pay.count("counts"), derived]
    for table in tables:
        with pytest.raises(TopologyError, match=r"topic\.table\(name, history='1d'\)"):
            pay.join(table, both, as_of=True)


def test_a_table_with_a_history_is_a_table_like_others() -> None:
    app = sc.App("app")
    rate, pay = (app.topic(name, key=str, value=str) for name in ("rate", "pay"))
    rates, paid = rate.table("rates", history="1d"), pay.table("paid")
    rates.join(paid, both, name="first").updates().to("out")
    paid.join(rates, both, name="second").updates().to("out")
    pay.join(rates, both).to("out")
    with TopologyDriver(app) as driver:
        driver.send(rate, key="a", value="1", at=10 * S)
        driver.send(pay, key="a", value="p", at=15 * S)

        assert sorted(record.value for record in driver.read("out")) == ["1@p", "p@1", "p@1"]


def test_as_of_is_for_tables_only() -> None:
    app = sc.App("app")
    rate, pay = (app.topic(name, key=str, value=str) for name in ("rate", "pay"))

    with pytest.raises(TopologyError, match="as_of= is for tables"):
        pay.join(rate, both, as_of=True, before="1s", after="1s")  # type: ignore[call-overload]


@pytest.mark.parametrize("history", ["0s", "-1s", "often", 1.5])
def test_a_history_is_a_duration_above_zero(history: Any) -> None:
    with pytest.raises(TopologyError, match="history="):
        sc.App("app").topic("rate", key=str, value=str).table("rates", history=history)


def test_a_description_shows_the_history() -> None:
    text = application()[0].describe()

    assert "left as-of join <- pay (table rates)" in text
    assert "rates.versions (history of 100s, changelog app-rates.versions-changelog)" in text
