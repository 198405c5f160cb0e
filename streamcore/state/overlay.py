"""Rows of an engine with changes over them that are not written yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def laid_over(
    pairs: Iterator[tuple[bytes, bytes]], overlay: Mapping[bytes, bytes | None]
) -> Iterator[tuple[bytes, bytes]]:
    """Return sorted pairs, with the overlay's values instead of theirs; ``None`` leaves a key out."""
    waiting = sorted(overlay, reverse=True)
    for key, value in pairs:
        while waiting and waiting[-1] < key:
            yield from _present(waiting.pop(), overlay)
        if waiting and waiting[-1] == key:
            yield from _present(waiting.pop(), overlay)
        else:
            yield key, value
    while waiting:
        yield from _present(waiting.pop(), overlay)


def _present(key: bytes, overlay: Mapping[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    value = overlay[key]
    if value is not None:
        yield key, value
