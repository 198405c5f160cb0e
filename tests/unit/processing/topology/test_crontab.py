"""Cron expressions: which are valid, and their next times."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from streamcore.processing.topology.crontab import is_crontab, next_time


def test_a_text_of_five_fields_is_a_cron_expression() -> None:
    assert is_crontab("*/5 * * * *")
    assert not any(map(is_crontab, ("", "5", "61 * * * *", "every hour")))


def test_the_next_time_is_after_the_given_one_and_in_its_time_zone() -> None:
    noon = datetime(2024, 7, 1, 12, tzinfo=UTC)

    assert next_time("0 12 * * *", noon) == datetime(2024, 7, 2, 12, tzinfo=UTC)
    assert next_time("0 15 * * *", noon.astimezone(ZoneInfo("Europe/Berlin"))) == noon.replace(hour=13)


def test_a_time_that_never_comes_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        next_time("0 0 30 2 *", datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.slow
def test_an_application_without_a_cron_entry_does_not_import_croniter() -> None:
    program = (
        "import sys, streamcore as sc\n"
        "app = sc.App('plain')\n"
        "@app.timer('30s')\n"
        "def often() -> None: ...\n"
        "assert 'croniter' not in sys.modules\n"
        "app.crontab('*/5 * * * *')(often)\n"
        "assert 'croniter' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
