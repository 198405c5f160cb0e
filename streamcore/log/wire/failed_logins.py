"""Makes guessing passwords slow: who fails again and again waits before the next attempt is looked at.

The first failures of an address cost nothing but the usual delay of a failed answer, so that a typing error
does not. After those each failure doubles the wait, up to a bound that a client of the same
address with the right password can live with. An address is forgotten when it has not failed for a while, and
the longest silent one when there are too many.
"""

from __future__ import annotations

from typing import Final

_FREE_FAILURES: Final = 3
_FIRST_WAIT_S: Final = 0.1
_WAIT_S_MAX: Final = 2.0
_FORGOTTEN_AFTER_S: Final = 60.0
_ADDRESSES_MAX: Final = 10_000


class FailedLogins:
    """How often each address has failed of late."""

    def __init__(self, *, addresses_max: int = _ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._failures: dict[str, tuple[int, float]] = {}
        """Count and time of the last one, by address, the longest silent first."""

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now_s: float) -> float:
        """How long the next attempt from an address has to wait."""
        count, last_s = self._failures.get(address, (0, now_s))
        if count < _FREE_FAILURES or now_s - last_s >= _FORGOTTEN_AFTER_S:
            return 0.0
        return float(min(_FIRST_WAIT_S * 2.0 ** (count - _FREE_FAILURES), _WAIT_S_MAX))

    def add(self, address: str, now_s: float) -> None:
        """An attempt from an address has failed."""
        count, last_s = self._failures.pop(address, (0, now_s))
        if now_s - last_s >= _FORGOTTEN_AFTER_S:
            count = 0
        # A bound on the exponent, too: an attack may go on for years.
        self._failures[address] = (min(count + 1, 64), now_s)
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        while self._failures:
            address = next(iter(self._failures))
            _, last_s = self._failures[address]
            if len(self._failures) <= self._addresses_max and now_s - last_s < _FORGOTTEN_AFTER_S:
                return
            del self._failures[address]
