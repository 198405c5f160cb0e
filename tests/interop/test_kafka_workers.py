"""Several workers on Apache Kafka, killed and suspended: each row once, as plain Python computes it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.crash.disturbed_workers import disturbed_job
from tests.crash.shop_app import expected, made_records
from tests.crash.test_shop_kill import differences, load, results_in
from tests.interop.kafka_processes import kafka_running

pytestmark = pytest.mark.interop

SEED = 43
RECORDS = 15_000
START_MS = 1_700_000_000_000


def test_workers_on_apache_kafka_that_are_killed_and_suspended_give_each_row_once(
    jars: Path, tmp_path: Path
) -> None:
    sent = made_records(SEED, RECORDS, START_MS)
    work, folder = tmp_path / "kafka", tmp_path / "state"
    work.mkdir()
    folder.mkdir()
    with kafka_running(jars, work) as address:
        load(f"kafka://{address}", sent)
        arguments = ["--workers", "3", "--broker", f"kafka://{address}"]

        code, _, printed = disturbed_job(folder, arguments, 4, Random(SEED))

        assert code == 0, printed[-3_000:]
        assert differences(results_in(folder, f"kafka://{address}"), expected(sent)) == {}, printed[-6_000:]
