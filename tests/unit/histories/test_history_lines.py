"""A history survives being written down."""

from __future__ import annotations

from tests.histories.anomalies import Anomaly, Kind
from tests.histories.operations import Disturbance, read, written
from tests.support.history_examples import ORDERS, polled, sent, transaction


def test_a_history_is_read_as_it_was_written() -> None:
    history = [
        sent(10, 0, 1, 2, keys=("k", None), sources=(7, 8), transaction="t"),
        polled(20, 0, 2, (0, 1), (1, 2)),
        transaction(30, "t", group="g", positions={str(ORDERS): 2}),
        Disturbance(client="nemesis", begun_us=40, what="kill"),
    ]

    assert read(written(reversed(history))) == history


def test_an_anomaly_shows_its_evidence() -> None:
    anomaly = Anomaly(Kind.LOST_WRITE, "record 1 is gone", (sent(10, 0, 1),))

    text = str(anomaly)

    assert text.startswith("lost write: record 1 is gone\n")
    assert '"ids":[1]' in text
