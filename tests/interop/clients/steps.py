"""What the client programs in Python share: a step is done, and what is seen is told as facts.

A program is started with the broker's address and the name of a step. The arguments of the step are one
line of JSON on the standard input, whose end asks a step that runs on to stop. Each fact is a line of JSON
on the standard output. The programs in other languages keep to the same form:

* ``versions``: the fact ``client``, with its version and that of what it runs on.
* ``produce(topic, codec, records)``: writes records, and ends when they are acknowledged.
* ``consume(topic, count, isolation)``: a fact ``record`` for each record, from the start of the topic.
* ``member(topic, group, protocol)``: joins a group; a fact ``assigned`` for each assignment, a fact
  ``record`` for each record, whose position it then commits; leaves the group when it is asked to stop.
* ``transactions(topic, source, group, transactional_id)``: commits, aborts, moves records with their
  positions from ``source`` to ``topic``, and is fenced; a fact ``did`` for each.
* ``admin(topic, seen, group)``: a fact ``call`` for each call; with ``failed`` where it went wrong.
* ``stream(topic, count, pause_ms)``: writes numbers one by one; a fact ``sent`` for each.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Step = Callable[..., None]


def run(steps: Mapping[str, Step]) -> None:
    """Do the step that the program was started for."""
    address, name = sys.argv[1:]
    arguments = json.loads(sys.stdin.readline())
    steps[name](address, **arguments)


def say(**fact: object) -> None:
    """Tell a fact."""
    print(json.dumps(fact), flush=True)


def say_record(
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes]] | None,
    timestamp_ms: int,
) -> None:
    """Tell a record that was read."""
    say(
        record={
            "partition": partition,
            "offset": offset,
            "key": None if key is None else key.decode(),
            "value": None if value is None else value.decode(),
            "headers": [[name, content.decode()] for name, content in headers or ()],
            "timestamp_ms": timestamp_ms,
        }
    )


def encoded(text: str | None) -> bytes | None:
    """The bytes of a key or a value."""
    return None if text is None else text.encode()


def encoded_headers(headers: list[list[str]]) -> list[tuple[str, bytes]]:
    """Headers as most clients take them."""
    return [(name, content.encode()) for name, content in headers]


def asked_to_stop() -> threading.Event:
    """Set once the standard input has ended."""
    stopping = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=wait, daemon=True).start()
    return stopping


class ApiError(Exception):
    """What was expected to be refused was not, or an answer is not what it should be."""


def expect(is_so: bool, found: Any) -> None:
    """Complain of an answer that is not what it should be."""
    if not is_so:
        raise ApiError(f"unexpected answer: {found!r}")


@contextmanager
def call(name: str) -> Iterator[None]:
    """Tell how one call of the administration went; the next ones are tried in any case."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fact about this call alone
        say(call=name, failed=f"{type(error).__name__}: {error}")
    else:
        say(call=name)


@contextmanager
def refused(kind: type[Exception], *texts: str) -> Iterator[None]:
    """Expect an error that has one of these texts in it."""
    try:
        yield
    except kind as error:
        complaint = f"{type(error).__name__} {error}".lower()
        if not any(text.lower() in complaint for text in texts):
            raise
    else:
        raise ApiError(f"not refused as expected: {texts}")
