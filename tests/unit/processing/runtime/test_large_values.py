"""Stored values and records that the log does not take: the policy of the step decides about the record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import RecordTooLargeError
from streamcore.state import changelog
from streamcore.testing import TopologyDriver

LIMIT = 20_000
"""How large a record of a changelog may be here."""


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "MESSAGE_BYTES", LIMIT)


@dataclass
class Text:
    """A value: ``data`` makes it large."""

    id: int
    data: str


RECORDS = [
    ("a", Text(0, "x" * 6_000)),
    ("b", Text(1, "x" * 6_000)),
    ("a", Text(2, "x" * 6_000)),
    ("a", Text(3, "x" * 6_000)),
    ("a", Text(4, "x" * 6_000)),
    ("b", Text(5, "x")),
    ("a", Text(6, "x" * 6_000)),
    ("a", Text(7, "x")),
    ("c", Text(8, "x")),
    ("c", Text(9, "x" * 25_000)),
]
HUGE = {9}
"""The record that is larger than the limit by itself."""
TOO_MANY = {4, 6, 9}
"""Those that are more than the limit together with the earlier ones of their key."""


class Kept(sc.Processor[str, Text, str, int]):
    """Keeps all texts of a key in one value."""

    texts = sc.Store(key=str, value=str, default="")

    def on_record(self, record: sc.Record[str, Text]) -> None:
        self.texts[record.key] += record.value.data


def _agent(app: sc.App, texts: Any) -> None:
    table = app.table("kept", key=str, value=str, default="")

    @app.agent(texts)
    async def keep(events: sc.Events[Text]) -> None:
        async for key, text in events.items():
            table[key] += text.data


def _sessions_of_an_agent(app: sc.App, texts: Any) -> None:
    table = app.table("kept", key=str, value=str, default="").session("1h", merge=lambda one, two: one + two)

    @app.agent(texts)
    async def keep(events: sc.Events[Text]) -> None:
        async for key, text in events.items():
            table[key] += text.data


def _sending_agent(app: sc.App, texts: Any) -> None:
    small = app.topic("small", key=str, value=Text, config={"max.message.bytes": str(LIMIT)})

    @app.agent(texts)
    async def send(events: sc.Events[Text]) -> None:
        async for key, text in events.items():
            await small.send(key=key, value=text)


def _collected(stream: Any) -> None:
    stream.aggregate("kept", all=sc.collect(lambda text: text.data))


def _all(accumulator: str, text: Any) -> str:
    return f"{accumulator}{text.data}"


def _as_of(app: sc.App, texts: Any) -> None:
    asked = app.topic("asked", key=str, value=int)
    history = texts.table("rows", history="1h")
    asked.join(history, lambda number, text: len(text.data), as_of=True).to("out")


def _foreign_key(app: sc.App, texts: Any) -> None:
    names = app.topic("names", key=str, value=str).table("names")
    rows = texts.table("rows")
    rows.join(names, lambda text, name: text.id, on=lambda text: "n", how="left", name="joined")


KINDS: dict[str, tuple[Callable[[sc.App, Any], Any], set[int]]] = {
    "collect": (lambda app, texts: _collected(texts), TOO_MANY),
    "tumbling": (lambda app, texts: _collected(texts.tumbling("1h")), TOO_MANY),
    "hopping": (lambda app, texts: _collected(texts.hopping("1h", "30m")), TOO_MANY),
    "sliding": (lambda app, texts: _collected(texts.sliding("1h")), TOO_MANY),
    "session": (lambda app, texts: _collected(texts.session("1h")), TOO_MANY),
    "fold": (lambda app, texts: texts.fold("kept", "", _all), TOO_MANY),
    "reduce": (
        lambda app, texts: texts.map(lambda text: text.data, value=str).reduce("kept", lambda a, b: a + b),
        TOO_MANY,
    ),
    "distinct": (
        lambda app, texts: texts.aggregate("kept", n=sc.distinct(lambda text: f"{text.id}{text.data}")),
        TOO_MANY,
    ),
    "top": (lambda app, texts: texts.aggregate("kept", all=sc.top(9, lambda text: text.id)), TOO_MANY),
    "last": (lambda app, texts: texts.aggregate("kept", all=sc.last(lambda text: text.data)), HUGE),
    "updates": (
        lambda app, texts: (
            texts.fold("kept", "", _all).updates(every="1ms").map(len, value=int).to("lengths")
        ),
        TOO_MANY,
    ),
    "cogroup": (
        lambda app, texts: sc.cogroup(texts.by(_all)).aggregate("kept", initial=""),
        TOO_MANY,
    ),
    "table.map": (
        lambda app, texts: texts.table("rows").map(lambda text: text, name="kept", value=Text),
        HUGE,
    ),
    "table.group_by": (
        lambda app, texts: texts.table("rows").group_by(lambda text: text.data).count("kept"),
        HUGE,
    ),
    "join of tables": (
        lambda app, texts: texts.table("rows").join(
            app.topic("others", key=str, value=int).table("others"),
            lambda text, other: text.data,
            how="left",
            name="kept",
        ),
        HUGE,
    ),
    "join of streams": (
        lambda app, texts: texts.join(
            texts, lambda one, two: one.id * 10 + two.id, before="0s", after="1h"
        ).to("out"),
        HUGE,
    ),
    "foreign key": (_foreign_key, HUGE),
    "as of": (_as_of, TOO_MANY),
    "processor": (lambda app, texts: texts.process("steps", Kept), TOO_MANY),
    "agent": (_agent, TOO_MANY),
    "sessions of an agent": (_sessions_of_an_agent, TOO_MANY),
    "agent that sends": (_sending_agent, HUGE),
    "to": (
        lambda app, texts: texts.to(
            app.topic("small", key=str, value=Text, config={"max.message.bytes": str(LIMIT)})
        ),
        HUGE,
    ),
    "repartition topic": (lambda app, texts: texts.group_by(lambda text: text.id % 2).count("kept"), HUGE),
}


def shown(value: object) -> str:
    """Return the text of a value, with the numbers of letters instead of the letters."""
    return re.sub("x+", lambda found: f"{len(found[0])}x", repr(value))


def run(
    kind: str,
    records: Iterable[tuple[str, Text]],
    *,
    on_error: Any = sc.stop,
    batch: int = 65_536,
    crashes: bool = False,
) -> tuple[dict[str, list[str]], list[int]]:
    """Return what an application keeps and writes, and the offsets of dead letters."""
    app = sc.App("app", on_error=on_error)
    texts = app.topic("texts", key=str, value=Text)
    KINDS[kind][0](app, texts)
    if on_error != sc.dead_letter("letters"):
        app.topic("letters", key=str, value=Text)
    with TopologyDriver(app, slice_records_max=batch) as driver:
        for number, (key, text) in enumerate(records):
            driver.send(texts, key=key, value=text, at=text.id)
            if crashes and number == 3:
                driver.process()
                driver.crash()
        if "asked" in {topic.name for topic in app.declared().plan.topics}:
            for number in range(len(RECORDS)):
                driver.send("asked", key="a", value=1, at=number)
        found: dict[str, list[str]] = {}
        for name in ("out", "small"):
            if name in {topic.name for topic in app.declared().plan.topics}:
                found[name] = [shown((each.key, each.value)) for each in driver.read(name)]
        if crashes:
            driver.process()
            driver.crash()
        for sub_topology in app.declared().plan.sub_topologies:
            for store in sub_topology.stores:
                if store.name in ("kept", "steps.texts", "joined"):
                    found[store.name] = [
                        shown((answer.key, answer.value)) for answer in driver.table(store.name).all()
                    ]
        letters = [dict(letter.headers) for letter in driver.read("letters")]
        return found, [int(headers["streamcore.offset"] or b"") for headers in letters]


@pytest.mark.parametrize(
    ("batch", "crashes"), [pytest.param(1, False, marks=pytest.mark.slow), (65_536, True)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_makes_a_value_too_large_is_left_out_and_the_others_count(
    kind: str, batch: int, crashes: bool
) -> None:
    refused = KINDS[kind][1]

    found = run(kind, RECORDS, on_error=sc.skip, batch=batch, crashes=crashes)

    fitting = [record for record in RECORDS if record[1].id not in refused]
    expected = run(kind, fitting)
    assert found == expected
    assert all(found[0].values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_names_the_record_that_makes_a_value_too_large_at_each_start(kind: str) -> None:
    app = sc.App("app")
    texts = app.topic("texts", key=str, value=Text)
    KINDS[kind][0](app, texts)
    first = min(KINDS[kind][1])
    with TopologyDriver(app) as driver:
        for key, text in RECORDS:
            driver.send(texts, key=key, value=text, at=text.id)
        for _ in range(2):
            with pytest.raises(
                RecordTooLargeError,
                match=f"topic=texts partition=0 offset={first} .* size_bytes=[0-9]+ size_bytes_max=",
            ):
                driver.process()
            driver.crash()


@pytest.mark.parametrize("kind", ["collect", "to", "agent"])
def test_the_record_goes_to_the_dead_letter_topic(kind: str) -> None:
    _, letters = run(kind, RECORDS, on_error=sc.dead_letter("letters"))

    assert letters == sorted(KINDS[kind][1])


def test_a_dead_letter_fits_its_topic_though_it_has_more_headers_than_its_record() -> None:
    app = sc.App("app", on_error=sc.dead_letter("letters"))
    texts = app.topic("texts", key=str, value=str, config={"max.message.bytes": str(LIMIT)})

    def fails(text: str) -> str:
        raise ValueError("x" * 5_000)

    texts.map(fails).to("out")
    with TopologyDriver(app) as driver:
        driver.send(texts, key="a", value="x" * 19_000)
        (letter,) = driver.read("letters")

    headers = dict(letter.headers)
    assert headers["streamcore.offset"] == b"0"
    assert headers["streamcore.error"].startswith(b"ValueError: x")  # type: ignore[union-attr]


def test_a_dead_letter_that_does_not_fit_stops_the_application_and_names_both_topics() -> None:
    app = sc.App("app", on_error=sc.dead_letter("letters"))
    app.topic("letters", config={"max.message.bytes": str(LIMIT)})
    texts = app.topic("texts", key=str, value=str)
    texts.map(lambda text: 1 // 0, value=int).to("out")
    with TopologyDriver(app) as driver:
        driver.send(texts, key="a", value="x" * LIMIT)
        with pytest.raises(RecordTooLargeError, match=r"topic=texts partition=0 offset=0 .* topic=letters"):
            driver.process()


def test_what_agents_and_steps_beside_the_failing_one_do_counts_once() -> None:
    app = sc.App("app", on_error=sc.skip)
    texts = app.topic("texts", key=str, value=Text, partitions=2)
    _collected(texts)
    texts.group_by(lambda text: text.data[:1]).count("n")
    seen = app.table("seen", key=str, value=int, default=0)
    out = app.topic("out", key=str, value=int)

    @app.agent(texts)
    async def watch(events: sc.Events[Text]) -> None:
        async for key, text in events.items():
            seen[key] += 1
            await out.send(key=key, value=text.id)

    with TopologyDriver(app) as driver:
        for key, text in RECORDS[:-1]:
            driver.send(texts, key=key, value=text, at=text.id, partition=0 if key == "a" else 1)
        driver.process()
        driver.crash()

        assert {answer.key: answer.value for answer in driver.table("seen").all()} == {"a": 6, "b": 2, "c": 1}
        assert driver.table("n").get("x").value == 9  # type: ignore[union-attr]
        assert sorted(record.value for record in driver.read("out")) == list(range(9))
        kept = {answer.key: len(answer.value.all) for answer in driver.table("kept").all()}
        assert kept == {"a": 4, "b": 2, "c": 1}


def test_a_value_that_time_makes_too_large_is_left_out() -> None:
    app = sc.App("app", on_error=sc.skip)
    texts = app.topic("texts", key=str, value=Text)
    windows = texts.tumbling("1h").fold("windows", "", _all).final()
    windows.fold("kept", "", lambda accumulator, text: accumulator + text * 3)
    with TopologyDriver(app) as driver:
        driver.send(texts, key="a", value=Text(0, "x" * 7_000), at=0)
        driver.send(texts, key="b", value=Text(1, "x" * 6_000), at=0)
        driver.close_windows()

        assert [len(answer.value) for answer in driver.table("kept").all()] == [18_000]


def _count_or_text(count: int, text: str) -> Any:
    return text if text == "!" else count + 1


def test_a_value_that_does_not_encode_is_an_error_of_its_record() -> None:
    app = sc.App("app", on_error=sc.skip)
    texts = app.topic("texts", key=str, value=str)
    texts.fold("kept", 0, _count_or_text, value=int)
    with TopologyDriver(app) as driver:
        for text in "ab!cd":
            driver.send(texts, key="k", value=text)

        assert driver.table("kept").get("k").value == 4  # type: ignore[union-attr]


def test_the_limit_of_topics_that_exist_is_raised_and_a_higher_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = sc.App("app")
    texts = app.topic("texts", key=str, value=Text)
    _collected(texts.group_by(lambda text: text.data[:1]))
    with TopologyDriver(app) as driver:
        monkeypatch.setattr(changelog, "MESSAGE_BYTES", 5 * LIMIT)
        driver.crash()
        for key, text in RECORDS[:7]:
            driver.send(texts, key=key, value=text, at=text.id)
        driver.process()
        monkeypatch.setattr(changelog, "MESSAGE_BYTES", LIMIT)
        driver.crash()
        driver.send(texts, key="a", value=Text(7, "x" * 30_000))

        assert len(driver.table("kept").get("x").value.all) == 8  # type: ignore[union-attr]
