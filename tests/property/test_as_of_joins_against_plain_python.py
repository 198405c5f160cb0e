"""A join as of a time equals what plain Python finds in a list of all versions, whatever was cut or crashed.

Rates and payments come in random order, some far out of order; the application runs in between, in rounds of
random size, and its machine fails. The versions of a table are also tried by themselves, with rates and
payments of few keys and times in each round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.versions import TableVersions
from streamcore.processing.topology.versions import KEY_HISTORIES, VERSIONS, HistorySpan, KeyHistory
from streamcore.processing.topology.versions import Version as StoredVersion
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack
from streamcore.testing import TopologyDriver
from tests.support.operator_parts import Fetched

S = 1_000
Version = tuple[int, int | None]
SENT = st.lists(
    st.tuples(
        st.sampled_from(["rate", "rate", "pay", "run", "crash"]),
        st.sampled_from("ab"),
        st.none() | st.integers(0, 9),
        st.integers(-40, 8),
    ),
    max_size=60,
)
"""What happens, the key, the rate, and the time in seconds beside the number of what happens."""


def application(history: str) -> sc.App:
    app = sc.App("app")
    rate = app.topic("rate", key=str, value=int)
    pay = app.topic("pay", key=str, value=int)
    rates = rate.table("rates", history=history)
    pay.join(rates, lambda paid, found: f"{paid} {found}", as_of=True, how="left", name="rated").to("out")
    return app


class AllVersions:
    """Every version that counts, and the results of payments, by brute force."""

    def __init__(self, history_ms: int) -> None:
        self.results: list[str] = []
        self._span = HistorySpan(history_ms)
        self._versions: dict[str, list[Version]] = {"a": [], "b": []}
        self.paid_until_ms = 0

    def take(self, waiting: dict[str, list[tuple[int, str, int | None, int]]]) -> None:
        """Take what was sent in the order of partition times, rates first; each has its partition time."""
        order = [
            (each[0], rank, each) for rank, topic in enumerate(["rate", "pay"]) for each in waiting[topic]
        ]
        for partition_ms, rank, (_, key, value, time_ms) in sorted(order, key=lambda found: found[:2]):
            if rank == 0:
                self.add(key, value, time_ms)
            else:
                self.paid_until_ms = partition_ms
                self.pay(key, value, time_ms)

    def add(self, key: str, value: int | None, time_ms: int) -> None:
        known = self._versions[key]
        horizon_ms = self._span.horizon_ms(self.paid_until_ms)
        before = [version for version in known if version[0] < horizon_ms]
        if time_ms < horizon_ms:
            held = max(before, key=lambda version: version[0], default=None)
            if held is not None and held[1] is not None and held[0] > time_ms:
                return
            known[:] = [version for version in known if version[0] >= horizon_ms]
        known[:] = [version for version in known if version[0] != time_ms] + [(time_ms, value)]

    def pay(self, key: str, value: int | None, time_ms: int) -> None:
        held = [version for version in self._versions[key] if version[0] <= time_ms]
        found = max(held, key=lambda version: version[0], default=(0, None))[1]
        if time_ms + self._span.history_ms < self.paid_until_ms:
            found = None
        self.results.append(f"{value} {found}")


@pytest.mark.slow
@given(SENT, st.sampled_from([1, 5, 30, 100]), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=40, phases=[Phase.generate], deadline=None)
def test_a_payment_meets_the_version_that_held_at_its_time(
    sent: list[tuple[str, str, int | None, int]], history_s: int, slice_records: int, seed: int
) -> None:
    app = application(f"{history_s}s")
    expected = AllVersions(history_s * S)
    waiting: dict[str, list[tuple[int, str, int | None, int]]] = {"rate": [], "pay": []}
    partition_ms = {"rate": 0, "pay": 0}

    with TopologyDriver(app, slice_records_max=slice_records, seed=seed) as driver:
        for number, (what, key, value, beside_s) in enumerate([*sent, ("run", "a", None, 0)]):
            if what in waiting:
                time_ms = max(0, number + beside_s) * S
                found = number if what == "pay" else value
                partition_ms[what] = max(partition_ms[what], time_ms)
                waiting[what].append((partition_ms[what], key, found, time_ms))
                driver.send(what, key=key, value=found, at=time_ms)
            else:
                expected.take(waiting)
                waiting = {"rate": [], "pay": []}
                driver.process()
                if what == "crash":
                    driver.crash()

        assert [record.value for record in driver.read("out")] == expected.results


ROUNDS = st.lists(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from("ab"),
            st.none() | st.integers(0, 9),
            st.just(0) | st.integers(0, 30),
            st.integers(0, 5),
        ),
        max_size=12,
    ),
    max_size=6,
)
"""The records of each round: whether it is a payment, the key, the rate, how far it is behind the newest
time, and how far that goes on.
"""


@dataclass
class Time:
    """The watermark of a task: of each record of a round, and after the round."""

    before_ms: list[int] = field(default_factory=list)
    floor_ms: int = 0
    watermark_ms: int = 0

    def watermarks_before(self, origins: Sequence[int]) -> Sequence[int]:
        return [self.before_ms[origin] for origin in origins]

    def place_reaching(self, time_ms: int) -> int:
        return 0


@given(ROUNDS, st.sampled_from([1, 8, 40, 200]), st.data())
def test_a_payment_meets_the_versions_that_came_before_it_in_its_round(
    rounds: list[list[tuple[bool, str, int | None, int, int]]], history_ms: int, data: st.DataObject
) -> None:
    engine, time = MemoryEngine(), Time()
    keys: WriteBack[str, KeyHistory] = WriteBack(
        engine, "keys", key_codec(str), KEY_HISTORIES.encode, KEY_HISTORIES.decode
    )
    buckets: WindowStore[str, list[StoredVersion]] = WindowStore(
        engine, "versions", key_codec(str), VERSIONS.encode, VERSIONS.decode
    )
    versions = TableVersions(HistorySpan(history_ms), keys, buckets, time)
    expected = AllVersions(history_ms)
    now_ms = 0
    for records in rounds:
        time.floor_ms, time.before_ms = time.watermark_ms, []
        rates, payments = batch_of_round(records), batch_of_round(records)
        met: list[str] = []
        for origin, (pays, key, rate, behind_ms, step_ms) in enumerate(records):
            time.before_ms.append(time.watermark_ms)
            expected.paid_until_ms = time.watermark_ms
            now_ms += step_ms
            time_ms = max(0, now_ms - behind_ms)
            add_record(payments if pays else rates, origin, key, rate, time_ms)
            if pays:
                expected.pay(key, 0, time_ms)
                time.watermark_ms = max(time.watermark_ms, time_ms)
            else:
                expected.add(key, rate, time_ms)
        versions.is_wanted = len(payments) > 0
        if len(rates):
            encoded = [None if rate is None else b"%d" % rate for rate in rates.values]
            versions.add_all(rates.keys, rates, encoded)
        if len(payments):
            known_ms = [
                None if time_ms + history_ms < time.before_ms[origin] else time_ms
                for time_ms, origin in zip(payments.timestamps_ms, payments.origins, strict=True)
            ]
            found = versions.as_of(payments.keys, payments.origins, known_ms)
            met = [f"0 {None if each is None else int(each)}" for each in found]
        versions.clear()
        versions.forget()

        assert met == expected.results
        expected.results.clear()
        if data.draw(st.booleans(), label="commit"):
            engine.apply([writes for store in (keys, buckets) if (writes := store.drain()) is not None])
            keys.committed()
            buckets.committed()


def batch_of_round(records: Sequence[object]) -> Batch:
    """An empty batch of a round of records."""
    return Batch([], [], [], [], None, Fetched(list(records)))


def add_record(batch: Batch, origin: int, key: str, value: int | None, time_ms: int) -> None:
    """Add a record of the round to one of its batches."""
    batch.keys.append(key)
    batch.values.append(value)
    batch.timestamps_ms.append(time_ms)
    batch.origins = [*batch.origins, origin]
