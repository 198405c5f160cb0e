"""A table of texts, for a terminal and for a page in Markdown. The first row is the heads."""

from __future__ import annotations

from collections.abc import Sequence


def terminal_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with columns that stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def markdown_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as Markdown wants them."""
    heads, *others = rows
    return ["| " + " | ".join(texts) + " |" for texts in (heads, ["---"] * len(heads), *others)]
