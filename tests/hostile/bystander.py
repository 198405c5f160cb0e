"""A well-behaved client beside the others: what it is told must be right, and must not take long."""

from __future__ import annotations

import threading
import time
import traceback

from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import decode_columns
from streamcore.model import TopicPartition
from tests.support.serving import fetch, produce, records_of
from tests.support.wire_client import WireClient

TOPIC = "bystander"


class Bystander:
    """Produces a record, reads it back, asks for metadata; again and again, in a thread."""

    def __init__(self, port: int) -> None:
        self._client = WireClient("127.0.0.1", port, client_id="bystander")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.durations_s: list[float] = []
        self.failure: str | None = None

    def start(self) -> None:
        """Begin."""
        self._client.ask(MetadataRequest(topics=[MetadataRequestTopic(name=TOPIC)]), 12)
        self._thread.start()

    def stop(self) -> None:
        """End, after the round under way."""
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        try:
            count = 0
            while not self._is_over.wait(0.005):
                begun_s = time.monotonic()
                self._round(count)
                self.durations_s.append(time.monotonic() - begun_s)
                count += 1
        except Exception:  # noqa: BLE001 - reported by the test
            self.failure = traceback.format_exc()

    def _round(self, count: int) -> None:
        value = b"record %d" % count
        # By its own time, since retention goes by it.
        sent = encode_batch([None], [value], [time.time_ns() // 1_000_000])
        answer = produce(self._client, TOPIC, bytes(sent))
        assert (answer.error_code, answer.base_offset) == (0, count)
        data = fetch(self._client, TOPIC, count)
        run = decode_columns(TopicPartition(TOPIC, 0), records_of(data), count)
        assert (run.offsets, run.values) == ([count], [value])
        request = MetadataRequest(topics=[MetadataRequestTopic(name=TOPIC)])
        (topic,) = self._client.ask(request, 12).topics
        assert (topic.error_code, topic.name, len(topic.partitions)) == (0, TOPIC, 1)
