"""Over HTTP every key of a table has its own answer, whatever characters it has.

The keys of several types are written once; texts that were not written have no value.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import streamcore as sc
from streamcore.cli.remote_tables import RemoteTables
from streamcore.errors import SerdeError
from streamcore.processing.runtime.background import Running
from streamcore.processing.runtime.running import Worker
from streamcore.state.keys import key_codec
from streamcore.state.text_forms import key_text, parse_key
from streamcore.web.api import make_api
from streamcore.web.server import WebServer


class Pair(NamedTuple):
    first: str
    second: int


TEXTS = (
    *(
        "",
        ".",
        "..",
        "/",
        "//",
        "a/",
        "/a",
        "%",
        "%2F",
        "%25",
        "?",
        "#",
        "&",
        "=",
        "+",
        " ",
        ";",
        "key=a",
        "a?b",
    ),
    *(
        "a",
        "a\n",
        "a\r\n",
        "a\nb",
        "\n",
        "a\0",
        "\0",
        "\x1b[31m",
        "\x7f",
        "\u2028",
        "é",
        "e\u0301",
        "🙂",
        "\ufeff",
    ),
    *(
        "7",
        "7.0",
        "07",
        " 7",
        "7\n",
        '"7"',
        "null",
        "true",
        "[1]",
        '{"base64":"YQ=="}',
        "Infinity",
        "x" * 100_000,
    ),
)
INTS = (0, -1, 5, -(2**63), 2**63 - 1)
FLOATS = (0.0, 0.5, -0.5, 7.0, 1e300, 5e-324, math.inf, -math.inf)
BYTES = (*(text.encode() for text in TEXTS), b"\xff", b"\xff\n", b"\xc3\x28", b"a\x00\xff")
PAIRS = (Pair("a", 1), Pair("a\n", 1), Pair("", -1), Pair("/", 0))
UNTYPED = (*TEXTS, *BYTES, 7, -1, 0.5, math.inf, True, None, (), ("a",), ("a", (1, None, b"\xff")))

KEYS: dict[str, tuple[object, tuple[Any, ...]]] = {
    "texts": (str, TEXTS),
    "ints": (int, INTS),
    "floats": (float, FLOATS),
    "bytes": (bytes, BYTES),
    "pairs": (Pair, PAIRS),
    "untyped": (None, UNTYPED),
}


@dataclass(frozen=True)
class Served:
    asgi: Any
    address: str

    def get(self, raw_path: str, query: str = "") -> tuple[int, Any]:
        """Ask the ASGI application as a server would."""
        return asyncio.run(_ask(self.asgi, raw_path.encode(), query.encode()))


async def _ask(asgi: Any, raw_path: bytes, query: bytes) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
        },
        **{"path": unquote(raw_path.decode()), "raw_path": raw_path, "query_string": query, "root_path": ""},
        **{"headers": [], "client": None, "server": None},
    }
    await asgi(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker whose tables hold the keys, each with its own text form as value."""
    app = sc.App("keys")
    for name, (key_type, _) in KEYS.items():
        typed: dict[str, Any] = {} if key_type is None else {"key": key_type}
        app.topic(name, value=str, codec="msgpack", **typed).global_table(f"{name}-table")
    worker = Worker(app, data=tmp_path_factory.mktemp("keys") / "data", state="memory", durability="relaxed")
    running = Running(worker)
    with running.log.producer() as producer:
        for name, (key_type, keys) in KEYS.items():
            spec = app.declaration.topics[name]
            for key in keys:
                producer.send(
                    name, key=spec.key_serde.encode(key), value=spec.value_serde.encode(_text(key_type, key))
                )
    running.wait_until_caught_up(timeout="20s")
    with WebServer(worker, "127.0.0.1:0", {}) as server:
        yield Served(make_api(worker, {}), server.url.removeprefix("http://"))
    running.stop()


def _text(key_type: object, key: Any) -> str:
    return key_text(key_codec(key_type), key)


@pytest.mark.parametrize("name", KEYS)
def test_every_key_gives_its_own_value_by_its_path_and_by_its_parameter(served: Served, name: str) -> None:
    key_type, keys = KEYS[name]
    for key in keys:
        text = _text(key_type, key)
        by_path = served.get(f"/tables/{name}-table/{quote(text, safe='')}")
        by_word = served.get(f"/tables/{name}-table", f"key={quote(text, safe='')}")

        assert by_path[0] == 200, (key, by_path)
        assert by_path[1]["value"] == text
        assert by_word == by_path


@pytest.mark.parametrize("name", KEYS)
def test_the_rows_of_a_table_give_each_key_once_and_pages_go_on_behind_the_last(
    served: Served, name: str
) -> None:
    seen: list[str] = []
    start = ""
    while True:
        status, page = served.get(f"/tables/{name}-table", f"limit=3{start}")
        assert status == 200, page
        seen += [row["value"] for row in page["rows"]]
        if not page["more"]:
            break
        start = f"&from={quote(page['next'], safe='')}"

    key_type, keys = KEYS[name]
    codec = key_codec(key_type)
    encoded = {codec.encode(key): _text(key_type, key) for key in keys}
    assert [codec.encode(parse_key(codec, text)) for text in seen] == sorted(encoded)


@given(text=st.text() | st.sampled_from(TEXTS), name=st.sampled_from(sorted(KEYS)))
@example(text="a\r", name="texts")
@example(text="a%0A", name="texts")
@example(text="a%2F", name="bytes")
@example(text="[" * 100_000, name="untyped")
def test_a_text_gives_the_value_of_the_key_that_it_stands_for_and_no_other(
    served: Served, text: str, name: str
) -> None:
    key_type, keys = KEYS[name]
    codec = key_codec(key_type)
    status, answer = served.get(f"/tables/{name}-table/{quote(text, safe='')}")
    try:
        key = parse_key(codec, text)
    except SerdeError:
        assert status == 400, answer
        assert answer["error"].startswith("the key is not of the table's key type")
        return

    written = {codec.encode(one) for one in keys}
    assert status == (200 if codec.encode(key) in written else 404)
    if status == 200:
        assert answer["value"] == _text(key_type, key)


def test_a_key_of_bytes_may_be_written_as_its_bytes(served: Served) -> None:
    for key in BYTES:
        if key != b'{"base64":"YQ=="}':
            status, answer = served.get(f"/tables/bytes-table/{quote_from_bytes(key, safe='')}")
            assert (status, answer["value"]) == (200, _text(bytes, key))


def test_bytes_that_are_no_text_are_no_key_of_text(served: Served) -> None:
    assert served.get("/tables/texts-table/%FF")[0] == 400
    assert served.get("/tables/texts-table", "from=%FF")[0] == 400
    assert served.get("/tables/%FF/a")[0] == 404


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limit=0", "limit is a number"),
        ("limit=" + "9" * 5_000, "limit is a number"),
        ("limit=%0A7", "limit is a number"),
        ("limit=", "limit is a number"),
        ("from=a&from=b", "a parameter is given twice"),
        ("form=a", "this question has no such parameter"),
        ("prefix=a&to=b", "give a prefix, or from and to"),
        ("at_least=x", "not a position"),
        ("at_least=%FF", "not a position"),
        ("timeout=x&at_least={}", "duration"),
    ],
)
def test_a_wrong_question_is_answered_by_an_error_in_json(served: Served, query: str, error: str) -> None:
    status, answer = served.get("/tables/texts-table", query)

    assert status == 400
    assert error in answer["error"]


def test_prefixes_are_of_keys_of_text_and_bytes(served: Served) -> None:
    rows = served.get("/tables/texts-table", "prefix=a%0A")[1]["rows"]
    assert [row["key"] for row in rows] == ["a\n", "a\nb"]
    rows = served.get("/tables/bytes-table", "prefix=%FF")[1]["rows"]
    assert [row["key"] for row in rows] == [{"base64": "/w=="}, {"base64": "/wo="}]
    page = served.get("/tables/texts-table", "prefix=a&limit=2")[1]
    rest = served.get("/tables/texts-table", f"prefix=a&from={quote(page['next'])}")[1]
    assert [row["key"] for row in page["rows"] + rest["rows"]] == sorted(
        text for text in TEXTS if text.startswith("a")
    )
    for name in ("ints", "floats", "pairs", "untyped"):
        status, answer = served.get(f"/tables/{name}-table", "prefix=7")
        assert status == 400
        assert "only str and bytes keys have prefixes" in answer["error"]


def test_names_of_tables_are_compared_whole(served: Served) -> None:
    assert served.get("/tables/texts%2Dtable/a")[0] == 200
    for path in ("/tables/texts-table%0A/a", "/tables/texts%2Ftable", "/tables//a", "/tables/.."):
        status, answer = served.get(path)
        assert status == 404
        assert answer["error"].startswith("there is no such table")


def test_a_server_gives_each_key_its_own_answer_too(served: Served, tmp_path: Path) -> None:
    remote = RemoteTables(served.address)
    for key in (*TEXTS, "a\r", "not written"):
        rows = remote.get("texts-table", key, None)
        assert [row["value"] for row in rows] == ([key] if key in TEXTS else [])
    assert remote.get("bytes-table", "\udcff", None)[0]["value"] == '{"base64":"/w=="}'
    connection = http.client.HTTPConnection(served.address, timeout=10)
    for text in ("..", "x" * 100_000, "🙂", "a\n", "%", ""):
        connection.request("GET", f"/tables/texts-table/{quote(text, safe='')}")
        assert json.loads(connection.getresponse().read())["value"] == text
    connection.close()
