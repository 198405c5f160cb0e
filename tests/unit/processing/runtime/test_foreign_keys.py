"""Foreign-key joins of tables: what is in the result, and which changes it emits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import streamcore as sc
from streamcore.errors import TopologyError, UserCodeError
from streamcore.testing import TopologyDriver


class Order(NamedTuple):
    customer: str | None
    cents: int = 1


def rows_of(driver: TopologyDriver, table: str) -> dict[Any, Any]:
    return {answer.key: answer.value for answer in driver.table(table).all()}


def changes_of(driver: TopologyDriver, topic: str = "changes") -> list[tuple[Any, Any]]:
    return [(record.key, record.value) for record in driver.read(topic)]


def customer_of(text: str) -> str | None:
    """The foreign key of ``what>customer``; none of ``what>``."""
    return text.partition(">")[2] or None


def both(value: str, other: str | None) -> str:
    return f"{value} {other}"


def joined(how: Any, **options: Any) -> sc.App:
    app = sc.App("join", on_error=sc.dead_letter("dead"))
    left = app.topic("left", key=str, value=str, partitions=options.get("left_partitions", 3)).table("lefts")
    right = app.topic("right", key=str, value=str, partitions=2).table("rights")
    left.join(right, both, on=customer_of, how=how, name="both").to_stream().to(
        app.topic("changes", key=str, value=str, partitions=1)
    )
    return app


# -- the cases of Kafka's tests, by what they mean

L, R = "left", "right"
CASES: list[tuple[Any, ...]] = [
    # what happens, side, key, value: changes of the inner, of the left join
    ("a left row without a right one", L, "a", "1>x", [], [("a", "1>x None")]),
    ("another left row of the same key", L, "b", "2>x", [], [("b", "2>x None")]),
    (
        "the right row of both",
        R,
        "x",
        "X",
        [("a", "1>x X"), ("b", "2>x X")],
        [("a", "1>x X"), ("b", "2>x X")],
    ),
    ("a right row of no left one", R, "y", "Y", [], []),
    ("a left row with a right one", L, "c", "3>y", [("c", "3>y Y")], [("c", "3>y Y")]),
    ("another value, the same foreign key", L, "a", "4>x", [("a", "4>x X")], [("a", "4>x X")]),
    ("the same value again", L, "a", "4>x", [("a", "4>x X")], [("a", "4>x X")]),
    ("another foreign key", L, "a", "4>y", [("a", "4>y Y")], [("a", "4>y Y")]),
    ("a change of the former right row", R, "x", "X2", [("b", "2>x X2")], [("b", "2>x X2")]),
    (
        "a change of the new right row",
        R,
        "y",
        "Y2",
        [("a", "4>y Y2"), ("c", "3>y Y2")],
        [("a", "4>y Y2"), ("c", "3>y Y2")],
    ),
    ("a foreign key without a right row", L, "a", "4>z", [("a", None)], [("a", "4>z None")]),
    ("another one without a right row", L, "a", "5>w", [], [("a", "5>w None")]),
    ("no foreign key", L, "a", "6>", [], [("a", "6> None")]),
    ("no foreign key, another value", L, "a", "7>", [], [("a", "7> None")]),
    ("a right row that was referred to", R, "z", "Z", [], []),
    ("a foreign key again", L, "a", "7>z", [("a", "7>z Z")], [("a", "7>z Z")]),
    ("no foreign key, where one was", L, "a", "7>", [("a", None)], [("a", "7> None")]),
    ("the deletion of a left row without one", L, "a", None, [], [("a", None)]),
    ("its deletion again", L, "a", None, [], []),
    (
        "the deletion of a right row",
        R,
        "y",
        None,
        [("c", None)],
        [("c", "3>y None")],
    ),
    ("its deletion again", R, "y", None, [], [("c", "3>y None")]),
    ("a right row that comes back", R, "y", "Y3", [("c", "3>y Y3")], [("c", "3>y Y3")]),
    ("the deletion of a left row", L, "c", None, [("c", None)], [("c", None)]),
    ("a change of its right row", R, "y", "Y4", [], []),
    ("a left row that comes back", L, "c", "3>y", [("c", "3>y Y4")], [("c", "3>y Y4")]),
    ("the deletion of a right row of nobody", R, "z", None, [], []),
    ("the deletion of a row that was never there", L, "d", None, [], []),
]


@pytest.mark.parametrize(("how", "column"), [("inner", 4), ("left", 5)])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_foreign_key_join_emits_the_changes_of_its_rows(how: Any, column: int, crashes: bool) -> None:
    with TopologyDriver(joined(how)) as driver:
        for number, case in enumerate(CASES):
            what, side, key, value, *_ = case
            driver.send(side, key=key, value=value)
            driver.process()
            if crashes and number % 6 == 5:
                driver.crash()

            assert sorted(changes_of(driver), key=repr) == sorted(case[column], key=repr), what

        assert rows_of(driver, "both") == {"b": "2>x X2", "c": "3>y Y4"}
        assert set(rows_of(driver, "both-references")) == {(b"x", b"b"), (b"y", b"c")}
        assert rows_of(driver, "both-foreign-keys") == {"b": b"x", "c": b"y"}
        assert set(rows_of(driver, "both-rows")) == {"b", "c"}


@pytest.mark.parametrize("how", ["inner", "left"])
def test_what_is_sent_together_ends_in_the_same_rows(how: Any) -> None:
    with TopologyDriver(joined(how), slice_records_max=3) as driver:
        for _, side, key, value, *_ in CASES:
            driver.send(side, key=key, value=value)

        assert rows_of(driver, "both") == {"b": "2>x X2", "c": "3>y Y4"}


def test_an_answer_for_an_older_value_is_left_out() -> None:
    app = sc.App("stale")
    left = app.topic("left", key=str, value=str, partitions=1).table("lefts")
    right = app.topic("right", key=str, value=str, partitions=1).table("rights")
    left.join(right, both, on=customer_of, name="both").to_stream().to("changes")

    with TopologyDriver(app) as driver:
        for key in ("x", "y"):
            driver.send("right", key=key, value=key.upper())
        driver.process()
        # All three changes are sent before the first reference is answered.
        for value in ("1>x", "2>y", "3>y"):
            driver.send("left", key="a", value=value)

        assert changes_of(driver) == [("a", "3>y Y")]


def test_a_row_takes_the_time_of_the_change_that_made_it() -> None:
    with TopologyDriver(joined("inner")) as driver:
        for side, key, value, at in [(R, "x", "X", 5_000), (L, "a", "1>x", 9_000), (R, "x", "X2", 7_000)]:
            driver.send(side, key=key, value=value, at=at)
            driver.process()

        found = [(record.value, record.timestamp_ms) for record in driver.read("changes")]
        assert found == [("1>x X", 9_000), ("1>x X2", 7_000)]


# -- keys


KEYS: list[tuple[Any, Any, dict[str, Any], list[Any]]] = [
    (int, int, {}, [1, 2, -3, 2**40]),
    (int, int, {"codec": "msgpack"}, [1, 2, -3, 2**40]),
    (str, int, {}, [1, 2, 3]),
    (float, tuple[str, int], {}, [("a", 1), ("a", 2), ("a\x00", 1)]),
    (str, str, {}, ["", "a", "a\x00", "ab"]),
    (str, None, {}, ["a", 1, 1.5, ("a", 1)]),
]


@pytest.mark.parametrize(("key_type", "foreign_type", "codec", "foreign_keys"), KEYS)
def test_keys_of_any_type_meet(
    key_type: Any, foreign_type: Any, codec: dict[str, Any], foreign_keys: list[Any]
) -> None:
    app = sc.App("keys")
    left = app.topic("left", key=key_type, value=int, partitions=3).table("lefts")
    right = app.topic("right", key=foreign_type, value=str, partitions=2, **codec).table("rights")
    left.join(
        right,
        lambda value, other: f"{value} {other}",
        on=lambda value: foreign_keys[value % len(foreign_keys)],
        name="both",
        value=str,
    )

    with TopologyDriver(app) as driver:
        for key in foreign_keys:
            driver.send("right", key=key, value=f"row {key!r}")
        for value in range(10):
            driver.send("left", key=key_type(value), value=value)

        expected = {
            key_type(value): f"{value} row {foreign_keys[value % len(foreign_keys)]!r}" for value in range(10)
        }
        assert rows_of(driver, "both") == expected


def test_a_table_refers_to_itself() -> None:
    app = sc.App("staff")
    staff = app.topic("staff", key=str, value=Order, partitions=2).table("people")
    staff.join(
        staff,
        lambda person, boss: f"{person.cents} under {boss.cents if boss else 'none'}",
        on=lambda person: person.customer,
        how="left",
        name="reports",
        value=str,
    )

    with TopologyDriver(app) as driver:
        driver.send("staff", key="ada", value=Order(None, 1))
        driver.send("staff", key="bo", value=Order("ada", 2))
        driver.send("staff", key="cy", value=Order("cy", 3))
        driver.send("staff", key="di", value=Order("bo", 4))
        driver.send("staff", key="bo", value=Order("ada", 5))
        driver.process()
        driver.crash()
        driver.send("staff", key="ada", value=None)

        assert rows_of(driver, "reports") == {"bo": "5 under none", "cy": "3 under 3", "di": "4 under 5"}


def test_results_go_on_as_tables_and_streams() -> None:
    app = sc.App("chain")
    orders = app.topic("orders", key=int, value=Order, partitions=3).table("orders-table")
    customers = app.topic("customers", key=str, value=str, partitions=2).table("customers-table")
    cities = app.topic("cities", key=str, value=str).table("cities-table")
    notes = app.topic("notes", key=int, value=str, partitions=3)

    @orders.join(customers, on=lambda order: order.customer)
    def city(order: Order, where: str) -> Order:
        return Order(where, order.cents)

    @city.join(cities, on=lambda order: order.customer, how="left")
    def country(order: Order, found: str | None) -> str:
        return f"{order.customer} in {found}"

    country.group_by(lambda text: text, key=str).count("by-place")
    country.filter(lambda text: "None" not in text, name="known")
    country.join(orders, lambda text, order: f"{text} {order.cents}", name="beside", value=str)
    notes.join(country, lambda note, text: f"{note} {text}", value=str).to("noted")

    with TopologyDriver(app) as driver:
        driver.send("customers", key="ada", value="Oslo")
        driver.send("cities", key="Oslo", value="Norway")
        for key in (1, 2):
            driver.send("orders", key=key, value=Order("ada", key))
        driver.process()
        driver.send("notes", key=2, value="note")
        driver.process()
        driver.send("customers", key="bo", value="Rome")
        driver.send("orders", key=1, value=Order("bo", 7))

        assert rows_of(driver, "country") == {1: "Rome in None", 2: "Oslo in Norway"}
        assert rows_of(driver, "known") == {2: "Oslo in Norway"}
        assert rows_of(driver, "beside") == {1: "Rome in None 7", 2: "Oslo in Norway 2"}
        counts = {key: count for key, count in rows_of(driver, "by-place").items() if count}
        assert counts == {"Rome in None": 1, "Oslo in Norway": 1}
        assert changes_of(driver, "noted") == [(2, "note Oslo in Norway")]


def test_aggregations_are_joined_by_foreign_keys() -> None:
    app = sc.App("aggregated")
    payments = app.topic("payments", key=str, value=int, partitions=2)
    parity = payments.group_by(lambda cents: f"p{cents % 2}", key=str, name="parity")
    best = parity.reduce("best", lambda most, cents: max(most, cents))
    names = app.topic("names", key=str, value=str, partitions=2).table("names-table")
    best.join(names, lambda most, name: f"{most} {name}", on=str, name="named-best", value=str)
    names.join(
        best,
        lambda name, most: f"{name} {most}",
        on=lambda name: f"p{len(name) % 2}",
        name="bests",
        value=str,
    )

    with TopologyDriver(app) as driver:
        driver.send("names", key="7", value="seven")
        driver.send("names", key="8", value="eight!")
        for cents in (4, 7, 6, 5, 8):
            driver.send("payments", key="k", value=cents)

        assert rows_of(driver, "named-best") == {"p0": "8 eight!", "p1": "7 seven"}
        assert rows_of(driver, "bests") == {"7": "seven 7", "8": "eight! 8"}


def test_a_suppressed_table_answers_references() -> None:
    app = sc.App("calm")
    left = app.topic("left", key=str, value=str, partitions=1).table("lefts")
    calm = app.topic("right", key=str, value=str, partitions=1).table("rights").suppress("10s", name="calm")
    left.join(calm, both, on=customer_of, how="left", name="both").to_stream().to("changes")

    with TopologyDriver(app) as driver:
        for side, key, value, at in [
            (L, "a", "1>x", 0),
            (R, "x", "X", 1_000),
            (R, "x", "X2", 2_000),
            (L, "b", "2>x", 3_000),
            (R, "z", "Z", 10_000),
            (L, "c", "3>x", 10_000),
        ]:
            driver.send(side, key=key, value=value, at=at)
        driver.advance("5s")

        assert rows_of(driver, "both") == {"a": "1>x X2", "b": "2>x X2", "c": "3>x X2"}


# -- failures


def test_a_change_that_a_function_fails_on_leaves_the_row_as_it_was() -> None:
    def strict(text: str) -> str | None:
        if text.startswith("!"):
            raise ValueError(text)
        return customer_of(text)

    def loud(value: str, other: str) -> str:
        if other == "bad":
            raise ValueError(other)
        return both(value, other)

    app = sc.App("fails", on_error=sc.skip)
    left = app.topic("left", key=str, value=str).table("lefts")
    right = app.topic("right", key=str, value=str).table("rights")
    left.join(right, loud, on=strict, name="both")

    with TopologyDriver(app) as driver:
        for side, key, value in [(R, "x", "X"), (L, "a", "1>x"), (L, "a", "!>x"), (R, "x", "bad")]:
            driver.send(side, key=key, value=value)
            driver.process()
        assert rows_of(driver, "both") == {"a": "1>x X"}
        driver.send("right", key="x", value="good")
        assert rows_of(driver, "both") == {"a": "1>x good"}


def test_a_foreign_key_of_another_type_is_an_error_of_its_record() -> None:
    app = sc.App("typed")
    left = app.topic("left", key=str, value=int).table("lefts")
    right = app.topic("right", key=str, value=str).table("rights")
    wrong: Callable[[int], Any] = lambda value: value  # noqa: E731
    left.join(right, lambda value, other: other, on=wrong, name="both", value=str)

    with TopologyDriver(app) as driver:
        driver.send("left", key="a", value=1)
        with pytest.raises((UserCodeError, sc.SerdeError), match=r"both\.foreign-key.*topic=left"):
            driver.process()


def test_wrong_declarations_are_refused() -> None:
    app = sc.App("refused")
    left = app.topic("left", key=str, value=str).table("lefts")
    topic = app.topic("right", key=int, value=str)
    right, everywhere = topic.table("rights"), app.topic("all", key=str, value=str).global_table("everywhere")
    join: Any = left.join

    with pytest.raises(TopologyError, match="how='inner' or 'left'"):
        join(right, both, on=customer_of, how="outer", name="a")
    with pytest.raises(TopologyError, match=r"on= makes the keys of the other table.*on=str.*other_keys=int"):
        join(right, both, on=customer_of, name="b")
    with pytest.raises(TopologyError, match=r"give a function of \(value\)"):
        join(right, both, on="customer", name="c")
    with pytest.raises(TopologyError, match="name the key of the other table with on="):
        join(right, both, name="d")
    with pytest.raises(TopologyError, match="a stream joins a table, or a global table"):
        join(everywhere, both, on=customer_of, name="e")
    with pytest.raises(TopologyError, match="a table keeps its name for ever"):
        join(right, lambda value, other: value, on=lambda value: 1)
