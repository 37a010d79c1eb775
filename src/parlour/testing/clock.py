"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio


class VirtualClock:
    """An engine's `Clock` for tests: hours pass in no time, and only when told to.

    `jump` moves the wall's time alone, as an operator who sets a clock does.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._wall = start
        self._monotonic = 1_000.0
        self._moved = asyncio.Event()

    def time(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        until = self._monotonic + seconds
        while self._monotonic < until and not event.is_set():
            moved, here = self._moved, asyncio.ensure_future(event.wait())
            there = asyncio.ensure_future(moved.wait())
            try:
                await asyncio.wait({here, there}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (here, there):
                    task.cancel()
                await asyncio.gather(here, there, return_exceptions=True)

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever waited for less than that goes on."""
        self._wall += seconds
        self._monotonic += seconds
        self._wake()

    def jump(self, seconds: float) -> None:
        """Set the wall's clock forward, or back if negative."""
        self._wall += seconds
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
