"""How an application is split, how many partitions its topics get, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from streamcore.errors import TopologyError, UsageError
from streamcore.model import Windowed
from streamcore.processing.dsl.app import App
from streamcore.processing.topology.partitions import resolve_partitions
from streamcore.processing.topology.plan import Plan, SubTopology, task_count
from streamcore.serde import Serde


def found(plan: Plan, name: str) -> SubTopology:
    return next(each for each in plan.sub_topologies if each.name == name)


def topics_read(sub_topology: SubTopology) -> list[str]:
    return [entry.topic.name for entry in sub_topology.inputs]


def first_letter(value: str) -> str:
    return value[:1]


def length(value: str) -> int:
    return len(value)


def both(value: Any, found: Any) -> Any:
    return value, found


# -- splitting


def test_a_repartition_topic_ends_one_sub_topology_and_begins_another() -> None:
    app = App("app")
    app.topic("words", key=str, value=str).group_by(first_letter).count("letters")

    plan = app.plan()

    assert [each.name for each in plan.sub_topologies] == ["words", "letters"]
    assert topics_read(found(plan, "words")) == ["words"]
    assert topics_read(found(plan, "letters")) == ["app-first_letter-repartition"]


def test_keys_that_did_not_change_need_no_repartition_topic() -> None:
    app = App("app")
    app.topic("words", key=str, value=str).map(str.upper).filter(bool).count("words-seen")

    plan = app.plan()

    assert [topics_read(each) for each in plan.sub_topologies] == [["words"]]


def test_several_steps_over_one_changed_key_share_a_repartition_topic() -> None:
    app = App("app")
    letters = app.topic("words", key=str, value=str).group_by(first_letter)
    letters.count("one")
    letters.count("two")

    plan = app.plan()

    assert [topic.name for topic in plan.topics if topic.internal] == ["app-first_letter-repartition"]
    assert [store.name for store in found(plan, "one").stores] == ["one", "two"]


def test_a_stream_and_the_table_it_joins_are_one_sub_topology() -> None:
    app = App("app")
    table = app.topic("names", key=str, value=str).table("names")
    app.topic("words", key=str, value=str).join(table, both)

    (sub_topology,) = app.plan().sub_topologies

    assert sorted(topics_read(sub_topology)) == ["names", "words"]


def test_a_table_that_two_agents_use_unites_their_sub_topologies() -> None:
    app = App("app")
    seen = app.table("seen", key=str, value=int, default=0)
    for name in ("left", "right"):

        @app.agent(app.topic(name, key=str, value=str), name=f"{name}-agent")
        async def count(events: Any) -> None:
            async for word in events:
                seen[word] += 1

    (sub_topology,) = app.plan().sub_topologies

    assert topics_read(sub_topology) == ["left", "right"]
    assert [store.name for store in sub_topology.stores] == ["seen"]


def test_streams_that_have_nothing_in_common_are_sub_topologies_of_their_own() -> None:
    app = App("app")
    app.topic("left", key=str).count("of-left")
    app.topic("right", key=str).count("of-right")

    assert [each.name for each in app.plan().sub_topologies] == ["of-left", "of-right"]


def test_a_global_table_unites_nothing() -> None:
    app = App("app")
    rates = app.topic("rates", key=str, value=int).global_table("rates")
    app.topic("left", key=str, value=str).join(rates, both).to("of-left")
    app.topic("right", key=str, value=str).join(rates, both).to("of-right")

    plan = app.plan()

    assert [topics_read(each) for each in plan.sub_topologies] == [["left"], ["right"]]
    assert [table.name for table in plan.global_tables] == ["rates"]


def test_a_topic_that_nothing_reads_is_no_input() -> None:
    app = App("app")
    app.topic("unread", key=str, value=str)

    assert app.plan().sub_topologies == ()


def test_an_input_whose_records_two_steps_store_and_look_up_is_known() -> None:
    app = App("app")
    words = app.topic("words", key=str, value=str)
    words.join(words.table("newest"), both)
    app.topic("others", key=str, value=str).count("counted").updates().to("out")

    inputs = {entry.topic.name: entry for each in app.plan().sub_topologies for entry in each.inputs}

    assert inputs["words"].meets_in_a_store
    assert not inputs["others"].meets_in_a_store


# -- names


def test_two_tables_of_one_name_are_refused() -> None:
    app = App("app")
    words = app.topic("words", key=str, value=str)
    words.count("total")

    with pytest.raises(TopologyError, match=r"two tables have one name.*name=total first=.*test_plan.py:\d+"):
        app.table("total", key=str, value=int)


def test_a_topic_is_declared_once() -> None:
    app = App("app")
    app.topic("words")

    with pytest.raises(TopologyError, match=r"declared twice.*topic=words"):
        app.topic("words")


def test_a_step_name_is_given_once() -> None:
    app = App("app")
    words = app.topic("words", value=str)
    words.map(str.upper, name="loud")

    with pytest.raises(TopologyError, match=r"two steps have one name.*name=loud"):
        words.map(str.lower, name="loud")


def test_functions_of_one_name_name_different_steps() -> None:
    app = App("app")
    words = app.topic("words", value=str)

    assert [words.map(length).name, words.map(length).name, words.map(length).name] == [
        "length",
        "length-2",
        "length-3",
    ]


@pytest.mark.parametrize("name", ["", "a/b", "a b", "..", "x" * 250])
def test_names_that_cannot_be_part_of_files_are_refused(name: str) -> None:
    with pytest.raises(TopologyError, match="letters, digits"):
        App("app").topic(name)


# -- partitions


def test_a_repartition_topic_has_as_many_partitions_as_what_it_meets() -> None:
    app = App("app")
    table = app.topic("letters", key=str, value=str, partitions=5).table("letters")
    app.topic("words", key=str, value=str, partitions=2).group_by(first_letter).join(table, both)

    counts = resolve_partitions(app.plan(), {})

    assert counts["app-first_letter-repartition"] == 5


def test_a_repartition_topic_by_itself_has_as_many_partitions_as_its_largest_input() -> None:
    app = App("app")
    left = app.topic("left", key=str, value=str, partitions=2)
    right = app.topic("right", key=str, value=str, partitions=3)
    left.merge(right).group_by(first_letter).count("letters")
    plan = app.plan()

    counts = resolve_partitions(plan, {})

    assert counts["app-first_letter-repartition"] == 3
    assert [task_count(each, counts) for each in plan.sub_topologies] == [3, 3]


def test_a_repartition_topic_may_have_a_number_of_its_own() -> None:
    app = App("app")
    app.topic("words", key=str, value=str).repartition(7, name="spread").count("words")

    assert resolve_partitions(app.plan(), {})["app-spread-repartition"] == 7


def test_topics_that_exist_keep_their_partitions() -> None:
    app = App("app")
    app.topic("words", key=str, value=str).to("copy")

    assert resolve_partitions(app.plan(), {"words": 4, "copy": 2}) == {"words": 4, "copy": 2}


def test_a_topic_that_exists_with_another_number_than_declared_is_refused() -> None:
    app = App("app")
    app.topic("words", key=str, partitions=2).count("words")

    with pytest.raises(TopologyError, match="topic=words declared=2 existing=3"):
        resolve_partitions(app.plan(), {"words": 3})


def test_inputs_that_meet_in_a_table_with_different_partitions_are_refused_and_both_named() -> None:
    app = App("app")
    table = app.topic("names", key=str, value=str).table("names")
    app.topic("words", key=str, value=str).join(table, both)

    with pytest.raises(TopologyError, match="same number of partitions") as refused:
        resolve_partitions(app.plan(), {"names": 2, "words": 3})

    assert "=words " in str(refused.value)
    assert "=names " in str(refused.value)


def test_inputs_without_a_table_may_differ_in_partitions() -> None:
    app = App("app")
    left = app.topic("left", key=str, value=str, partitions=2)
    left.merge(app.topic("right", key=str, value=str, partitions=3)).to("out")

    assert resolve_partitions(app.plan(), {})["out"] == 3


# -- keys that should meet


def test_a_changed_key_is_written_as_the_topic_writes_it_whose_table_it_meets() -> None:
    app = App("app")
    table = app.topic("by-length", key=int, value=str, partitions=3).table("by-length")
    app.topic("words", key=str, value=str, partitions=3).group_by(length).join(table, both, name="found")

    plan = app.plan()
    resolve_partitions(plan, {})

    (internal,) = [topic for topic in plan.topics if topic.internal]
    assert (internal.name, internal.key_serde.name) == ("app-found-repartition", "json")
    assert internal.key_serde.encode(7) == b"7"


def test_an_aggregation_and_a_join_over_one_changed_key_write_it_each_in_its_own_way() -> None:
    app = App("app")
    table = app.topic("by-length", key=int, value=str, partitions=3).table("by-length")
    lengths = app.topic("words", key=str, value=str, partitions=3).group_by(length)
    lengths.count("lengths")
    lengths.join(table, both, name="found")

    plan = app.plan()
    resolve_partitions(plan, {})

    assert {topic.name: topic.key_serde.name for topic in plan.topics if topic.internal} == {
        "app-length-repartition": "int",
        "app-found-repartition": "json",
    }


def test_an_agent_on_keys_written_differently_from_those_of_a_table_is_refused_and_both_named() -> None:
    app = App("app")
    table = app.topic("packed", key=int, value=str, codec="msgpack", partitions=2).table("packed")

    @app.agent(app.topic("plain", key=int, value=str, partitions=2), tables=[table])
    async def meet(events: Any) -> None:
        async for _ in events:
            pass

    with pytest.raises(
        TopologyError, match="step=meet first=plain first_keys=json second=packed second_keys=msgpack"
    ):
        resolve_partitions(app.plan(), {})


def test_the_table_of_an_aggregation_is_joined_by_keys_written_as_the_aggregation_has_them() -> None:
    app = App("app")
    table = app.topic("words", key=str, value=str, partitions=2).group_by(length).count("lengths")
    app.topic("numbers", key=int, value=str, partitions=2).join(table, both)

    plan = app.plan()
    resolve_partitions(plan, {})

    assert {topic.name: topic.key_serde.name for topic in plan.topics if topic.internal} == {
        "app-length-repartition": "int",
        "app-both-repartition": "int",
    }


def test_streams_of_two_types_of_values_are_not_kept_together_if_their_keys_are_written_differently() -> None:
    app = App("app")
    packed: Any = app.topic("packed", key=int, value=bytes, codec="msgpack", partitions=2)
    app.topic("plain", key=int, value=str, partitions=2).merge(packed).count("both")

    with pytest.raises(TopologyError, match="first=plain first_keys=json second=packed second_keys=msgpack"):
        resolve_partitions(app.plan(), {})


def test_with_one_partition_keys_meet_however_they_are_written() -> None:
    app = App("app")
    table = app.topic("packed", key=int, value=str, codec="msgpack", partitions=1).table("packed")
    app.topic("plain", key=int, value=str, partitions=1).join(table, both)

    assert resolve_partitions(app.plan(), {}) == {"packed": 1, "plain": 1}


def test_of_serdes_of_ones_own_nothing_is_known_and_nothing_refused() -> None:
    app = App("app")
    own = Serde(encode=lambda key: str(key).encode(), decode=lambda data: int(data))
    table = app.topic("own", key=own, value=str, partitions=2).table("own")
    app.topic("plain", key=int, value=str, partitions=2).join(table, both)

    assert resolve_partitions(app.plan(), {})["own"] == 2


def test_a_join_of_keys_that_cannot_be_equal_is_refused_where_it_is_declared() -> None:
    app = App("app")
    words = app.topic("words", key=str, value=str)
    table = app.topic("numbers", key=int, value=str).table("numbers")
    windows = words.tumbling("1s").count("per-second").final()
    names = app.topic("names", key=str, value=str).table("names")

    with pytest.raises(TopologyError, match="stream=words stream_keys=str table=numbers table_keys=int"):
        words.join(table, both)  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match=r"stream_keys=.*Windowed\[str\] table=names table_keys=str"):
        windows.join(names, both)  # type: ignore[arg-type]


def test_windows_as_keys_are_encoded_by_the_types_in_them() -> None:
    app = App("app")
    finals = app.topic("words", key=str, value=str).tumbling("1s").count("per-second").final()
    again = finals.repartition(name="again").count("again")

    (internal,) = [topic for topic in app.plan().topics if topic.internal]

    key = Windowed("word", 1_000, 2_000)
    assert internal.key_serde.decode(internal.key_serde.encode(key)) == key
    assert again.store.key_type == Windowed[str]


@dataclass
class Changing:
    name: str


@pytest.mark.parametrize("key", [Changing, dict, list[int]])
def test_keys_that_cannot_be_hashed_are_refused_where_they_are_declared(key: Any) -> None:
    app = App("keys")
    numbers = app.topic("numbers", value=int)
    declarations: list[Callable[[], object]] = [
        lambda: app.topic("other", key=key),
        lambda: app.table("table", key=key),
        lambda: numbers.group_by(lambda number: None, name="by-nothing", key=key),
    ]
    for declare in declarations:
        with pytest.raises(UsageError, match=r"frozen=True: (topic|table|step)="):
            declare()
