"""Quix Streams as a client under test: a stateful count with a changelog.

Beside ``versions`` there is one step, ``count(application, source, sink, folder)``: counts the words in
``source`` into ``sink``; a fact ``sent`` for each; ends when it is asked to stop.
"""

from __future__ import annotations

import platform
import threading
from importlib.metadata import version
from typing import Any

from quixstreams import Application, State
from quixstreams.models import TopicConfig

from tests.interop.clients.steps import asked_to_stop, run, say


def versions(address: str) -> None:
    client = f"{version('quixstreams')} (confluent-kafka {version('confluent-kafka')})"
    say(client=client, runtime=f"Python {platform.python_version()}")


def count(address: str, application: str, source: str, sink: str, folder: str) -> None:
    app = Application(
        broker_address=address,
        consumer_group=application,
        state_dir=folder,
        auto_offset_reset="earliest",
        commit_interval=0.5,
        processing_guarantee="exactly-once",
        consumer_extra_config={"session.timeout.ms": 6000, "heartbeat.interval.ms": 500},
        # A producer that was killed leaves a transaction open, which its successor has to wait out.
        producer_extra_config={"transaction.timeout.ms": 5000},
        topic_create_timeout=30,
    )
    config = TopicConfig(num_partitions=2, replication_factor=1)
    words = app.topic(source, value_deserializer="str", config=config)
    counts = app.topic(sink, key_serializer="str", value_serializer="str", config=config)

    def counted(word: str, state: State) -> str:
        total: int = state.get(word, 0) + 1
        state.set(word, total)
        say(sent=word)
        return str(total)

    frame = app.dataframe(words)
    frame = frame.group_by(_itself, name="word", value_deserializer="str", value_serializer="str")
    frame = frame.apply(counted, stateful=True)
    frame.to_topic(counts)
    _stop_when_asked(app)
    app.run()


def _itself(word: Any) -> Any:
    return word


def _stop_when_asked(app: Application) -> None:
    stopping = asked_to_stop()

    def wait() -> None:
        stopping.wait()
        app.stop()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    run({"versions": versions, "count": count})
