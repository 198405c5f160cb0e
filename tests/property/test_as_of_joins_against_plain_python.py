"""A join as of a time equals what plain Python finds in a list of all versions, whatever was cut or crashed.

Rates and payments come in random order, some far out of order; the application runs in between, in rounds of
random size, and its machine fails.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.processing.topology.versions import HistorySpan
from streamcore.testing import TopologyDriver

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
        self._paid_until_ms = 0

    def take(self, waiting: dict[str, list[tuple[int, str, int | None, int]]]) -> None:
        """Take what was sent in the order of partition times, rates first; each has its partition time."""
        order = [
            (each[0], rank, each) for rank, topic in enumerate(["rate", "pay"]) for each in waiting[topic]
        ]
        for partition_ms, rank, (_, key, value, time_ms) in sorted(order, key=lambda found: found[:2]):
            if rank == 0:
                self._add(key, value, time_ms)
            else:
                self._paid_until_ms = partition_ms
                self._pay(key, value, time_ms)

    def _add(self, key: str, value: int | None, time_ms: int) -> None:
        known = self._versions[key]
        horizon_ms = self._span.horizon_ms(self._paid_until_ms)
        before = [version for version in known if version[0] < horizon_ms]
        if time_ms < horizon_ms:
            held = max(before, key=lambda version: version[0], default=None)
            if held is not None and held[1] is not None and held[0] > time_ms:
                return
            known[:] = [version for version in known if version[0] >= horizon_ms]
        known[:] = [version for version in known if version[0] != time_ms] + [(time_ms, value)]

    def _pay(self, key: str, value: int | None, time_ms: int) -> None:
        held = [version for version in self._versions[key] if version[0] <= time_ms]
        found = max(held, key=lambda version: version[0], default=(0, None))[1]
        if time_ms + self._span.history_ms < self._paid_until_ms:
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
