"""Makes guessing passwords slow: after failures, the answers to the next attempts are delayed.

Failures fill a bucket for their user at their address, and one for the address as a whole; both leak. While a
bucket is above its limit, the answer to an attempt waits until the excess would have leaked, for success and
failure alike: a guesser who disconnects meanwhile learns nothing. A client with a wrong password that tries
again each second delays its own user, and no other user of the same address.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from msgspec import Struct

_KEYS_MAX: Final = 10_000


class Bucket(Struct, frozen=True):
    """How many failures are free, how many more each second, and the longest delay."""

    free: float
    per_s: float
    wait_s_max: float


OF_USER: Final = Bucket(free=3, per_s=1, wait_s_max=15)
OF_ADDRESS: Final = Bucket(free=100, per_s=20, wait_s_max=5)


class _Levels:
    """The buckets of one kind by their keys, the longest unused first."""

    def __init__(self, bucket: Bucket, keys_max: int) -> None:
        self._bucket = bucket
        self._keys_max = keys_max
        self._levels: dict[Hashable, tuple[float, float]] = {}
        """The level, and the time at which it was computed."""

    def __len__(self) -> int:
        return len(self._levels)

    def level(self, key: Hashable, now_s: float) -> float:
        level, then_s = self._levels.get(key, (0.0, now_s))
        return max(0.0, level - (now_s - then_s) * self._bucket.per_s)

    def wait_s(self, key: Hashable, now_s: float) -> float:
        bucket = self._bucket
        too_many = self.level(key, now_s) - bucket.free
        return min(max(0.0, too_many / bucket.per_s), bucket.wait_s_max)

    def add(self, key: Hashable, now_s: float) -> None:
        bucket = self._bucket
        # At most what leaks in the longest delay: the effect on other clients ends soon after an attack.
        full = bucket.free + bucket.per_s * bucket.wait_s_max
        level = min(self.level(key, now_s) + 1, full)
        self._levels.pop(key, None)
        self._levels[key] = (level, now_s)
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        """Drop empty buckets, and the oldest if there are too many."""
        while self._levels:
            oldest = next(iter(self._levels))
            if len(self._levels) <= self._keys_max and self.level(oldest, now_s):
                return
            del self._levels[oldest]


class FailedLogins:
    """The recent failures."""

    def __init__(self, *, keys_max: int = _KEYS_MAX) -> None:
        self._of_users = _Levels(OF_USER, keys_max)
        self._of_addresses = _Levels(OF_ADDRESS, keys_max)

    def __len__(self) -> int:
        """Return the number of buckets."""
        return len(self._of_users) + len(self._of_addresses)

    def wait_s(self, address: str, user: str, now_s: float) -> float:
        """Return how long the answer to an attempt made now has to wait, in seconds."""
        return max(self._of_users.wait_s((address, user), now_s), self._of_addresses.wait_s(address, now_s))

    def add(self, address: str, user: str, now_s: float) -> None:
        """Record a failed attempt."""
        self._of_users.add((address, user), now_s)
        self._of_addresses.add(address, now_s)
