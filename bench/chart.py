"""A chart of costs as SVG: a bar for each row, with a mark where its target is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_ROW_PX: Final = 18
_BAR_PX: Final = 12
_NAMES_PX: Final = 60
_BARS_PX: Final = 560
_NUMBERS_PX: Final = 80
_TOP_PX: Final = 34


@dataclass(frozen=True, slots=True)
class Bar:
    """A cost, and the most that it may be if there is a target."""

    name: str
    cost: float
    target: float | None = None


def bars_svg(title: str, bars: Sequence[Bar]) -> str:
    """Return a chart of bars from 0, all of one scale; a target is a line across its row."""
    most = max([bar.cost for bar in bars] + [bar.target for bar in bars if bar.target is not None], default=0)
    scale = _BARS_PX / most if most else 0.0
    width, height = _NAMES_PX + _BARS_PX + _NUMBERS_PX, _TOP_PX + len(bars) * _ROW_PX + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        top = _TOP_PX + number * _ROW_PX
        length = bar.cost * scale
        is_met = bar.target is None or bar.cost <= bar.target
        colour = "#888888" if bar.target is None else "#2a7f62" if is_met else "#b5442d"
        lines.append(f'<text x="{_NAMES_PX - 8}" y="{top + 11}" text-anchor="end">{escape(bar.name)}</text>')
        lines.append(
            f'<rect x="{_NAMES_PX}" y="{top}" width="{length:.1f}" height="{_BAR_PX}" fill="{colour}"/>'
        )
        lines.append(f'<text x="{_NAMES_PX + length + 5:.1f}" y="{top + 11}">{bar.cost:.2f}</text>')
        if bar.target is not None:
            x = _NAMES_PX + bar.target * scale
            lines.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" y2="{top + _BAR_PX + 2}" stroke="black"/>'
            )
    return "\n".join([*lines, "</svg>", ""])
