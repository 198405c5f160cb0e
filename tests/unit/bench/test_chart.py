"""The chart of costs: a bar in proportion for each row, and a mark for each target."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.chart import Bar, Group, bars_svg, groups_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_in_proportion_and_a_target_stands_where_a_bar_of_it_would_end() -> None:
    rows = [Bar("q0", 2.0, 4.0), Bar("q1", 8.0), Bar("q2", 8.0, 4.0)]
    chart = ElementTree.fromstring(bars_svg("a < b", rows))

    bars = chart.findall(f"{SVG}rect")[1:]
    marks = chart.findall(f"{SVG}line")
    lengths = [float(bar.attrib["width"]) for bar in bars]
    left = float(bars[0].attrib["x"])

    assert [length / lengths[0] for length in lengths] == [1.0, 4.0, 4.0]
    assert [float(mark.attrib["x1"]) for mark in marks] == [left + lengths[1] / 2] * 2
    assert len({bar.attrib["fill"] for bar in bars}) == 3, "met, missed, and without a target"
    assert [text.text for text in chart.findall(f"{SVG}text")][:3] == ["a < b", "q0", "2.00"]


def test_a_chart_of_no_rows_or_no_costs_is_drawn() -> None:
    for bars in ([], [Bar("q0", 0.0)]):
        assert ElementTree.fromstring(bars_svg("nothing", bars)).tag == f"{SVG}svg"


def test_a_group_has_a_bar_for_each_framework_with_a_cost_in_the_colour_of_the_legend() -> None:
    groups = [Group("q0", [2.0, 8.0], 4.0), Group("q1", [4.0, None])]
    chart = ElementTree.fromstring(groups_svg("both", ["ours", "theirs"], groups))

    bars = chart.findall(f"{SVG}rect")[1:]
    legend = [mark.attrib["fill"] for mark in chart.findall(f"{SVG}circle")]
    lengths = [float(bar.attrib["width"]) for bar in bars]
    left = float(bars[0].attrib["x"])

    assert [length / lengths[0] for length in lengths] == [1.0, 4.0, 2.0]
    assert [bar.attrib["fill"] for bar in bars] == [legend[0], legend[1], legend[0]]
    assert [float(mark.attrib["x1"]) for mark in chart.findall(f"{SVG}line")] == [left + lengths[2]]
    tops = [int(bar.attrib["y"]) for bar in bars]
    assert tops == sorted(tops)
    assert len(set(tops)) == 3
