"""The bytes of one simulated file: the present ones, the durable ones, and those that a crash leaves.

Between two syncs a file is a list of changes over its durable content. After a power cut, each 512-byte
sector is as it was after any of those changes, or zeros where the file had grown and nothing was written
yet; a write changes a sector completely or not at all. ``after_crash`` chooses one of these outcomes: from
harmless ones (all changes, none, a clean prefix) to the worst (each sector for itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

SECTOR_BYTES: Final = 512


@dataclass(slots=True)
class _Change:
    """Bytes written at a byte position; ``data`` of ``None`` is a truncation to it."""

    position: int
    data: bytes | None
    is_lost: bool = False
    """Whether a failed sync dropped the change: it can still be read, but no later sync writes it."""


class SimContent:
    """The bytes of one file."""

    def __init__(self, durable: bytes = b"", *, modified_ms: int = 0) -> None:
        self.modified_ms = modified_ms
        """The time of the last change of the bytes, by the machine's clock; a crash keeps it."""
        self.current = bytearray(durable)
        self._durable = durable
        self._changes: list[_Change] = []

    def append(self, data: bytes) -> None:
        """Write at the end, not durably."""
        self._changes.append(_Change(len(self.current), data))
        self.current += data

    def write_again(self, position: int) -> None:
        """Write the bytes from ``position`` on again in place, not durably."""
        self._changes.append(_Change(position, bytes(self.current[position:])))

    def truncate(self, size: int) -> None:
        """Truncate, not durably."""
        self._changes.append(_Change(size, None))
        del self.current[size:]

    def overwrite(self, position: int, data: bytes) -> None:
        """Damage bytes in place, as a failing disk does: durable at once, over any content."""
        end = position + len(data)
        assert end <= len(self.current)
        self.current[position:end] = data
        durable = bytearray(self._durable)
        if position < len(durable):
            durable[position : min(end, len(durable))] = data[: len(durable) - position]
        self._durable = bytes(durable)

    def sync(self) -> None:
        """Make the present bytes durable, except those that a failed sync has dropped."""
        if any(change.is_lost for change in self._changes):
            # The pages of the failed sync count as clean: the system never writes them again.
            # Their range in the file stays, filled with the bytes that the disk had there.
            content = _applied(self._durable, [c for c in self._changes if not c.is_lost])
            self._durable = bytes(content.ljust(len(self.current), b"\0")[: len(self.current)])
        elif self._changes:
            self._durable = bytes(self.current)
        self._changes.clear()

    def fail_sync(self, random: Random) -> None:
        """Drop some unsynced changes, so that no later sync writes them."""
        for change in self._changes:
            change.is_lost = change.is_lost or random.random() < 0.7

    def after_crash(self, random: Random) -> SimContent:
        """Return the file's bytes after a power cut."""
        return SimContent(self._bytes_after_crash(random), modified_ms=self.modified_ms)

    def _bytes_after_crash(self, random: Random) -> bytes:
        changes = [change for change in self._changes if not change.is_lost]
        if not changes:
            return self._durable
        choice = random.random()
        if choice < 0.15:
            return self._durable
        if choice < 0.3:
            return bytes(_applied(self._durable, changes))
        if choice < 0.6:
            return self._torn_prefix(changes, random)
        return self._shuffled_sectors(changes, random)

    def _torn_prefix(self, changes: list[_Change], random: Random) -> bytes:
        """Return the content after the first changes, with the next one up to some sector."""
        whole_count = random.randrange(len(changes))
        content = _applied(self._durable, changes[:whole_count])
        torn = changes[whole_count]
        if torn.data:
            end = torn.position + random.randint(0, len(torn.data))
            end -= end % SECTOR_BYTES if random.random() < 0.8 else 0
            kept = torn.data[: max(0, end - torn.position)]
            content = _applied(bytes(content), [_Change(torn.position, kept)]) if kept else content
        return bytes(content)

    def _shuffled_sectors(self, changes: list[_Change], random: Random) -> bytes:
        """Return each sector as it was after some change, or zeros; the length likewise."""
        versions = [bytearray(self._durable)]
        for change in changes:
            versions.append(_applied(bytes(versions[-1]), [change]))
        intact = min([len(self._durable), *(change.position for change in changes)])
        size = len(random.choice(versions)) if random.random() < 0.5 else len(versions[-1])
        # Durable bytes below the first change cannot be lost.
        size = max(size, intact)
        result = bytearray(size)
        result[:intact] = self._durable[:intact]
        # Only bytes by which the file has grown can exist without having been written.
        grown_from = min([len(self._durable), *(c.position for c in changes if c.data is None)])
        zero_share = random.choice((0.0, 0.3, 1.0))
        for start in range(intact - intact % SECTOR_BYTES, size, SECTOR_BYTES):
            first, end = max(start, intact), min(start + SECTOR_BYTES, size)
            if random.random() < zero_share:
                end = max(first, min(end, grown_from))
            kept = random.choice(versions)[first:end]
            result[first : first + len(kept)] = kept
        return bytes(result)


def _applied(durable: bytes, changes: list[_Change]) -> bytearray:
    content = bytearray(durable)
    for change in changes:
        if change.data is None:
            del content[change.position :]
            continue
        if len(content) < change.position:
            content.extend(bytes(change.position - len(content)))
        content[change.position : change.position + len(change.data)] = change.data
    return content
