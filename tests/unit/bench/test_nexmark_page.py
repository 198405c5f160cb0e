"""The page of Nexmark's results: our table, the table beside peers, the notes, and the chart of both."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.answers import Answer
from bench.measure import Measured
from bench.nexmark_page import PeerResult, Results, chart, our_rows, page, peer_rows
from bench.processes import Sample

EVENTS = 1_000
SVG = "{http://www.w3.org/2000/svg}"


def measured(cpu_us: float) -> Measured:
    return Measured(count=EVENTS, cpu_s=cpu_us * EVENTS / 1e6, wall_s=1.0, peak_bytes=50_000_000)


def samples(*cpu_us: float) -> list[Sample]:
    return [Sample(measured(cost), process_cpu_s=1.0) for cost in cpu_us]


def results(*, with_peer: bool) -> Results:
    same, other = Answer(7, "aa"), Answer(9, "bb")
    theirs = {
        "q0": PeerResult([measured(6.0), measured(9.0), measured(7.0)], same),
        "q4": PeerResult([measured(30.0)], other),
    }
    return Results(
        count=EVENTS,
        rounds=3,
        peer_rounds=3,
        generator=samples(2.0),
        samples={"q0": samples(1.0, 2.0, 4.0), "q4": samples(16.0), "q6": samples(5.0)},
        answers={"q0": same, "q4": same, "q6": same},
        peers={"Peer 1.0": theirs} if with_peer else {},
        notes=["Peer 1.0 failed at q6: too late"] if with_peer else [],
    )


def test_our_table_has_the_median_and_the_verdict_about_the_target() -> None:
    _, q0, q4, q6 = our_rows(results(with_peer=False))

    assert q0[:3] == ("q0", "2.00", "1.00 - 4.00")
    assert q0[-2:] == ("≤ 3", "met")
    assert q4[-2:] == ("≤ 15", "MISSED")
    assert q6[-2:] == ("", "")


def test_a_peer_has_its_cost_the_ratio_to_ours_and_whether_its_result_is_equal() -> None:
    heads, q0, q4, q6 = peer_rows(results(with_peer=True))

    assert heads[2] == "Peer 1.0, CPU µs/event"
    assert q0 == ("q0", "2.00", "7.00", "3.5 x", "50", "equal")
    assert q4 == ("q4", "16.00", "30.00", "1.9 x", "50", "DIFFERS: 9 rows, ours 7")
    assert q6 == ("q6", "5.00", "", "", "", ""), "a query that the peer has not answered"


def test_the_page_names_peers_and_what_went_wrong_or_says_that_there_were_none() -> None:
    alone, beside = page(results(with_peer=False), None), page(results(with_peer=True), None)

    assert "No other framework was part of this run." in alone
    assert "ratio" not in alone
    assert "No other framework" not in beside
    assert "| q0 | 2.00 | 7.00 | 3.5 x | 50 | equal |" in beside
    assert "* Peer 1.0 failed at q6: too late" in beside


def test_the_chart_has_a_bar_for_each_framework_that_answered() -> None:
    alone = ElementTree.fromstring(chart(results(with_peer=False)))
    beside = ElementTree.fromstring(chart(results(with_peer=True)))

    assert len(alone.findall(f"{SVG}rect")) == 1 + 3
    assert len(beside.findall(f"{SVG}rect")) == 1 + 3 + 2
    assert {"StreamCore", "Peer 1.0", "7.00"} <= {text.text for text in beside.findall(f"{SVG}text")}
