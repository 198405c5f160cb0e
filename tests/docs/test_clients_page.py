"""The page of clients has the form that ``make interop`` gives it; what stands in it is that run's to say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.client_table import (
    CELLS,
    COMMAND,
    FAILS,
    NOT_OFFERED,
    NOT_RUN,
    YES,
    Observation,
    Observations,
    render,
)
from tests.interop.peers import COLUMNS, FRAMEWORKS, PEERS

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "clients.md"


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_says_when_and_how_it_was_written() -> None:
    assert re.search(rf"Written by `{COMMAND}` on \d{{4}}-\d\d-\d\d: ", PAGE.read_text("utf-8"))


def test_every_client_has_a_version_and_a_cell_for_everything_that_it_is_asked_to_show() -> None:
    found = rows(PAGE.read_text("utf-8"), "Clients")

    assert [row[0] for row in found] == [peer.name for peer in PEERS]
    for name, version, runtime, *cells in found:
        assert re.match(r"\d", version), name
        assert runtime
        assert len(cells) == len(COLUMNS)
        assert set(cells) <= set(CELLS)


def test_every_call_has_a_cell_for_every_client() -> None:
    found = rows(PAGE.read_text("utf-8"), "Calls of administrators")

    assert len(found) > 10
    for _, *cells in found:
        assert len(cells) == len(PEERS)
        assert set(cells) <= set(CELLS)


def test_every_framework_is_there() -> None:
    found = rows(PAGE.read_text("utf-8"), "Frameworks")

    assert [(name, what) for name, _, _, what, _ in found] == [
        (who, description) for (who, _), description in FRAMEWORKS.items()
    ]
    assert {row[-1] for row in found} <= set(CELLS)


@pytest.mark.parametrize(
    ("outcomes", "cell"),
    [
        ([], NOT_RUN),
        (["passed"], YES),
        (["skipped"], NOT_RUN),
        (["passed", "failed", "passed"], FAILS),
        (["passed", "skipped"], NOT_RUN),
    ],
)
def test_a_cell_says_the_worst_that_was_seen(outcomes: list[str], cell: str) -> None:
    seen = Observations()
    for outcome in outcomes:
        seen.add(Observation("java", "gzip", outcome, "why"))

    page = render(seen, day="2026-01-02", broker="a broker")

    (java,) = [row for row in rows(page, "Clients") if row[0] == "java"]
    assert java[3 + list(COLUMNS).index("gzip")] == cell
    assert ("java, gzip: why" in page) == (cell == FAILS or "skipped" in outcomes)


def test_a_call_is_there_for_those_who_offer_it() -> None:
    seen = Observations(calls={"java": {"list topics": None, "delete topic": "Error: no"}, "kcat": {}})

    found = rows(render(seen, day="2026-01-02", broker="a broker"), "Calls of administrators")

    by_call = {row[0]: dict(zip([peer.name for peer in PEERS], row[1:], strict=True)) for row in found}
    assert by_call["list topics"]["java"] == YES
    assert by_call["delete topic"]["java"] == FAILS
    assert by_call["list topics"]["kcat"] == NOT_OFFERED
    assert by_call["list topics"]["kafkajs"] == NOT_RUN


def test_what_was_not_tried_keeps_its_last_result_and_date() -> None:
    page = PAGE.read_text("utf-8")
    last = re.search(r" on (\d{4}-\d\d-\d\d): ", page)
    assert last is not None
    seen = Observations(versions={"java": ("9.9", "Java 99")}, calls={"java": {"list topics": "Error: no"}})
    seen.add(Observation("java", "gzip", "failed", "why"))

    once = render(seen, day="2030-01-02", broker="a broker", previous=page)
    twice = render(Observations(), day="2031-01-02", broker="a broker", previous=once)

    for heading in ("Clients", "Frameworks"):
        before = {(row[0], row[3]): row for row in rows(page, heading)}
        for row in rows(once, heading):
            if row[0] == "java":
                assert row[1] == "9.9"
                continue
            old = before[row[0], row[3]]
            assert row == [old[0], f"{old[1]}, seen on {last[1]}", *old[2:]]
    java = next(row for row in rows(twice, "Clients") if row[0] == "java")
    assert java[1] == "9.9, seen on 2030-01-02"
    assert {row[0]: row[-1] for row in rows(once, "Calls of administrators")}["list topics"] == FAILS
    kcat = 1 + [peer.name for peer in PEERS].index("kcat")
    old_calls = {row[0]: row[kcat] for row in rows(page, "Calls of administrators")}
    assert {row[0]: row[kcat] for row in rows(twice, "Calls of administrators")} == old_calls
