"""The bytes of one simulated file: what is there now, what is durable, what a crash may leave.

Between two syncs a file is a list of changes over its durable content. A power cut may keep each
512-byte sector as it was after any of those changes, or as zeros where the file had grown but
nothing was written yet; within a sector a write happens or does not. ``after_crash`` picks one of
these outcomes, from the harmless (everything, nothing, a clean prefix) to the vicious (every
sector on its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

SECTOR_BYTES: Final = 512


@dataclass(slots=True)
class _Change:
    """Bytes written at a position, or (``data`` is ``None``) a cut to that position."""

    position: int
    data: bytes | None
    is_lost: bool = False
    """A failed sync dropped it: it can still be read, but no later sync writes it."""


class SimContent:
    """The bytes of one file."""

    def __init__(self, durable: bytes = b"", *, modified_ms: int = 0) -> None:
        self.modified_ms = modified_ms
        """When the bytes last changed, by the clock of the machine; a crash keeps it."""
        self.current = bytearray(durable)
        self._durable = durable
        self._changes: list[_Change] = []

    def append(self, data: bytes) -> None:
        """Write at the end, not durably."""
        self._changes.append(_Change(len(self.current), data))
        self.current += data

    def write_again(self, position: int) -> None:
        """Write what is there from ``position`` on in its place, not durably."""
        self._changes.append(_Change(position, bytes(self.current[position:])))

    def truncate(self, size: int) -> None:
        """Cut, not durably."""
        self._changes.append(_Change(size, None))
        del self.current[size:]

    def overwrite(self, position: int, data: bytes) -> None:
        """Damage bytes in place, as a failing disk does: durable at once, whatever was there."""
        end = position + len(data)
        assert end <= len(self.current)
        self.current[position:end] = data
        durable = bytearray(self._durable)
        if position < len(durable):
            durable[position : min(end, len(durable))] = data[: len(durable) - position]
        self._durable = bytes(durable)

    def sync(self) -> None:
        """Make durable what is there, except for what a failed sync has dropped."""
        if any(change.is_lost for change in self._changes):
            # The pages of the failed sync count as clean: the system never writes them again.
            # Their place in the file stays, filled with whatever the disk held.
            content = _applied(self._durable, [c for c in self._changes if not c.is_lost])
            self._durable = bytes(content.ljust(len(self.current), b"\0")[: len(self.current)])
        elif self._changes:
            self._durable = bytes(self.current)
        self._changes.clear()

    def fail_sync(self, random: Random) -> None:
        """Drop some of the unsynced changes from what any later sync will write."""
        for change in self._changes:
            change.is_lost = change.is_lost or random.random() < 0.7

    def after_crash(self, random: Random) -> SimContent:
        """What the file holds when the power is back."""
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
        """The first changes whole, the next one as far as some sector."""
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
        """Each sector as it was after some change, or zeros; the length likewise."""
        versions = [bytearray(self._durable)]
        for change in changes:
            versions.append(_applied(bytes(versions[-1]), [change]))
        intact = min([len(self._durable), *(change.position for change in changes)])
        size = len(random.choice(versions)) if random.random() < 0.5 else len(versions[-1])
        # Durable bytes below the first change are nobody's to lose.
        size = max(size, intact)
        result = bytearray(size)
        result[:intact] = self._durable[:intact]
        # Only what the file has grown by can be there without having been written.
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
