"""Joins of streams and tables and sessions, killed with SIGKILL at random moments, give what plain Python
computes, each row once.

``CRASH_KILLS`` says how many kills (20), ``CRASH_SEED`` which moments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

import streamcore as sc
from tests.crash.shop_app import (
    PARTITIONS,
    Sent,
    app,
    expected,
    limits,
    made_records,
    names,
    orders,
    payments,
)

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("CRASH_KILLS", "20"))
SEED = int(os.environ.get("CRASH_SEED", "2013"))
RECORDS = 60_000
JOB_S_MAX = 120.0
"""An undisturbed job takes a fraction of this; one that takes longer hangs."""


def load(where: Path | str, sent: Sequence[Sent]) -> None:
    """Write the records, and create all topics, in a folder or behind a broker."""
    with sc.connect(where) as log:
        for topic in (orders, payments, names, limits):
            config = {"retention.ms": "-1"}
            log.create_topic(topic.name, partitions=PARTITIONS, config=config)
            encode = topic.spec.value_serde.encode
            with log.producer() as producer:
                producer.send_many(
                    topic.name,
                    [
                        sc.Record(
                            each.key.encode(), None if each.value is None else encode(each.value), each.at_ms
                        )
                        for each in sent
                        if each.topic == topic.name
                    ],
                ).result()


def job(folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "streamcore.cli.main", "worker", "tests.crash.shop_app:app"),
        *("--data", str(folder), "--until-end", "--close-windows"),
    ]


def killed_after(folder: Path, seconds: float) -> bool:
    """Run the job, and kill it if it has not ended well after some seconds; whether it was killed."""
    process = subprocess.Popen(
        job(folder),
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0, errors
    return False


def results_in(folder: Path, broker: str | None = None) -> Mapping[str, Any]:
    """The same as ``expected``, from the topics and tables of a folder, or of a broker."""
    found: dict[str, Any] = {}
    with sc.run(app, data=folder, broker=broker) as running:
        running.wait_until_caught_up("1m")
        for table in ("account", "friends_limit"):
            found[table] = {answer.key: answer.value for answer in running.table(table).all()}
    specs = app.declaration.topics
    with sc.connect(folder if broker is None else broker) as log:
        for topic in ("paid", "named", "visits-final", "groups-final"):
            rows: Counter[Any] = Counter()
            with log.consumer(topic, start="earliest") as consumer:
                while records := consumer.poll(timeout="0ms" if broker is None else "3s"):
                    for record in records:
                        assert record.key is not None
                        assert record.value is not None
                        key = specs[topic].key_serde.decode(record.key)
                        value = specs[topic].value_serde.decode(record.value)
                        if isinstance(key, sc.Windowed):
                            rows[key.key, key.start_ms, key.end_ms, value] += 1
                        else:
                            rows[key, value, record.timestamp_ms] += 1
            found[topic] = rows
    return found


def differences(found: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """What is missing and what is too much, a few rows of each."""
    shown = {}
    for name, rows in right.items():
        if found[name] != rows:
            missing, more = Counter(rows) - Counter(found[name]), Counter(found[name]) - Counter(rows)
            shown[name] = (len(missing), list(missing)[:3], len(more), list(more)[:3])
    return shown


def test_joins_and_sessions_killed_at_random_moments_give_each_row_once(tmp_path: Path) -> None:
    sent = made_records(SEED, RECORDS)
    right = expected(sent)
    loaded = tmp_path / "loaded"
    load(loaded, sent)
    undisturbed = shutil.copytree(loaded, tmp_path / "undisturbed")
    begun_s = time.monotonic()
    assert not killed_after(undisturbed, JOB_S_MAX)
    undisturbed_s = time.monotonic() - begun_s
    assert differences(results_in(undisturbed), right) == {}
    shutil.rmtree(undisturbed)
    random = Random(SEED)

    kill_count = 0
    while kill_count < KILLS:
        folder = shutil.copytree(loaded, tmp_path / "disturbed")
        moments = []
        while kill_count < KILLS:
            moments.append(random.uniform(0.1, 0.7 * undisturbed_s))
            if not killed_after(folder, moments[-1]):
                break
            kill_count += 1
        else:
            assert not killed_after(folder, JOB_S_MAX)
        if kill_count == KILLS:
            shutil.rmtree(folder / "state")

        assert differences(results_in(folder), right) == {}, f"seed={SEED} moments={moments}"
        shutil.rmtree(folder)
