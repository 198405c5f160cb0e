"""Charts of costs as SVG: a bar for each row, or for each framework in a row; a line marks a row's target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_ROW_PX: Final = 18
_BAR_PX: Final = 12
_THIN_BAR_PX: Final = 9
_GAP_PX: Final = 7
_NAMES_PX: Final = 60
_BARS_PX: Final = 560
_NUMBERS_PX: Final = 80
_TOP_PX: Final = 34
_LEGEND_PX: Final = 20
_LEGEND_WIDTH_PX: Final = 150
_COLOURS: Final = ("#2a7f62", "#c98b2b", "#4d7ea8", "#8a6fae", "#888888")


@dataclass(frozen=True, slots=True)
class Bar:
    """A cost, and the most that it may be if there is a target."""

    name: str
    cost: float
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The costs of several frameworks in one row; ``None`` where one has none. The target is of the first."""

    name: str
    costs: Sequence[float | None]
    target: float | None = None


def bars_svg(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of bars from 0, all of one scale; a target is a line across its row."""
    most = max([bar.cost for bar in bars] + [bar.target for bar in bars if bar.target is not None], default=0)
    scale = _BARS_PX / most if most else 0.0
    lines = _head(title, _TOP_PX + len(bars) * _ROW_PX + 8)
    for number, bar in enumerate(bars):
        top = _TOP_PX + number * _ROW_PX
        is_met = bar.target is None or bar.cost <= bar.target
        colour = "#888888" if bar.target is None else "#2a7f62" if is_met else "#b5442d"
        lines += [_name(bar.name, top), *_bar(bar.cost, scale, top, _BAR_PX, colour)]
        if bar.target is not None:
            lines.append(_mark(bar.target * scale, top, _BAR_PX))
    return "\n".join([*lines, "</svg>", ""])


def groups_svg(title: str, series: Sequence[str], groups: Sequence[Group]) -> str:
    """Return a chart with a thin bar for each framework in each row, all of one scale, and a legend."""
    costs = [cost for group in groups for cost in (*group.costs, group.target) if cost is not None]
    most = max(costs, default=0)
    scale = _BARS_PX / most if most else 0.0
    top = _TOP_PX + _LEGEND_PX
    lines = _head(title, top + sum(map(_group_px, groups)) + 8)
    for number, name in enumerate(series):
        left = _NAMES_PX + number * _LEGEND_WIDTH_PX
        lines.append(f'<circle cx="{left}" cy="{_TOP_PX + 2}" r="5" fill="{_colour(number)}"/>')
        lines.append(f'<text x="{left + 10}" y="{_TOP_PX + 6}">{escape(name)}</text>')
    for group in groups:
        lines.append(_name(group.name, top))
        bars = [(number, cost) for number, cost in enumerate(group.costs) if cost is not None]
        for place, (number, cost) in enumerate(bars):
            lines += _bar(cost, scale, top + place * _THIN_BAR_PX, _THIN_BAR_PX, _colour(number))
        if group.target is not None:
            lines.append(_mark(group.target * scale, top, _THIN_BAR_PX))
        top += _group_px(group)
    return "\n".join([*lines, "</svg>", ""])


def _group_px(group: Group) -> int:
    """Return the height of a group: at least two bars, so that its name has room."""
    return max(2, sum(cost is not None for cost in group.costs)) * _THIN_BAR_PX + _GAP_PX


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _head(title: str, height: int) -> list[str]:
    width = _NAMES_PX + _BARS_PX + _NUMBERS_PX
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
    ]


def _name(name: str, top: int) -> str:
    return f'<text x="{_NAMES_PX - 8}" y="{top + 11}" text-anchor="end">{escape(name)}</text>'


def _bar(cost: float, scale: float, top: int, height: int, colour: str) -> list[str]:
    length = cost * scale
    size = "" if height >= _BAR_PX else ' font-size="9"'
    return [
        f'<rect x="{_NAMES_PX}" y="{top}" width="{length:.1f}" height="{height}" fill="{colour}"/>',
        f'<text x="{_NAMES_PX + length + 5:.1f}" y="{top + height - 1}"{size}>{cost:.2f}</text>',
    ]


def _mark(length: float, top: int, height: int) -> str:
    x = _NAMES_PX + length
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" y2="{top + height + 2}" stroke="black"/>'
