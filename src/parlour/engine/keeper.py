"""What happens because time passes: timers, overrun rounds, rest, expiry, erasure.

The keeper knows when to look at a session; what is due there, the session says itself.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from parlour.errors import Refused, StoreError

if TYPE_CHECKING:
    from parlour.engine.activation import Activation
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

TICK = 1.0
_HORIZON = 60.0
_AT_ONCE = 64
_MANY = 10_000
_EXPIRE_AT_ONCE = 1000
_PORTION = 32
"""As many sessions are woken or put to rest before others have their turn of the loop."""
_LOOKS = 1024


class Keeper:
    """Looks after an engine's sessions as time goes by; `tick` is one look.

    A session has one timer: the next thing that happens in it without being asked. Timers far away
    stay in the store, from where they are taken when they come near.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._alarm = asyncio.Event()
        self._timers: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._working: dict[str, Activation] = {}
        self._resting: list[tuple[float, int, Activation]] = []
        self._numbers = count()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._next_sweep = 0.0
        self._next_expiry = 0.0
        self._expires = False

    async def run(self) -> None:
        clock = self._engine.clock
        while True:
            try:
                await self.tick()
            except Exception:
                log.exception("the engine's keeper failed; it goes on")
            delay = TICK
            if self._timers:
                delay = min(delay, max(0.001, self._timers[0][0] - clock.time()))
            self._alarm.clear()
            await clock.wait(self._alarm, delay)

    async def tick(self) -> None:
        """Do what time has made due."""
        await self._sweep()
        await self._fire_timers()
        now = self._engine.monotonic()
        for number, activation in enumerate(tuple(self._working.values()), 1):
            activation.runner.check_time(now)
            await _breathe(number, _LOOKS)
        await self._rest(now)
        self._expire_soon()
        self._engine.ends.look()

    # -- timers -----------------------------------------------------------------------------

    def wake_at(self, session: str, due: float | None) -> None:
        """Look at the session at `due` (Unix seconds), instead of when was said before."""
        if due is None or due > self._engine.time() + 2 * _HORIZON:
            self._due.pop(session, None)
            return
        self._due[session] = due
        heapq.heappush(self._timers, (due, session))
        if self._timers[0][1] == session:
            self._alarm.set()

    async def _fire_timers(self) -> None:
        now, engine = self._engine.time(), self._engine
        fired = 0
        while self._timers and self._timers[0][0] <= now:
            due, session = heapq.heappop(self._timers)
            if self._due.get(session) != due:
                continue  # something else was said meanwhile
            del self._due[session]
            activation = engine.find_live(session)
            if activation is not None:
                activation.advance()
            else:
                engine.spawn(self.wake_in_turn(session))
            fired += 1
            await _breathe(fired, _PORTION)

    async def wake_in_turn(self, session: str) -> None:
        """Wake a session; time, or a worker's death, may ask for many at once."""
        async with self._turns:
            await self._engine.wake(session)

    async def _sweep(self) -> None:
        """Learn from the store which sessions have something to do soon."""
        engine = self._engine
        if engine.monotonic() < self._next_sweep:
            return
        self._next_sweep = engine.monotonic() + _HORIZON / 2
        for session, when in await self._due_soon():
            if session not in self._due:
                activation = engine.find_live(session)
                # What works here is due at once for others only.
                self.wake_at(session, when if activation is None else activation.state.due)

    async def _due_soon(self) -> Sequence[tuple[str, float]]:
        """All of it: what is at work stands first, and must not hide what is due later."""
        many = _MANY
        while True:
            store = self._engine.workers or self._engine.store
            found = await store.due(self._engine.time() + _HORIZON, many)
            if len(found) < many:
                return found
            many *= 4

    # -- rounds that run --------------------------------------------------------------------

    @property
    def watches(self) -> bool:
        """Whether there are handlers that run or wait."""
        return bool(self._working)

    def works(self, activation: Activation) -> None:
        """A handler of this session runs; it is looked at now and then until `stands`."""
        self._working[activation.id] = activation

    def stands(self, activation: Activation) -> None:
        """No handler of this session runs any more."""
        if self._working.get(activation.id) is activation:
            del self._working[activation.id]

    # -- rest -------------------------------------------------------------------------------

    def watch_rest(self, activation: Activation) -> None:
        """Look whether this session may leave memory, once that may be."""
        self._look_at(self._engine.monotonic() + self._patience(activation), activation)

    def _look_at(self, when: float, activation: Activation) -> None:
        if when >= activation.rest_at:
            return
        activation.rest_at = when
        heapq.heappush(self._resting, (when, next(self._numbers), activation))

    async def _rest(self, now: float) -> None:
        rested = 0
        while self._resting and self._resting[0][0] <= now:
            when, _, activation = heapq.heappop(self._resting)
            if activation.gone or when != activation.rest_at:
                continue
            activation.rest_at = math.inf
            patient_until = activation.runner.active + self._patience(activation)
            if patient_until > now or not activation.try_rest():
                self._look_at(max(patient_until, now + TICK), activation)
            rested += 1
            await _breathe(rested, _PORTION)

    def _patience(self, activation: Activation) -> float:
        settings = self._engine.settings
        running = activation.state.round is not None
        return settings.hibernate_after if running else settings.idle_after

    # -- expiry -----------------------------------------------------------------------------

    def _expire_soon(self) -> None:
        """One after another, beside everything else: nobody waits for it."""
        engine = self._engine
        after = engine.settings.expire_after
        if after is None or self._expires or engine.monotonic() < self._next_expiry:
            return
        self._next_expiry = engine.monotonic() + min(after / 4, 60.0)
        self._expires = True
        engine.spawn(self._expire(after))

    async def _expire(self, after: float) -> None:
        try:
            await self._expire_all(after)
        except StoreError as error:
            log.warning("idle sessions could not be expired: %s", error)
        finally:
            self._expires = False

    async def _expire_all(self, after: float) -> None:
        engine = self._engine
        for session in await engine.store.idle(engine.time() - after, _EXPIRE_AT_ONCE):
            activation = engine.find_live(session)
            if activation is None:
                await engine.wake(session)
                activation = engine.find_live(session)
            info = await engine.store.find(session)
            if activation is None or info is None or info.updated >= engine.time() - after:
                continue
            try:
                activation.expire()
            except Refused:
                continue  # somebody closed it


async def _breathe(done: int, portion: int) -> None:
    """Let others go on after each portion of what is to be done."""
    if done % portion == 0:
        await asyncio.sleep(0)
