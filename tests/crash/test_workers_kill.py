"""Three workers share an application with joins, sessions and foreign keys, and are killed, suspended and
stopped at random moments: each row comes once, as plain Python computes it.

``CRASH_KILLS`` says how many disturbances (20), ``CRASH_SEED`` which and when.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.crash.disturbed_workers import disturbed_job
from tests.crash.shop_app import expected, made_records
from tests.crash.test_shop_kill import KILLS, SEED, differences, load, results_in

pytestmark = pytest.mark.crash

RECORDS = 60_000
START_MS = 1_700_000_000_000
"""Later than 1970: librdkafka cannot send a time of 0."""


def test_workers_disturbed_at_random_moments_give_each_row_once(tmp_path: Path) -> None:
    sent = made_records(SEED, RECORDS, START_MS)
    load(tmp_path, sent)

    code, count, printed = disturbed_job(tmp_path, ["--workers", "3"], KILLS, Random(SEED))

    assert code == 0, printed[-3_000:]
    assert count >= 1, "the job ended before it was disturbed"
    assert differences(results_in(tmp_path), expected(sent)) == {}, printed[-6_000:]
