"""Two commits are compared by the pages of their own benchmarks, line by line."""

from __future__ import annotations

from pathlib import Path

from bench.against import BROKER, LOG, Taken, numbers_of, table_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_pages_of_both_benchmarks_are_read_line_by_line() -> None:
    of_log = numbers_of(LOG, (ROOT / "bench" / "RESULTS.md").read_text("utf-8"))
    of_broker = numbers_of(BROKER, (ROOT / "bench" / "BROKER.md").read_text("utf-8"))

    log_titles = {title: unit for title, unit, _ in of_log}
    assert log_titles["filter and map"] == "CPU µs/event"
    assert log_titles["consume 100 B as records"] == "records/s"
    assert log_titles["consume 100 B as records: CPU"] == "CPU µs/event"
    assert ("64 connections, a record a request, 1 partition", "requests/s") in {
        (title, unit) for title, unit, _ in of_broker
    }
    assert all(value > 0 for _, _, value in of_log)


def test_a_ratio_above_one_is_worse_for_rates_and_for_costs() -> None:
    rate = Taken("records/s", before=[100.0, 100.0], now=[50.0, 80.0])
    cost = Taken("CPU µs", before=[10.0, 10.0], now=[20.0, 8.0])

    assert rate.ratios() == [2.0, 1.25]
    assert cost.ratios() == [2.0, 0.8]


def test_a_line_is_worse_if_its_median_is_by_more_than_five_per_cent() -> None:
    taken = {
        ("a", "slower"): Taken("ms", before=[10.0, 10.0, 10.0], now=[10.6, 10.7, 9.0]),
        ("b", "as before"): Taken("ms", before=[10.0, 10.0, 10.0], now=[10.4, 12.0, 9.0]),
    }

    _, slower, same = table_of(taken)

    assert slower == ("a", "slower", "ms", "10", "10.6", "1.06 (0.90 - 1.07)", "WORSE")
    assert same == ("b", "as before", "ms", "10", "10.4", "1.04 (0.90 - 1.20)", "")
