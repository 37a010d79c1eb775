"""How often one user may ask: so many times a minute, in bursts of a few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from parlour.errors import Refused

_REMEMBERED = 10_000


class Pace:
    """Counts requests by whoever makes them; `monotonic` is a clock in seconds."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, per_minute / 4)
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, user: str) -> None:
        """Count one request. Raises `Refused` where there were too many."""
        now = self._monotonic()
        left, since = self._left.pop(user, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[user] = (left - 1 if allowed else left), now
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        if not allowed:
            wait = (1 - left) / self._rate if self._rate else 60.0
            raise Refused("too_many", "That is too often; wait a moment.", max(wait, 1.0))
