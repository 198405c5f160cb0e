"""Faust as a client under test: an agent that counts words in a table with a changelog.

Beside ``versions`` there is one step, ``count(application, source, sink, folder)``: a fact ``restored`` with
the table once it is restored, and a fact ``sent`` for each count; ends when it is asked to stop.
"""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from typing import Any

import faust

from tests.interop.clients.steps import asked_to_stop, run, say


def versions(address: str) -> None:
    client = f"{version('faust-streaming')} (aiokafka {version('aiokafka')})"
    say(client=client, runtime=f"Python {platform.python_version()}")


def count(address: str, application: str, source: str, sink: str, folder: str) -> None:
    app = faust.App(
        application,
        broker=f"kafka://{address}",
        store="memory://",
        datadir=folder,
        topic_partitions=2,
        topic_replication_factor=1,
        value_serializer="raw",
        key_serializer="raw",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
        broker_commit_interval=0.5,
        web_enabled=False,
    )
    words = app.topic(source, value_type=bytes)
    counts = app.topic(sink, key_type=bytes, value_type=bytes)
    table = app.Table("counts", default=int, partitions=2, key_type=str, value_type=int)

    @app.agent(words)  # type: ignore[untyped-decorator] # the library is not seen by mypy
    async def counting(stream: Any) -> None:
        async for word in stream.group_by(_itself, name="word", partitions=2):
            key = word.decode()
            table[key] += 1
            await counts.send(key=word, value=str(table[key]).encode())
            say(sent=key)

    @app.on_rebalance_complete.connect  # type: ignore[untyped-decorator]
    async def restored(*_: Any, **__: Any) -> None:
        say(restored=dict(table.items()))

    worker = faust.Worker(app, loglevel="warning", quiet=True, redirect_stdouts=False)
    stopping = asked_to_stop()

    @app.task  # type: ignore[untyped-decorator]
    async def watching() -> None:
        while not stopping.is_set():
            await asyncio.sleep(0.1)
        await worker.stop()

    worker.execute_from_commandline()


def _itself(word: bytes) -> bytes:
    return word


if __name__ == "__main__":
    run({"versions": versions, "count": count})
