"""Time as the engine sees it: a seam, so that tests can hold it still and move it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a wait.

    `time` is the wall's, in Unix seconds: deadlines and what people see. `monotonic` only grows,
    in seconds: how long something took. Wall clocks jump; nothing is ordered by them.
    """

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set or `seconds` have passed."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
