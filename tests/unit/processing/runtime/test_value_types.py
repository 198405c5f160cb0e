"""Values of the wrong type in applications: refused where they are written, by the policy of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import SerdeError, UsageError
from streamcore.processing.dsl.app import App
from streamcore.testing.topology_driver import TopologyDriver


@dataclass
class Note:
    text: str
    more: dict[str, Any] | None = None


WRONG: Any = Note(text=5)  # type: ignore[arg-type]
LOOSE: Any = Note("a", {"pair": (1, 2)})


@pytest.mark.parametrize("wrong", [WRONG, LOOSE])
@pytest.mark.parametrize("batch_records", [1, 100])
def test_an_agents_wrong_write_is_taken_back_with_its_event_and_the_others_go_on(
    wrong: Any, batch_records: int
) -> None:
    app = sc.App("app", on_error=sc.dead_letter("dead"))
    numbers = app.topic("numbers", key=str, value=int)
    notes = app.topic("notes", key=str, value=Note)
    kept = app.table("kept", key=str, value=Note)

    @app.agent(numbers)
    async def write(events: Any) -> None:
        async for key, number in events.items():
            await notes.send(key=key, value=Note(str(number)))
            kept[key] = Note(str(number))
            if number == 1:
                kept[key] = wrong
            if number == 2:
                await notes.send(key=key, value=wrong)

    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(4):
            driver.send(numbers, key=f"k{number}", value=number)
        assert [record.value.text for record in driver.read(notes)] == ["0", "3"]
        assert [answer.key for answer in driver.table("kept").all()] == ["k0", "k3"]
        assert [record.key for record in driver.read("dead")] == [b"k1", b"k2"]
        driver.crash()
        assert [answer.value.text for answer in driver.table("kept").all()] == ["0", "3"]


def test_an_agent_may_catch_the_refusal_where_it_writes() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    notes = app.topic("notes", key=str, value=Note)

    @app.agent(numbers)
    async def write(events: Any) -> None:
        async for _ in events:
            try:
                await notes.send(key="k", value=WRONG)
            except SerdeError as error:
                await notes.send(key="k", value=Note(str(error)))

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=1)
        (found,) = driver.read(notes)

    assert "topic=notes" in found.value.text
    assert "at=.text given=int" in found.value.text


@pytest.mark.parametrize("batch_records", [1, 100])
def test_what_a_step_returns_is_checked_where_it_is_written(batch_records: int) -> None:
    app = sc.App("app", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int)
    made = numbers.map(lambda value: ["1"] if value == 1 else [value], value=list[int])
    made.to("out")
    made.group_by(len, key=int, name="by").count("counts")

    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(3):
            driver.send(numbers, key="k", value=number)
        assert [record.value for record in driver.read("out")] == [[0], [2]]
        assert [answer.value for answer in driver.table("counts").all()] == [2]


def test_a_stored_value_that_does_not_decode_is_named_with_table_key_and_class() -> None:
    def application(kind: Any) -> App:
        app = sc.App("app")
        app.topic("notes", key=str, value=kind).table("newest")
        return app

    with TopologyDriver(application(Note)) as driver:
        driver.send_bytes("notes", key=b"good", value=b'{"text":"a"}')
        driver.process()
        engine = driver._worker.task_set.states[0].engine
        from streamcore.state.engine import StoreWrites

        engine.apply([StoreWrites("newest", [b"bad"], [b'{"text":5}'])])
        table = driver.table("newest")
        for look in (lambda: table.get("bad"), lambda: list(table.all())):
            with pytest.raises(SerdeError, match=r"table=newest key='bad' type=Note"):
                look()


def to_complex(value: int) -> complex:
    return complex(value)


def test_what_a_step_returns_may_be_anything_as_long_as_it_is_not_written() -> None:
    app = sc.App("app")
    found: list[int] = []
    numbers = app.topic("numbers", key=str, value=int)
    numbers.map(to_complex).map(lambda value: int(value.real), value=int).foreach(found.append)

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=3)
        driver.process()

    assert found == [3]


@pytest.mark.parametrize("kind", [complex, type, Any.__class__])
def test_a_type_that_cannot_be_read_again_is_refused_when_declared(kind: Any) -> None:
    app = sc.App("app")

    for declare in (
        lambda: app.topic("t", value=kind),
        lambda: app.table("s", key=str, value=kind),
        lambda: app.topic("u", value=int).map(str, value=kind),
        lambda: app.topic("v", value=int).map(to_complex).to("out"),
    ):
        with pytest.raises(UsageError):
            declare()
