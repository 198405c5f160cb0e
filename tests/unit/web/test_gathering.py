"""Every worker answers for all partitions of a table, whichever of them it has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

import streamcore as sc
from streamcore.model import TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.state.position import Position
from tests.support.application_house import House
from tests.support.workers_in_halves import Halves, halves

KEYS = [f"k{number:02}" for number in range(24)]
HOUR_MS = 3_600_000
PARTITIONS = 4
ASKS_MAX = 100
ASK_AGAIN_S = 0.1


def partition(key: str) -> int:
    return partition_of_key(key.encode(), PARTITIONS)


def shop() -> sc.App:
    app = sc.App("shop")
    words = app.topic("words", key=str, value=int, partitions=PARTITIONS)
    words.sum("sums", of=lambda value: value)
    words.tumbling("1h").count("hourly")
    words.repartition(PARTITIONS, name="again").count("moved")
    app.topic("names", key=str, value=int).global_table("names")
    app.topic("strange", key=str, value=int, partitions=PARTITIONS).table("strange")
    app.topic("numbers", key=int, value=int, partitions=PARTITIONS).table("numbers", history="1h")
    return app


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    made = House()
    for topic in ("words", "strange", "numbers"):
        made.log.create_topic(topic, partitions=PARTITIONS)
    made.log.create_topic("names")
    for number in range(PARTITIONS):
        keys = [key for key in KEYS if partition(key) == number]
        made.produce("words", *((key, KEYS.index(key)) for key in keys), partition=number)
    made.clock.advance(HOUR_MS)
    for number in range(PARTITIONS):
        made.produce("words", *((key, 0) for key in KEYS if partition(key) == number), partition=number)
    # Another producer chose these partitions.
    made.produce("strange", ("a", 1), ("twice", 1), partition=(partition("a") + 1) % PARTITIONS)
    made.produce("strange", ("twice", 2), partition=(partition("a") + 2) % PARTITIONS)
    for value in range(-20, 20):
        key = str(value)
        made.produce("numbers", (key, value), partition=partition(key))
    made.produce("names", ("anne", 7))
    yield made
    made.log.close()


@pytest.fixture(scope="module")
def resting(house: House) -> Iterator[Halves]:
    """Two workers for all tests that only ask."""
    with halves(shop(), house) as found:
        yield found


@pytest.fixture
def workers(house: House) -> Iterator[Halves]:
    """Two workers for a test that changes them."""
    with halves(shop(), house) as found:
        yield found


class Client:
    """Asks a worker."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url
        self.headers: httpx.Headers

    def ask(self, path: str, status: int = 200, /, **words: str) -> Any:
        reply = self._http.get(f"{self._url}{path}", params=words or None)
        self.headers = reply.headers
        assert reply.status_code == status, reply.text
        return reply.json()

    def ask_until_answered(self, path: str) -> Any:
        """Ask again, as the answer 503 says, while the owner of a task that has moved is not known."""
        for _ in range(ASKS_MAX):
            if self._http.get(f"{self._url}{path}").status_code != 503:
                break
            time.sleep(ASK_AGAIN_S)
        return self.ask(path)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20) as found:
        yield found


@pytest.fixture
def clients(request: pytest.FixtureRequest, http: httpx.Client) -> list[Client]:
    asked: Halves = request.getfixturevalue("workers" if "workers" in request.fixturenames else "resting")
    return [Client(http, server.url) for server in asked.servers]


def test_every_worker_answers_for_every_key_with_its_partition(clients: list[Client]) -> None:
    for client in clients:
        for table in ("sums", "moved"):
            for key in KEYS:
                found = client.ask(f"/tables/{table}/{key}")
                assert found["key"] == key
                assert found["partition"] == partition(key)
                assert found["value"] == (KEYS.index(key) if table == "sums" else 2)
        assert client.ask("/tables/numbers/-7")["value"] == -7
        assert client.ask("/tables/names/anne")["value"] == 7


def test_an_answer_has_the_position_of_the_worker_that_gave_it(clients: list[Client]) -> None:
    (one,) = {str(client.ask("/tables/sums/k01")["position"]) for client in clients}

    assert f"'{partition('k01')}': " in one


def test_rows_of_all_workers_are_in_order(clients: list[Client]) -> None:
    for client in clients:
        assert [row["key"] for row in client.ask("/tables/sums")["rows"]] == KEYS
        assert [row["key"] for row in client.ask("/tables/numbers")["rows"]] == [*range(-20, 20)]
        some = client.ask("/tables/sums", **{"from": "k03", "to": "k11"})
        assert [(row["key"], row["partition"]) for row in some["rows"]] == [
            (key, partition(key)) for key in KEYS[3:11]
        ]
        assert [row["key"] for row in client.ask("/tables/sums", prefix="k1")["rows"]] == KEYS[10:20]
        assert [*some["position"]["words"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("limit", [1, 3, 7, 23, 24, 25])
@pytest.mark.parametrize("table", ["sums", "numbers"])
def test_pages_of_rows_of_all_workers_go_on_where_the_last_one_ended(
    clients: list[Client], table: str, limit: int
) -> None:
    keys: list[Any] = []
    page = clients[0].ask(f"/tables/{table}", limit=str(limit))
    for client in (clients * 40)[1:]:
        keys += [row["key"] for row in page["rows"]]
        if not page["more"]:
            break
        assert len(page["rows"]) == limit
        page = client.ask(f"/tables/{table}", **{"limit": str(limit), "from": str(page["next"])})

    assert keys == (KEYS if table == "sums" else [*range(-20, 20)])
    assert "next" not in page


def test_windows_of_all_workers_are_in_the_order_of_their_starts_and_keys(clients: list[Client]) -> None:
    for client in clients:
        rows = client.ask("/tables/hourly")["rows"]
        places = [(row["start_ms"], row["key"]) for row in rows]
        assert len(rows) == 2 * len(KEYS)
        assert all(first < second for first, second in pairwise(places))
        page = client.ask("/tables/hourly", limit="30")
        assert (page["rows"], page["more"], "next" in page) == (rows[:30], True, False)
        late = client.ask("/tables/hourly", since=str(rows[-1]["start_ms"]))
        assert late["rows"] == rows[len(KEYS) :]
        for key in KEYS[:4]:
            own = client.ask(f"/tables/hourly/{key}")
            assert own["rows"] == [row for row in rows if row["key"] == key]
            first = client.ask(f"/tables/hourly/{key}", at=str(rows[0]["start_ms"]))
            assert (first["value"], first["end_ms"]) == (1, rows[0]["end_ms"])
            assert client.ask(f"/tables/hourly/{key}", limit="1")["more"]


def test_the_value_of_a_key_at_a_time_is_that_of_the_worker_that_has_it(
    clients: list[Client], house: House
) -> None:
    now, before = str(house.clock.now_ms()), str(house.clock.now_ms() - 1)
    for client in clients:
        for key in range(-20, 20, 3):
            found = client.ask(f"/tables/numbers/{key}", at=now)
            assert (found["value"], found["partition"]) == (key, partition(str(key)))
            assert "has no value" in client.ask(f"/tables/numbers/{key}", 404, at=before)["error"]


def test_a_key_that_another_producer_put_elsewhere_is_found(clients: list[Client]) -> None:
    for client in clients:
        assert client.ask("/tables/strange/a")["value"] == 1


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/tables/sums/nobody", 404, "the key has no value: table=sums key=nobody"),
        ("/tables/moved/nobody", 404, "the key has no value"),
        ("/tables/hourly/nobody?at=0", 404, "the key has no value"),
        ("/tables/nothing/k", 404, "there is no such table"),
        ("/tables/numbers/seven", 400, "not of the table's key type"),
        ("/tables/sums?limit=0", 400, "limit is a number"),
        ("/tables/sums?form=a", 400, "no such parameter"),
        ("/tables/sums?prefix=a&to=b", 400, "give a prefix, or from and to"),
        ("/tables/hourly?prefix=a", 400, "no such parameter"),
        ("/tables/sums/k01?at=0", 400, "leave out the time"),
        ("/tables/sums/k01?at_least=far", 400, "not a position"),
        ("/tables/sums?partitions=a", 400, "partitions are the numbers"),
        ("/tables/sums?partitions=4", 400, "no such partition"),
        ("/tables/sums?local=2", 400, "local=1"),
    ],
)
def test_a_question_is_refused_as_by_one_worker(
    clients: list[Client], path: str, status: int, said: str
) -> None:
    for client in clients:
        assert said in client.ask(path, status)["error"]


def test_a_key_in_several_partitions_is_an_error_where_none_of_them_is_its_own(
    clients: list[Client],
) -> None:
    own = partition("twice")
    written = {(partition("a") + 1) % PARTITIONS, (partition("a") + 2) % PARTITIONS}
    for client in clients:
        if own in written:
            assert client.ask("/tables/strange/twice")["partition"] == own
        else:
            assert "values in several partitions" in client.ask("/tables/strange/twice", 400)["error"]


def test_a_question_for_what_is_here_goes_to_no_other_worker(clients: list[Client]) -> None:
    for remainder, client in enumerate(clients):
        own = [key for key in KEYS if partition(key) % 2 == remainder]
        found = client.ask("/tables/sums", local="1")
        assert ([row["key"] for row in found["rows"]], found["partitions"]) == (
            own,
            [remainder, remainder + 2],
        )
        one = client.ask("/tables/sums", partitions=str(remainder))
        assert ({row["partition"] for row in one["rows"]}, one["partitions"]) == ({remainder}, [remainder])
        assert client.ask(f"/tables/sums/{own[0]}", local="1")["key"] == own[0]
        other = next(key for key in KEYS if key not in own)
        for words in ({"local": "1"}, {"partitions": "0,1"}):
            refused = client.ask(f"/tables/sums/{other}", 503, **words)
            assert refused["reason"] == "not here"
            assert client.headers["retry-after"] == "1"
    assert clients[0].ask("/tables/names", local="1")["rows"][0]["value"] == 7


def test_the_list_of_tables_has_the_positions_of_all_workers(clients: list[Client]) -> None:
    lists = [client.ask("/tables")["tables"] for client in clients]

    assert lists[0] == lists[1]
    (sums,) = [table for table in lists[0] if table["table"] == "sums"]
    assert [*sums["position"]["words"]] == ["0", "1", "2", "3"]
    (local,) = [table for table in clients[0].ask("/tables", local="1")["tables"] if table["table"] == "sums"]
    assert [*local["position"]["words"]] == ["0", "2"]


def test_an_answer_waits_at_the_worker_that_has_the_partition(clients: list[Client]) -> None:
    there = Position({TopicPartition("words", number): 1 for number in range(PARTITIONS)}).to_text()
    far = Position({TopicPartition("words", 1): 10**9}).to_text()

    for client in clients:
        assert client.ask("/tables/sums/k01", at_least=there)["key"] == "k01"
        assert len(client.ask("/tables/sums", at_least=there)["rows"]) == len(KEYS)
        for path in ("/tables/sums", *(f"/tables/sums/{key}" for key in KEYS[:4])):
            assert "at_least" in client.ask(path, 504, at_least=far, timeout="20ms")["error"]


def test_a_partition_that_nobody_has_is_asked_for_again_in_a_second(
    workers: Halves, clients: list[Client]
) -> None:
    lost = next(key for key in KEYS if partition(key) == 3)
    kept = [key for key in KEYS if partition(key) != 3]
    gone = workers.tasks("sums", 3)
    assert clients[0].ask(f"/tables/sums/{lost}")["key"] == lost

    workers.second.give_up(gone)

    for client in clients:
        for path in (f"/tables/sums/{lost}", "/tables/sums"):
            refused = client.ask(path, 503)
            assert "try again" in refused["error"]
            assert client.headers["retry-after"] == "1"
        for key in kept:
            assert client.ask(f"/tables/sums/{key}")["key"] == key

    workers.first.take(gone)

    assert clients[0].ask(f"/tables/sums/{lost}")["key"] == lost


def test_a_partition_that_has_moved_is_found_at_its_new_owner(workers: Halves, clients: list[Client]) -> None:
    for client in clients:
        assert len(client.ask("/tables/sums")["rows"]) == len(KEYS)

    workers.move(workers.tasks("sums", 1))
    workers.move(workers.tasks("moved", 1, 3))

    for client in clients:
        assert len(client.ask_until_answered("/tables/sums")["rows"]) == len(KEYS)
        assert [client.ask_until_answered(f"/tables/moved/{key}")["partition"] for key in KEYS] == [
            partition(key) for key in KEYS
        ]


def test_a_worker_that_has_ended_leaves_an_answer_that_says_when_to_ask_again(
    workers: Halves, clients: list[Client]
) -> None:
    lost = next(key for key in KEYS if partition(key) == 1)
    kept = next(key for key in KEYS if partition(key) == 0)
    assert clients[0].ask(f"/tables/sums/{lost}")["key"] == lost  # A connection is kept for the next one.

    workers.servers[1].close()

    refused = clients[0].ask(f"/tables/sums/{lost}", 503)
    assert "does not answer; try again" in refused["error"]
    assert clients[0].headers["retry-after"] == "1"
    assert clients[0].ask(f"/tables/sums/{kept}")["key"] == kept


def test_another_worker_at_the_address_of_one_that_has_ended_gives_no_answer(
    workers: Halves, clients: list[Client]
) -> None:
    lost = next(key for key in KEYS if partition(key) == 1)
    assert clients[0].ask(f"/tables/sums/{lost}")["key"] == lost

    workers.second.shared_name = "streamcore-worker-of-another-application"

    assert "does not have it" in clients[0].ask(f"/tables/sums/{lost}", 503)["error"]


def test_a_worker_without_an_http_server_is_named(workers: Halves, clients: list[Client]) -> None:
    workers.second.address = None

    refused = clients[0].ask("/tables/sums", 503)

    assert "has no HTTP server; start it with --http: worker=streamcore-worker-1" in refused["error"]
