"""A table of texts, for a terminal and for a page in Markdown. The first row holds the headings."""

from __future__ import annotations

from collections.abc import Sequence


def terminal_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def markdown_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows in Markdown."""
    heads, *others = rows
    return ["| " + " | ".join(texts) + " |" for texts in (heads, ["---"] * len(heads), *others)]
