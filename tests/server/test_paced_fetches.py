"""Answers to clients that pause when they are full become smaller after a pause, unless told not to."""

from __future__ import annotations

from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from tests.support.serving import NOW_MS, batch, client_of, fetch, produce, records_of

PAUSE_MS = 500


@pytest.mark.parametrize(
    ("software", "paces_fetches", "is_smaller"),
    [("librdkafka", True, True), ("librdkafka", False, False), ("apache-kafka-java", True, False)],
)
def test_an_answer_after_a_pause_is_a_part_where_fetches_are_paced(
    tmp_path: Path, software: str, paces_fetches: bool, is_smaller: bool
) -> None:
    clock = ManualClock(NOW_MS)
    settings = sc.ServerSettings(paces_fetches=paces_fetches)
    with sc.serve(tmp_path, listen="127.0.0.1:0", settings=settings, clock=clock) as served:
        served.log.create_topic("t", partitions=1)
        with client_of(served) as client:
            client.ask(ApiVersionsRequest(client_software_name=software, client_software_version="2.0"), 3)
            for _ in range(10):
                produce(client, "t", batch(bytes(100_000)))
            whole = records_of(fetch(client, "t"))
            clock.advance(PAUSE_MS)

            after_pause = records_of(fetch(client, "t"))

    assert len(whole) > 900_000
    assert (len(after_pause) < len(whole)) is is_smaller
