"""Records that would go round for ever are refused where the ring is closed."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError

ENDLESS = "without end"


def identity(value: Any) -> Any:
    return value


def test_dead_letters_into_a_topic_that_is_read_under_the_same_policy_are_refused() -> None:
    app = sc.App("app", on_error=sc.dead_letter("n"))
    numbers = app.topic("n", value=int)

    with pytest.raises(TopologyError, match=rf"{ENDLESS}.*dead_letter=n step=n ring=n -> n at=.*loops"):
        numbers.map(identity)


def test_the_policy_of_the_step_counts_where_the_topic_has_another() -> None:
    app = sc.App("app", on_error=sc.dead_letter("n"))
    numbers = app.topic("n", value=int, on_error=sc.skip)

    with pytest.raises(TopologyError, match=rf"{ENDLESS}.*step=identity"):
        numbers.map(identity)


def test_the_policy_of_the_topic_counts_where_the_step_has_another() -> None:
    app = sc.App("app")
    numbers = app.topic("n", value=int, on_error=sc.dead_letter("n"))

    with pytest.raises(TopologyError, match=ENDLESS):
        numbers.map(identity, on_error=sc.skip)


@pytest.mark.parametrize("verb", ["map", "filter", "foreach", "peek", "group_by", "flat_map"])
def test_the_policy_of_any_step_counts(verb: str) -> None:
    numbers: Any = sc.App("app").topic("n", value=int)

    with pytest.raises(TopologyError, match=ENDLESS):
        getattr(numbers.filter(identity), verb)(identity, on_error=sc.dead_letter("n"))


def test_an_agents_policy_counts() -> None:
    app = sc.App("app")

    async def agent(events: Any) -> None: ...

    with pytest.raises(TopologyError, match=ENDLESS):
        app.agent(app.topic("n", value=int), on_error=sc.dead_letter("n"))(agent)


def test_dead_letters_of_two_topics_into_one_another_are_refused() -> None:
    app = sc.App("app")
    app.topic("a", value=int).map(identity, on_error=sc.dead_letter("b"))

    with pytest.raises(TopologyError, match=r"ring=(a -> b -> a|b -> a -> b)"):
        app.topic("b", value=int).map(identity, on_error=sc.dead_letter("a"))


def test_dead_letters_that_come_back_by_a_step_are_refused() -> None:
    app = sc.App("app")
    a = app.topic("a", value=int)
    a.map(identity, on_error=sc.dead_letter("b"))

    with pytest.raises(TopologyError, match=ENDLESS):
        app.topic("b", value=int).filter(identity).to(a)


def test_dead_letters_that_come_back_through_a_repartition_topic_are_refused() -> None:
    app = sc.App("app")

    with pytest.raises(TopologyError, match=ENDLESS):
        app.topic("a", value=int).group_by(identity).repartition(2, name="more").map(
            identity, on_error=sc.dead_letter("a")
        )


def test_an_application_may_read_its_own_dead_letters_under_another_policy() -> None:
    app = sc.App("app", on_error=sc.dead_letter("bad"))
    app.topic("n", value=int).map(identity)
    bad = app.topic("bad", value=bytes, on_error=sc.skip)

    bad.foreach(identity, on_error=sc.skip)
    bad.to("seen", on_error=sc.stop)


def test_a_topic_of_dead_letters_that_is_only_written_is_fine() -> None:
    app = sc.App("app", on_error=sc.dead_letter("bad"))
    app.topic("bad", value=bytes)

    app.topic("n", value=int).map(identity).to("out")


def test_dead_letters_do_not_go_to_the_applications_own_state() -> None:
    app = sc.App("app")

    with pytest.raises(TopologyError, match="keeps its own state"):
        app.topic("n").map(identity, on_error=sc.dead_letter("app-total-changelog"))
    with pytest.raises(TopologyError, match="keeps its own state"):
        sc.App("app", on_error=sc.dead_letter("app-key-repartition"))


def test_steps_that_give_every_record_back_are_refused() -> None:
    app = sc.App("app")
    a = app.topic("a", value=int)
    b = app.topic("b", value=int)

    with pytest.raises(TopologyError, match=rf"{ENDLESS}.*ring=a -> a"):
        a.to(a)
    a.map(identity).to(b)
    with pytest.raises(TopologyError, match=ENDLESS):
        b.peek(identity).to(a)


def test_a_ring_that_a_filter_can_end_is_fine() -> None:
    app = sc.App("app")
    a = app.topic("a", value=int)

    a.filter(identity).to(a)
    a.branch(again=identity).again.to(a)


@pytest.mark.parametrize(
    "declare",
    [
        lambda topic: topic.tumbling("1s").count("kept", late=topic),
        lambda topic: topic.session("1s").count("kept", late="n"),
        lambda topic: topic.peek(print).group_by(identity).tumbling("1s").count("kept", late=topic),
        lambda topic: topic.take(1, within="1s", late=topic),
        lambda topic: topic.rate_limit(1, per="1s", late=topic),
        lambda topic: topic.join(topic.filter(identity), max, before="1s", after="1s", late=topic),
    ],
)
def test_late_records_that_come_back_to_where_they_are_late_are_refused(declare: Any) -> None:
    numbers = sc.App("app").topic("n", key=int, value=int)

    with pytest.raises(
        TopologyError, match=rf"late records .*{ENDLESS}.*late=n step=.* ring=.*n -> .*at=.*loops"
    ):
        declare(numbers)


def test_late_records_that_come_back_by_another_topic_are_refused() -> None:
    app = sc.App("app")
    numbers, late = app.topic("n", key=str, value=int), app.topic("late", key=str, value=int)
    numbers.tumbling("1s").count("kept", late=late)

    with pytest.raises(TopologyError, match=rf"late records .*{ENDLESS}"):
        late.to(numbers)


def test_late_records_may_come_back_with_another_time() -> None:
    app = sc.App("app")
    numbers, late = app.topic("n", key=str, value=int), app.topic("late", key=str, value=int)
    numbers.tumbling("1s").count("kept", late=late)

    late.map_record(identity).to(numbers)


def test_a_topic_of_late_records_may_be_read_by_other_steps() -> None:
    app = sc.App("app")
    numbers, late = app.topic("n", key=str, value=int), app.topic("late", key=str, value=int)
    numbers.tumbling("1s").count("kept", late=late)

    late.tumbling("1d").count("late-ones")
