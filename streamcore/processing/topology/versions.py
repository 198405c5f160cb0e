"""The versions of a table's rows: which value a key had at a time (as-of joins; KIP-889, KIP-914).

A table with a history keeps, beside the newest value of each key, the values that the key had before. Each is
a version, with the event time from which it holds. A deletion is a version, too. The value *as of* a time is
that of the newest version at or before it; of versions of one time the one that came last counts.

The history of a table is bounded. Its *horizon* follows the watermark, behind it by the history, on a
border of buckets. For each key the newest version before the horizon still holds there and is kept as the
*base*; all older ones, and a deletion before the horizon, are forgotten. So a version that arrives with a
time before the horizon replaces the base if it is newer, and is dropped otherwise.

A table with a history keeps two stores beside that of its newest values::

    <table>.history    key                       -> the base, and the starts of the key's buckets
    <table>.versions   (key, start of a bucket)  -> the versions of the key in the bucket, by time
"""

from __future__ import annotations

from bisect import bisect_right, insort_right
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Struct

from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import Serde, packed_serde


class Version(msgspec.Struct, array_like=True, gc=False):
    """A value of a key, and the time from which it holds."""

    time_ms: int
    data: bytes | None
    """The value, encoded; ``None`` for a deletion."""


class KeyHistory(msgspec.Struct, array_like=True):
    """Where the versions of a key are."""

    base: Version | None
    """The version that held at the horizon; ``None`` for no value."""
    starts_ms: list[int]
    """The starts of the buckets that hold versions of the key, ascending."""

    def has_bucket(self, start_ms: int) -> bool:
        """Whether the bucket that starts at a time holds versions of the key."""
        starts_ms = self.starts_ms
        return bool(starts_ms) and (starts_ms[-1] == start_ms or start_ms in starts_ms)


VERSIONS: Final[Serde[list[Version]]] = packed_serde(list[Version], "versions of a key")
"""The serde of the values of ``<table>.versions``."""

KEY_HISTORIES: Final[Serde[KeyHistory]] = packed_serde(KeyHistory, "history of a key")
"""The serde of the values of ``<table>.history``."""

time_of = attrgetter("time_ms")
"""Returns the time of a version."""

_BUCKETS: Final = 32
"""About how many buckets a history has. A changed bucket is written as a whole."""


class HistorySpan(Struct, frozen=True):
    """How long a table keeps versions, in milliseconds of event time."""

    history_ms: int

    @property
    def bucket_ms(self) -> int:
        """The length of a bucket: a power of two, so that a history can change a little over old buckets."""
        return 1 << max(0, (self.history_ms // _BUCKETS).bit_length() - 1)

    def buckets(self) -> TimeWindows:
        """Return the windows of the store of versions. Each bucket is deleted by its key when it expires."""
        return TimeWindows(self.bucket_ms, self.bucket_ms)

    def start_of(self, time_ms: int) -> int:
        """Return the start of the bucket that holds a time."""
        return time_ms - time_ms % self.bucket_ms

    def horizon_ms(self, watermark_ms: int, behind_ms: int = 0) -> int:
        """Return the start of the first bucket that is kept at a watermark; never before 1970.

        ``behind_ms`` is how far behind the watermark the records can be that are joined.
        """
        return max(0, self.start_of(watermark_ms - behind_ms - self.history_ms))

    def is_too_old(self, timestamp_ms: int, time_ms: int) -> bool:
        """Whether a time is before the history, at a stream time: what held then is not known any more."""
        return timestamp_ms + self.history_ms < time_ms


def add_version(versions: list[Version], version: Version) -> None:
    """Insert a version into those of one key; it replaces the one of the same time."""
    if not versions or versions[-1].time_ms < version.time_ms:
        versions.append(version)
        return
    index = bisect_right(versions, version.time_ms, key=time_of)
    if index and versions[index - 1].time_ms == version.time_ms:
        versions[index - 1] = version
    else:
        insort_right(versions, version, key=time_of)
