"""The HTTP side of a worker, over real connections on this machine."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import streamcore as sc
from streamcore.errors import UsageError, UserCodeError
from streamcore.model import TopicPartition
from streamcore.processing.runtime.background import Running
from streamcore.processing.runtime.running import Worker
from streamcore.state.position import Position
from streamcore.web.server import WebServer, host_and_port

HOUR_MS = 3_600_000


def make_app() -> sc.App:
    app = sc.App("web")
    words = app.topic("words", key=str, value=int, partitions=2, on_error=sc.skip)
    words.tumbling("1h").count("hourly")
    app.topic("names", key=str, value=str).global_table("names")
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(words)
    async def watch(events: Any) -> None:
        async for key, _ in events.items():
            seen[key] += 1

    return app


@dataclass(frozen=True, slots=True)
class Served:
    http: httpx.Client
    log: sc.Log
    end: Position
    """Behind everything that was sent to begin with."""

    def json(self, path: str, status: int = 200, /, **words: str) -> Any:
        reply = self.http.get(path, params=words)
        assert reply.status_code == status, reply.text
        assert reply.headers["content-type"] == "application/json"
        return reply.json()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker that has counted seven keys of words over three hours, and is asked over HTTP."""
    worker = Worker(make_app(), data=tmp_path_factory.mktemp("web") / "data", state="memory")
    running = Running(worker)
    end = Position()
    with WebServer(worker, "127.0.0.1:0", {"hourly-0": (3, 9)}) as server:
        with running.log.producer() as producer:
            for number in range(21):
                place = producer.send(
                    "words", key=f"k{number % 7}".encode(), value=b"1", timestamp_ms=number // 7 * HOUR_MS
                ).result()
                end = end.merge(Position.after(TopicPartition(place.topic, place.partition), place.offset))
            producer.send_and_wait("words", key=b"k0", value=b"not a number")
            producer.send_and_wait("words", key=b"k0", value=None)
            producer.send_and_wait("names", key=b"a/b c?", value=b"Anna")
        running.wait_until_caught_up(timeout="20s")
        with httpx.Client(base_url=server.url, timeout=10) as client:
            yield Served(client, running.log, end)
    running.stop()


def test_tables_are_listed_with_kinds_and_positions(served: Served) -> None:
    found = served.json("/tables")

    assert found["application"] == "web"
    assert [(table["table"], table["kind"], table["window_size_ms"]) for table in found["tables"]] == [
        ("hourly", "windows", HOUR_MS),
        ("names", "global", None),
        ("seen", "keys", None),
    ]
    assert found["tables"][1]["position"] == {"names": {"0": 1}}


def test_a_key_gives_its_value_and_the_position_that_it_reflects(served: Served) -> None:
    found = served.json("/tables/seen/k3")

    assert (found["table"], found["key"], found["value"]) == ("seen", "k3", 3)
    assert Position.from_text(str(found["position"]).replace("'", '"')).covers(served.end)


def test_a_key_may_hold_any_characters(served: Served) -> None:
    assert served.json("/tables/names/a%2Fb%20c%3F")["value"] == "Anna"
    assert served.json("/tables/names/a/b%20c%3F")["value"] == "Anna"


@pytest.mark.parametrize("time", [str(2**63 - 1), str(-(2**63) + 1), "-1", "1969-12-31T23:00Z"])
def test_a_time_without_windows_has_no_rows(served: Served, time: str) -> None:
    served.json("/tables/hourly/k3", 404, at=time)
    assert served.json("/tables/hourly/k3", since=time, until=time)["rows"] == []
    assert served.json("/tables/hourly", since=time, until=time)["rows"] == []


@pytest.mark.parametrize("time", [str(2**63), "9" * 5_000, "now"])
def test_a_time_that_is_none_is_refused(served: Served, time: str) -> None:
    for word in ("at", "since", "until"):
        assert "time" in served.json("/tables/hourly/k3", 400, **{word: time})["error"]
    assert "time" in served.json("/tables/hourly", 400, **{"from": time})["error"]


def test_a_window_is_asked_by_a_time_in_it(served: Served) -> None:
    found = served.json("/tables/hourly/k3", at="1970-01-01T01:59:59Z")

    assert (found["start_ms"], found["end_ms"], found["value"]) == (HOUR_MS, 2 * HOUR_MS, 1)


def test_without_a_time_a_key_gives_its_windows(served: Served) -> None:
    assert [row["start_ms"] for row in served.json("/tables/hourly/k3")["rows"]] == [0, HOUR_MS, 2 * HOUR_MS]
    some = served.json("/tables/hourly/k3", since=str(HOUR_MS), until=str(2 * HOUR_MS))
    assert [row["start_ms"] for row in some["rows"]] == [HOUR_MS]


def test_a_span_of_keys_is_in_order_without_its_end(served: Served) -> None:
    assert [row["key"] for row in served.json("/tables/seen", **{"from": "k2", "to": "k5"})["rows"]] == [
        "k2",
        "k3",
        "k4",
    ]
    assert len(served.json("/tables/seen", prefix="k")["rows"]) == 7
    assert served.json("/tables/seen", prefix="x") == {
        "table": "seen",
        "rows": [],
        "more": False,
        "position": served.json("/tables/seen")["position"],
    }


def test_a_limited_span_says_where_to_go_on(served: Served) -> None:
    found, keys = served.json("/tables/seen", limit="3"), []
    while found["more"]:
        keys += [row["key"] for row in found["rows"]]
        found = served.json("/tables/seen", **{"limit": "3", "from": found["next"]})
    keys += [row["key"] for row in found["rows"]]

    assert keys == [f"k{number}" for number in range(7)]


def test_a_span_of_windows_takes_times(served: Served) -> None:
    rows = served.json("/tables/hourly", **{"from": "1970-01-01T01:00Z", "to": "1970-01-01T02:00Z"})["rows"]

    assert [(row["key"], row["start_ms"]) for row in rows] == [(f"k{n}", HOUR_MS) for n in range(7)]


@pytest.mark.parametrize(
    ("path", "words", "status", "said"),
    [
        ("/tables/nothing", {}, 404, "tables=hourly,names,seen"),
        ("/tables/nothing/k", {}, 404, "there is no such table"),
        ("/tables/seen/nobody", {}, 404, "the key has no value"),
        ("/tables/hourly/k3", {"at": "1980-01-01T00:00Z"}, 404, "the key has no value"),
        ("/tables/hourly/k3", {"at": "noon"}, 400, "write a time"),
        ("/tables/hourly/k3", {"at": "1970-01-01T00:00"}, 400, "needs a zone"),
        ("/tables/seen/k3", {"at": "0"}, 400, "leave out the time"),
        ("/tables/seen", {"limit": "0"}, 400, "limit is a number from 1 to 10000"),
        ("/tables/seen", {"limit": "10001"}, 400, "limit is a number"),
        ("/tables/seen", {"limits": "3"}, 400, "parameter=limits"),
        ("/tables/seen", {"prefix": "a", "to": "b"}, 400, "give a prefix, or from and to"),
        ("/tables/seen/k3", {"at_least": "far"}, 400, "not a position"),
        ("/tables/seen/k3", {"at_least": "{}", "timeout": "soon"}, 400, "duration"),
        ("/topology", {"format": "svg"}, 400, "text or mermaid"),
        ("/nothing", {}, 404, "try /tables"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    served: Served, path: str, words: dict[str, str], status: int, said: str
) -> None:
    assert said in served.json(path, status, **words)["error"]


def test_only_get_is_known(served: Served) -> None:
    reply = served.http.post("/tables")

    assert (reply.status_code, list(reply.json())) == (405, ["error"])


def test_an_answer_waits_until_it_reflects_what_was_acknowledged(served: Served) -> None:
    for count in range(1, 6):
        with served.log.producer() as producer:
            place = producer.send("words", key=b"fresh", value=b"1", timestamp_ms=0).result()
        position = Position.after(TopicPartition(place.topic, place.partition), place.offset)

        assert served.json("/tables/seen/fresh", at_least=position.to_text())["value"] == count


def test_an_answer_that_cannot_be_so_fresh_in_time_is_504(served: Served) -> None:
    far = Position({TopicPartition("words", 0): 10**9}).to_text()

    assert "at_least" in served.json("/tables/seen/k3", 504, at_least=far, timeout="20ms")["error"]


@pytest.mark.slow
def test_many_waiting_questions_hold_nobody_up(served: Served) -> None:
    far = Position({TopicPartition("words", 0): 10**9}).to_text()
    clients = httpx.Client(base_url=served.http.base_url, limits=httpx.Limits(max_connections=100))

    def wait(_: int) -> int:
        return clients.get("/tables/seen", params={"at_least": far, "timeout": "1s"}).status_code

    with clients, ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(wait, number) for number in range(60)]
        health = served.json("/health")
        value = served.json("/tables/seen/k3")["value"]
        were_waiting = not any(future.done() for future in waiting)
        statuses = {future.result() for future in waiting}

    assert (health["status"], value, were_waiting, statuses) == ("ok", 3, True, {504})


def test_health_is_ok_while_the_worker_works(served: Served) -> None:
    assert served.json("/health") == {"status": "ok", "application": "web"}


def test_the_topology_is_text_or_a_flowchart(served: Served) -> None:
    assert served.http.get("/topology").text.startswith("application web\n")
    assert served.http.get("/topology", params={"format": "mermaid"}).text.startswith("flowchart TD\n")


def test_metrics_count_what_the_worker_did(served: Served) -> None:
    reply = served.http.get("/metrics")
    numbers = {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in reply.text.splitlines() if line[0] != "#")
    }

    assert reply.headers["content-type"].startswith("text/plain")
    processed = [
        value for name, value in numbers.items() if name.startswith("streamcore_records_processed_total")
    ]
    assert len(processed) == 2
    assert sum(processed) >= 22
    assert numbers['streamcore_failures_total{node="words",policy="skip"}'] == 1
    assert numbers['streamcore_records_left_out_total{node="words",reason="null_value"}'] == 1
    assert numbers["streamcore_commits_total"] >= 1
    assert numbers['streamcore_input_lag_records{partition="0",topic="words"}'] == 0
    assert numbers['streamcore_restore_records{store="hourly-0"}'] == 9
    assert numbers['streamcore_restored_records{store="hourly-0"}'] == 3
    assert numbers["streamcore_worker_ready"] == 1
    assert any(name.startswith("streamcore_records_late_total") for name in numbers)


def test_before_the_tables_are_restored_answers_are_503(tmp_path: Path) -> None:
    worker = Worker(make_app(), data=tmp_path / "data")

    with (
        WebServer(worker, "127.0.0.1:0", {"seen-0": (5, 10)}) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        health, tables, metrics = (client.get(path) for path in ("/health", "/tables", "/metrics"))

    assert health.status_code == 503
    assert health.json()["restore"] == {"seen-0": {"done": 5, "of": 10}}
    assert tables.status_code == 503
    assert "streamcore_worker_ready 0.0" in metrics.text


def test_health_fails_with_the_reason_when_the_worker_has_stopped(tmp_path: Path) -> None:
    app = sc.App("failing")
    words = app.topic("words", key=str, value=str)

    @app.agent(words)
    async def fragile(events: AsyncIterable[str]) -> None:
        async for _ in events:
            raise ValueError("no such word")

    worker = Worker(app, data=tmp_path / "data", state="memory")
    running = Running(worker)
    with WebServer(worker, "127.0.0.1:0", {}) as server:
        with running.log.producer() as producer:
            producer.send_and_wait("words", key=b"k", value=b"v")
        with pytest.raises(UserCodeError, match="no such word"):
            running.wait_until_caught_up(timeout="20s")

        reply = httpx.get(f"{server.url}/health")

    assert reply.status_code == 503
    assert reply.json()["status"] == "failing"
    assert "offset=0" in reply.json()["reason"]


def test_an_address_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    worker = Worker(make_app(), data=tmp_path / "data")

    with WebServer(worker, "127.0.0.1:0", {}) as server:
        taken = server.url.removeprefix("http://")
        with pytest.raises(UsageError, match="cannot listen here for HTTP, choose another"):
            WebServer(worker, taken, {})


def test_an_answer_is_sent_without_waiting_for_the_acknowledgement_of_its_head(tmp_path: Path) -> None:
    """asyncio sets TCP_NODELAY for the connections of a listening socket that names its protocol."""
    with WebServer(Worker(make_app(), data=tmp_path / "data"), "127.0.0.1:0", {}) as server:
        assert server._socket.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), (":8080", ("127.0.0.1", 8080)), ("[::1]:0", ("::1", 0))],
)
def test_an_address_is_a_host_and_a_port(text: str, parts: tuple[str, int]) -> None:
    assert host_and_port(text) == parts


@pytest.mark.parametrize("text", ["", "8080", "localhost", "host:99999", "a:b", "http://x:1", "::1:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        host_and_port(text)


def test_a_stored_value_that_does_not_decode_is_500_with_table_key_and_type(tmp_path: Path) -> None:
    app = sc.App("ages")
    app.topic("people", key=str, value=int).global_table("ages")
    with sc.connect(tmp_path / "data") as log:
        log.create_topic("people")
        with log.producer() as producer:
            producer.send_and_wait("people", key=b"ann", value=b"41")
            producer.send_and_wait("people", key=b"bob", value=b"old")
    worker = Worker(app, data=tmp_path / "data", state="memory")
    running = Running(worker)
    with WebServer(worker, "127.0.0.1:0", {}) as server, httpx.Client(base_url=server.url) as http:
        running.wait_until_caught_up(timeout="20s")
        replies = {path: http.get(f"/tables/ages{path}") for path in ("/ann", "/bob", "")}
    running.stop()

    assert {path: reply.status_code for path, reply in replies.items()} == {"/ann": 200, "/bob": 500, "": 500}
    for path in ("/bob", ""):
        assert "table=ages key='bob' type=int data=b'old'" in replies[path].json()["error"]
