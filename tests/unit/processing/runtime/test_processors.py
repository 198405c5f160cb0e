"""Processors: the low level, with stores, timers of event time and of the clock, and forwarded records."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

S = 1_000


class Visits(sc.Processor[str, int, str, int]):
    """Forwards the sum of a key ten seconds after each of its values."""

    sums = sc.Store(key=str, value=int, default=0)

    def on_record(self, record: sc.Record[str, int]) -> None:
        self.sums[record.key] += record.value
        self.schedule(after="10s", name="later")
        if record.value == 13:
            self.forward(value=13)
            raise ValueError("unlucky")

    def on_timer(self, timer: sc.DueTimer[str]) -> None:
        self.forward(value=self.sums.pop(timer.key, 0))


def run(
    processor: Any,
    events: list[tuple[Any, int, int]],
    *,
    crash_after: int | None = None,
    batch: int = 65_536,
    **options: Any,
) -> tuple[list[Any], dict[str, Any]]:
    """Return what a processor forwards, with times in seconds, and its tables."""
    app = sc.App("app")
    topic = app.topic("events", key=str, value=int)
    topic.process("visits", processor, **options).to("out")
    with TopologyDriver(app, slice_records_max=batch) as driver:
        for number, (key, value, at_s) in enumerate(events):
            driver.send(topic, key=key, value=value, at=at_s * S)
            if number == crash_after:
                driver.process()
                driver.crash()
        out = [(record.key, record.value, record.timestamp_ms / S) for record in driver.read("out")]
        driver.crash()
        tables = {
            name: {answer.key: answer.value for answer in driver.table(name).all()}
            for name in ("visits.sums", "visits.timers")
            if name == "visits.timers" or processor is Visits
        }
        return out, tables


EVENTS = [("a", 1, 0), ("a", 2, 3), ("b", 5, 4), ("a", 0, 11), ("a", 7, 14), ("b", 1, 30)]


@pytest.mark.parametrize("crash_after", [None, 0, 2, 4])
@pytest.mark.parametrize("batch", [1, 65_536])
def test_timers_are_called_between_records_when_the_watermark_reaches_their_time(
    crash_after: int | None, batch: int
) -> None:
    out, tables = run(Visits, EVENTS, crash_after=crash_after, batch=batch)

    assert out == [("a", 3, 10), ("a", 7, 13), ("b", 5, 14), ("a", 0, 21), ("a", 0, 24)]
    assert tables["visits.sums"] == {"b": 1}
    assert list(tables["visits.timers"]) == [sc.Windowed(("b", "later"), 40 * S, 40 * S + 1)]


def test_what_a_failing_call_wrote_set_and_forwarded_is_undone() -> None:
    out, tables = run(Visits, [("a", 1, 0), ("a", 13, 5), ("b", 0, 10), ("b", 0, 15)], on_error=sc.skip)

    assert out == [("a", 1, 10)]
    assert tables["visits.sums"] == {"b": 0}
    assert [key.start_ms for key in tables["visits.timers"]] == [20 * S, 25 * S]


def test_a_failing_call_is_repeated_on_clean_stores_and_names_its_record_at_last() -> None:
    with pytest.raises(sc.UserCodeError, match=r"node=visits topic=events .*offset=1 .*unlucky"):
        run(Visits, [("a", 1, 0), ("a", 13, 5)], on_error=sc.retry(2, "1ms"))


def test_a_timer_that_fails_under_skip_does_not_come_again() -> None:
    calls: list[int] = []

    class Fails(sc.Processor[str, int, str, int]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            self.schedule(after="1s")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            calls.append(timer.time_ms)
            raise ValueError("no")

    out, tables = run(Fails, [("a", 1, 0), ("a", 1, 1), ("a", 1, 1)], on_error=sc.skip)

    assert (out, calls) == ([], [1 * S])
    assert len(tables["visits.timers"]) == 1


def test_a_timer_may_be_set_again_cancelled_and_set_to_a_time_that_has_passed() -> None:
    class Ticks(sc.Processor[str, int, str, str]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            if record.value == 1:
                self.schedule(record.timestamp_ms + 2 * S, name="tick")
                self.schedule(record.timestamp_ms + 2 * S, name="tick")
                self.schedule(record.timestamp_ms + 3 * S, name="never")
                self.cancel(record.timestamp_ms + 3 * S, name="never")
                self.cancel(record.timestamp_ms + 3 * S, name="missing")
            elif record.value == 2:
                self.schedule(1 * S, name="passed", key="other")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            self.forward(value=timer.name)
            if timer.name == "tick" and timer.time_ms < 5 * S:
                self.schedule(after="2s", name="tick")

    out, tables = run(Ticks, [("a", 1, 0), ("a", 2, 5), ("a", 0, 9)])

    # All of the first four are due with the record of second 5: the earliest comes first.
    assert out == [("other", "passed", 1), ("a", "tick", 2), ("a", "tick", 4), ("a", "tick", 6)]
    assert tables["visits.timers"] == {}


def test_a_timer_that_would_be_due_without_end_is_an_error() -> None:
    class Endless(sc.Processor[str, int, str, str]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            self.schedule(after="1s")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            self.schedule(timer.time_ms)

    with pytest.raises(sc.UserCodeError, match="a later time than its own"):
        run(Endless, [("a", 1, 0), ("a", 1, 5)])


def test_timers_of_the_clock_come_with_the_clock_and_survive_a_crash() -> None:
    class Reminds(sc.Processor[str, int, str, str]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            self.schedule(after="1m", by_clock=True, name="first")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            assert timer.by_clock
            self.forward(value=f"{timer.name} at {self.now_ms // S}")
            if timer.name == "first":
                self.schedule(after="1m", by_clock=True, name="second")

    app = sc.App("app")
    events = app.topic("events", key=str, value=int)
    reminded = events.process("reminds", Reminds)
    reminded.to("out")
    reminded.count("counted")
    with TopologyDriver(app) as driver:
        driver.send(events, key="a", value=1, at=500 * S)
        driver.process()
        driver.advance("30s")
        assert driver.read("out") == []
        driver.crash()
        driver.advance("31s")
        assert [(record.key, record.value) for record in driver.read("out")] == [("a", "first at 60")]
        driver.advance("2m")
        assert [record.value for record in driver.read("out")] == ["second at 120"]
        driver.advance("1h")
        assert driver.read("out") == []
        assert driver.table("counted").get("a").value == 2  # type: ignore[union-attr]


def test_a_timer_of_the_clock_comes_before_one_that_was_set_earlier_for_later() -> None:
    class Waits(sc.Processor[str, int, str, str]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            self.schedule(after=f"{record.value}s", by_clock=True, name=f"after {record.value}")

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            self.forward(value=timer.name)

    app = sc.App("app")
    events = app.topic("events", key=str, value=int)
    events.process("waits", Waits).to("out")
    with TopologyDriver(app) as driver:
        driver.send(events, key="a", value=60)
        driver.advance("1s")
        driver.send(events, key="a", value=5)
        driver.advance("6s")
        assert [record.value for record in driver.read("out")] == ["after 5"]
        driver.advance("1m")
        assert [record.value for record in driver.read("out")] == ["after 60"]


def test_a_timer_of_the_clock_that_another_cancels_is_not_called() -> None:
    class First(sc.Processor[str, int, str, str]):
        def on_record(self, record: sc.Record[str, int]) -> None:
            for name in ("a", "b"):
                self.schedule(60 * S, by_clock=True, name=name)

        def on_timer(self, timer: sc.DueTimer[str]) -> None:
            self.forward(value=timer.name)
            self.cancel(60 * S, by_clock=True, name="b")

    app = sc.App("app")
    events = app.topic("events", key=str, value=int)
    events.process("first", First).to("out")
    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1, at=0)
        driver.advance("2m")
        assert [record.value for record in driver.read("out")] == ["a"]


def test_what_timers_forward_is_in_time_for_the_next_window() -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=int)
    events.process("visits", Visits).tumbling("5s").count("counts").final().to("finals")
    with TopologyDriver(app) as driver:
        for key, at_s in [("a", 0), ("b", 1), ("a", 60), ("a", 200), ("a", 300)]:
            driver.send(events, key=key, value=1, at=at_s * S)
        finals = [
            (record.key.key, record.key.start_ms // S, record.value) for record in driver.read("finals")
        ]

    assert finals == [("a", 10, 1), ("b", 10, 1), ("a", 70, 1), ("a", 210, 1)]


def test_keys_that_a_step_changed_meet_in_one_part_of_the_stores() -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=int, partitions=3)
    events.group_by(lambda value: str(value % 2), key=str).process("visits", Visits).to("out")
    with TopologyDriver(app) as driver:
        for number in range(6):
            driver.send(events, key=f"k{number}", value=number, at=number * S)
        driver.process()
        assert {answer.key: answer.value for answer in driver.table("visits.sums").all()} == {"0": 6, "1": 9}


def test_each_task_has_an_object_of_its_own_and_init_may_use_no_store() -> None:
    class Early(sc.Processor[str, int, str, int]):
        kept = sc.Store(key=str, value=int)

        def __init__(self) -> None:
            self.calls = 0

        def on_record(self, record: sc.Record[str, int]) -> None:
            self.calls += 1
            self.kept[record.key] = self.calls
            self.forward(sc.Record("n", self.calls))

    out, _ = run(Early, [("a", 1, 0), ("b", 1, 1)])

    assert out == [("n", 1, 0), ("n", 2, 1)]
    with pytest.raises(sc.UsageError, match="on_record and on_timer"):
        Early().kept  # noqa: B018 - the access is what fails


class Takes(sc.Processor[str, int, str, int]):
    def __init__(self, number: int) -> None:
        self.number = number

    def on_record(self, record: sc.Record[str, int]) -> None: ...


class Awaits(sc.Processor[str, int, str, int]):
    async def on_record(self, record: sc.Record[str, int]) -> None: ...  # type: ignore[override]


class Nothing(sc.Processor[str, int, str, int]): ...


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("p", len), "give a subclass of sc.Processor"),
        (("p", int), "give a subclass of sc.Processor"),
        ((Visits, "p"), "name the processor"),
        (("p", Takes), r"called with \(\)"),
        (("p", Awaits), "write 'def' instead of 'async def'"),
        (("p", Nothing), "define on_record"),
        (("p",), "processor"),
    ],
)
def test_wrong_arguments_are_refused_with_the_place(arguments: Any, told: str) -> None:
    topic = sc.App("app").topic("events", key=str, value=int)

    with pytest.raises(sc.TopologyError, match=rf"{told}.*at=.*test_processors.py"):
        topic.process(*arguments)


def test_two_processors_of_one_name_are_refused() -> None:
    topic = sc.App("app").topic("events", key=str, value=int)
    topic.process("visits", Visits)

    with pytest.raises(sc.TopologyError, match=r"two tables have one name.*visits.sums"):
        topic.process("visits", Visits)
