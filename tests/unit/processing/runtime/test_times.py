"""Times of records in running applications: none, before 1970, far ahead, and what gives one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import InvalidTimestampError, TopologyError, UsageError, UserCodeError
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.testing import TopologyDriver

NANOSECONDS = 1_700_000_000_000_000_000
IMPOSSIBLE = [-1, NANOSECONDS, 2**63 - 1]


def windows_of(stream: Any, kind: str) -> Any:
    return stream.tumbling("10s") if kind == "tumbling" else stream.hopping("10s", "5s")


def counted(driver: TopologyDriver, table: str) -> list[tuple[int, int]]:
    return sorted((answer.key.start_ms, answer.value) for answer in driver.table(table).all())


# -- records without a time


@pytest.mark.parametrize("kind", ["tumbling", "hopping"])
@pytest.mark.parametrize("bad_ms", IMPOSSIBLE)
def test_a_window_leaves_a_record_without_a_time_to_the_policy_and_closes_nothing(
    kind: str, bad_ms: int
) -> None:
    app = sc.App("windows", on_error=sc.skip)
    events = app.topic("events", key=str, value=int)
    windows_of(events, kind).count("per-window")

    with TopologyDriver(app) as driver:
        for at in (7_000, bad_ms, 8_000):
            driver.send_bytes(events, key=b"k", value=b"1", at=at)

        expected = [(0, 2)] if kind == "tumbling" else [(0, 2), (5_000, 2)]
        assert counted(driver, "per-window") == expected
        assert driver.late_count == 0


@pytest.mark.parametrize("kind", ["tumbling", "hopping"])
def test_a_record_without_a_time_stops_a_window_with_the_record_and_what_to_do(kind: str) -> None:
    app = sc.App("windows")
    events = app.topic("events", key=str, value=int)
    windows_of(events, kind).count("per-window")

    with TopologyDriver(app) as driver:
        driver.send_bytes(events, key=b"k", value=b"1", at=-1)

        with pytest.raises(UserCodeError, match=r"has no time.*node=per-window .*offset=0 key=b'k'"):
            driver.process()


@pytest.mark.parametrize("grouped", [False, True])
def test_the_topics_own_policy_decides_about_a_missing_time_behind_a_repartition_too(grouped: bool) -> None:
    app = sc.App("topics")
    events = app.topic("events", key=str, value=int, on_error=sc.dead_letter("dead"))
    stream = events.group_by(lambda value: str(value % 2), key=str) if grouped else events
    stream.tumbling("10s").count("per-window")

    with TopologyDriver(app) as driver:
        for at in (-1, 7_000, -1):
            driver.send_bytes(events, key=b"1", value=b"1", at=at)

        assert counted(driver, "per-window") == [(0, 1)]
        assert [record.timestamp_ms for record in driver.read("dead")] == [-1, -1]


def test_steps_that_need_no_time_take_records_without_one_and_give_them_on_without() -> None:
    app = sc.App("stateless")
    events = app.topic("events", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    sent = app.topic("sent", key=str, value=int)
    events.count("counts")
    events.map_record(lambda record: sc.Record(record.key, record.value + 1), key=str, value=int).to(out)

    @app.agent(events)
    async def forward(values: Any) -> None:
        async for record in values.records():
            await sent.send(key=record.key, value=record.timestamp_ms)

    with TopologyDriver(app) as driver:
        for at in (-1, 9_000, NANOSECONDS):
            driver.send_bytes(events, key=b"k", value=b"1", at=at)

        answer = driver.table("counts").get("k")
        assert answer is not None
        assert answer.value == 3
        assert [record.timestamp_ms for record in driver.read(out)] == [-1, 9_000, -1]
        assert [(record.value, record.timestamp_ms) for record in driver.read(sent)] == [
            (-1, -1),
            (9_000, 9_000),
            (-1, -1),
        ]


def test_an_event_without_a_time_has_no_window_in_an_agents_table() -> None:
    app = sc.App("agents", on_error=sc.skip)
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0).tumbling("10s")

    @app.agent(events)
    async def count(values: Any) -> None:
        async for key, _ in values.items():
            seen[key] += 1

    with TopologyDriver(app) as driver:
        for at in (3_000, -1, 4_000):
            driver.send_bytes(events, key=b"k", value=b"1", at=at)

        assert counted(driver, "seen") == [(0, 2)]


def test_a_record_that_tells_no_time_does_not_close_windows_by_its_time_in_the_log() -> None:
    app = sc.App("history", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, timestamp=lambda value: 10_000 // value)
    events.tumbling("10s").count("per-window")

    with TopologyDriver(app, now="2025-01-01T00:00Z") as driver:
        for value in (b"1000", None, b"?", b"0", b"500"):
            driver.send_bytes(events, key=b"k", value=value)

        assert counted(driver, "per-window") == [(0, 2)]
        assert driver.late_count == 0


# -- what gives a time


@pytest.mark.parametrize("at", ["1969-12-31T23:59:58Z", -1, -5, 2**63, datetime(1969, 12, 31, tzinfo=UTC)])
def test_a_time_that_no_record_can_have_is_refused_where_it_is_given(at: Any) -> None:
    app = sc.App("given")
    events = app.topic("events", key=str, value=int)

    with TopologyDriver(app) as driver:
        with pytest.raises(InvalidTimestampError, match="1970"):
            driver.send(events, key="k", value=1, at=at)

        assert driver.read(events) == []


@pytest.mark.parametrize("at", [1.5, True, "yesterday", datetime(2020, 1, 1)])
def test_what_is_no_time_is_refused_where_it_is_given(at: Any) -> None:
    app = sc.App("given")
    events = app.topic("events", key=str, value=int)

    with TopologyDriver(app) as driver, pytest.raises(UsageError):
        driver.send(events, key="k", value=1, at=at)


async def _by_at(topic: Any) -> None:
    await topic.send(key="k", value=1, at="1969-12-31T23:59:59.999Z")


async def _by_timestamp(topic: Any) -> None:
    await topic.send(key="k", value=1, timestamp_ms=-5)


async def _by_fraction(topic: Any) -> None:
    await topic.send(key="k", value=1, timestamp_ms=1.5)


async def _by_record(topic: Any) -> None:
    topic.send_many([sc.Record("k", 1, -5)])


async def _by_headers(topic: Any) -> None:
    await topic.send(key="k", value=1, headers=(("name", "text"),))


async def _by_many_headers(topic: Any) -> None:
    topic.send_many([sc.Record("k", 1, headers={"name": b"bytes"})])  # type: ignore[arg-type]


BAD_SENDS = [_by_at, _by_timestamp, _by_fraction, _by_record, _by_headers, _by_many_headers]


@pytest.mark.parametrize("bad_send", BAD_SENDS)
def test_a_send_that_no_log_can_keep_is_an_error_of_the_event_of_its_agent(bad_send: Any) -> None:
    app = sc.App("agents", on_error=sc.skip)
    events = app.topic("events", key=str, value=int)
    out = app.topic("out", key=str, value=int)

    @app.agent(events)
    async def send(values: Any) -> None:
        async for value in values:
            if value == 1:
                await bad_send(out)
            await out.send(key="k", value=value)

    with TopologyDriver(app) as driver:
        for value in (0, 1, 2):
            driver.send(events, key="k", value=value, at=value)

        assert [(record.value, record.timestamp_ms) for record in driver.read(out)] == [(0, 0), (2, 2)]


@pytest.mark.parametrize("bad_send", BAD_SENDS)
def test_a_send_that_no_log_can_keep_is_refused_in_a_timer(bad_send: Any) -> None:
    app = sc.App("timers")
    out = app.topic("out", key=str, value=int)
    refused: list[UsageError] = []

    @app.timer("1s")
    async def send() -> None:
        try:
            await bad_send(out)
        except UsageError as error:
            refused.append(error)

    with TopologyDriver(app) as driver:
        driver.advance("1s")

        assert len(refused) == 1
        assert driver.read(out) == []


# -- what steps return

BAD_RECORDS = [
    sc.Record("k", 1, -5),
    sc.Record("k", 1, 2**63),
    sc.Record("k", 1, 1.5),  # type: ignore[arg-type]
    sc.Record("k", 1, "2020-01-01"),  # type: ignore[arg-type]
    sc.Record("k", 1, None),  # type: ignore[arg-type]
    sc.Record("k", 1, headers=(("name", 1),)),  # type: ignore[arg-type]
    sc.Record("k", 1, headers=((b"name", b"value"),)),  # type: ignore[arg-type]
    sc.Record("k", 1, headers=(("a", b"b", b"c"),)),  # type: ignore[arg-type]
    sc.Record("k", 1, headers=(("\ud800", b"surrogate"),)),
    sc.Record("k", 1, headers={"name": b"value"}),  # type: ignore[arg-type]
    sc.Record("k", 1, headers=None),  # type: ignore[arg-type]
    ("k", 1),
    None,
]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("bad", BAD_RECORDS)
@pytest.mark.parametrize("policy", [sc.stop, sc.skip])
def test_a_record_that_no_log_can_keep_is_an_error_of_the_record_that_it_was_made_from(
    bad: Any, flat: bool, policy: ErrorPolicy
) -> None:
    app = sc.App("made", on_error=policy)
    events = app.topic("events", key=str, value=int)

    def made(record: Any) -> Any:
        return bad if record.value == 1 else record

    if flat:
        step = events.flat_map_record(lambda record: [made(record)], name="made", key=str, value=int)
    else:
        step = events.map_record(made, name="made", key=str, value=int)
    step.to("out")

    with TopologyDriver(app) as driver:
        for value in (0, 1, 2):
            driver.send(events, key=f"key{value}", value=value, at=value)

        if policy == sc.skip:
            assert [record.value for record in driver.read("out")] == [0, 2]
        else:
            with pytest.raises(UserCodeError, match=r"node=made topic=events .*offset=1 key=b'key1'"):
                driver.process()


def test_headers_may_be_lists_and_their_bytes_missing() -> None:
    app = sc.App("headers")
    events = app.topic("events", key=str, value=int)
    lists: Any = [["name", b"value"], ("nothing", None)]
    events.map_record(lambda record: sc.Record("k", 1, headers=lists), key=str, value=int).to("out")

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)

        assert [record.headers for record in driver.read("out")] == [(("name", b"value"), ("nothing", None))]


@pytest.mark.parametrize("returned", [5, None])
def test_what_cannot_be_iterated_is_an_error_of_the_record(returned: Any) -> None:
    app = sc.App("flat")
    events = app.topic("events", key=str, value=int)
    events.flat_map(lambda value: returned, name="flat", value=int).to("out")

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)

        with pytest.raises(UserCodeError, match=r"node=flat .*offset=0 key=b'k' .*not iterable"):
            driver.process()


# -- far ahead of the clock


def test_a_time_too_far_ahead_is_an_error_of_the_record_and_closes_no_window() -> None:
    app = sc.App("ahead")
    events = app.topic("events", key=str, value=int, max_ahead="1d", on_error=sc.dead_letter("dead"))
    events.tumbling("10s").count("per-window")

    with TopologyDriver(app, now="2025-03-01T00:00Z") as driver:
        for at in ("2025-03-01T00:00:01Z", "2025-03-09T00:00Z", "2025-03-01T00:00:02Z"):
            driver.send(events, key="k", value=1, at=at)

        assert [value for _, value in counted(driver, "per-window")] == [2]
        letter = driver.read("dead")[0]
        assert b"max_ahead" in (dict(letter.headers)["streamcore.error"] or b"")


NEAR, AHEAD = "2025-03-01T00:00:{:02}Z", "2031-03-01T00:00Z"


def cut(kind: str, events: Any) -> Any:
    match kind:
        case "tumbling":
            return events.tumbling("10s")
        case "hopping":
            return events.hopping("10s", "5s")
        case "session":
            return events.session("10s")
        case _:
            return events.calendar("day")


@pytest.mark.parametrize("kind", ["tumbling", "hopping", "session", "calendar"])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_time_a_day_ahead_of_the_clock_closes_no_window(kind: str, grouped: bool, crashes: bool) -> None:
    app = sc.App("ahead")
    events = app.topic("events", key=str, value=int, partitions=2)
    stream = events.group_by(lambda value: f"k{value}", key=str, name="again") if grouped else events
    table = cut(kind, stream).count("per-window")
    table.final().to("final")

    with TopologyDriver(app, now=NEAR.format(0)) as driver:
        for at in (NEAR.format(1), AHEAD, NEAR.format(2)):
            driver.send(events, key="k1", value=1, at=at)
            driver.process()
            if crashes:
                driver.crash()

        assert driver.late_count == 0
        rows = {row.key.start_ms: row.value for row in driver.table("per-window").all()}
        assert set(rows.values()) == {1, 2}
        driver.close_windows()
        driver.send(events, key="k1", value=1, at="2025-03-03T00:00Z")
        assert driver.late_count == 0
        assert {record.value for record in driver.read("final")} <= {2}


@pytest.mark.parametrize(
    ("now", "max_ahead", "late"),
    [(None, ..., 1), (NEAR.format(0), None, 1), (NEAR.format(0), ..., 0), ("2031-02-28T00:00Z", ..., 1)],
)
def test_which_times_close_windows_is_chosen_by_the_topic(now: Any, max_ahead: Any, late: int) -> None:
    app = sc.App("ahead")
    events = app.topic("events", key=str, value=int, max_ahead=max_ahead)
    events.group_by(lambda value: f"k{value}", key=str, name="again").tumbling("10s").count("per-window")

    with TopologyDriver(app, now=now) as driver:
        for at in (NEAR.format(1), AHEAD, NEAR.format(2)):
            driver.send(events, key="k", value=1, at=at)

        driver.process()
        assert driver.late_count == late


def test_rows_of_joins_far_ahead_of_the_clock_do_not_end_the_others() -> None:
    app = sc.App("ahead")
    left, right = (app.topic(name, key=str, value=int) for name in ("left", "right"))
    left.join(
        right, lambda one, other: f"{one} {other}", before="10s", after="10s", how="outer", name="j"
    ).to("o")

    with TopologyDriver(app, now=NEAR.format(0)) as driver:
        for topic, at in ((left, NEAR.format(1)), (left, AHEAD), (right, AHEAD), (right, NEAR.format(2))):
            driver.send(topic, key="k", value=1, at=at)
            driver.process()
        driver.close_windows()

        assert [record.value for record in driver.read("o")] == ["1 1", "1 1"]


def test_a_table_cannot_follow_a_topic_whose_records_the_clock_decides_about() -> None:
    events = sc.App("ahead").topic("events", key=str, value=int, max_ahead="1d")

    with pytest.raises(TopologyError, match="max_ahead"):
        events.table("table")
    with pytest.raises(TopologyError, match="max_ahead"):
        events.global_table("global")


# -- near 1970


@pytest.mark.parametrize(
    ("at", "starts"), [(0, [0]), (4_999, [0]), (5_000, [0, 5_000]), (12_000, [5_000, 10_000])]
)
def test_no_window_starts_before_1970(at: int, starts: list[int]) -> None:
    app = sc.App("near")
    events = app.topic("events", key=str, value=int)
    events.hopping("10s", "5s").count("per-window")

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1, at=at)

        assert counted(driver, "per-window") == [(start, 1) for start in starts]


# -- other results of functions that fail where they are used


class Undecided:
    """Neither true nor false, as an array of several numbers is."""

    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


@pytest.mark.parametrize("step", ["filter", "filter_not", "branch"])
@pytest.mark.parametrize("policy", [sc.stop, sc.skip])
def test_a_flag_that_is_neither_true_nor_false_is_an_error_of_the_record(
    step: str, policy: ErrorPolicy
) -> None:
    app = sc.App("flags", on_error=policy)
    events = app.topic("events", key=str, value=int)

    def flag(value: int) -> Any:
        return Undecided() if value == 1 else step != "filter_not"

    kept = events.branch(arm=flag).arm if step == "branch" else getattr(events, step)(flag)
    kept.to("out")

    with TopologyDriver(app) as driver:
        for value in (0, 1, 2):
            driver.send(events, key=f"key{value}", value=value)

        if policy == sc.skip:
            assert [record.value for record in driver.read("out")] == [0, 2]
        else:
            with pytest.raises(UserCodeError, match=r"offset=1 key=b'key1' .*neither true nor false"):
                driver.process()


def failing_result() -> Any:
    def result(total: int) -> int:
        if total == 13:
            raise ValueError("unlucky")
        return total

    return sc.aggregation(lambda: 0, lambda total, value: total + value, result=result)


def test_a_result_that_cannot_be_made_is_an_error_of_the_record_that_closed_the_window() -> None:
    app = sc.App("finals", on_error=sc.skip)
    events = app.topic("events", key=str, value=int)
    events.tumbling("10s").aggregate("sums", total=failing_result()).final().map(
        lambda sums: sums.total, name="totals", value=int
    ).to("out")

    with TopologyDriver(app) as driver:
        for key, value, at in [("a", 13, 1_000), ("b", 5, 2_000), ("c", 1, 20_000)]:
            driver.send(events, key=key, value=value, at=at)

        assert [record.value for record in driver.read("out")] == [5]


def test_a_result_that_cannot_be_made_is_an_error_of_the_record_that_is_joined() -> None:
    app = sc.App("joined", on_error=sc.skip)
    events = app.topic("events", key=str, value=int)
    sums = events.aggregate("sums", total=failing_result())
    events.join(sums, lambda value, found: found.total, name="join", value=int).to("out")

    with TopologyDriver(app) as driver:
        for key, value in [("a", 13), ("a", 1), ("b", 5)]:
            driver.send(events, key=key, value=value)

        assert [record.value for record in driver.read("out")] == [14, 5]
