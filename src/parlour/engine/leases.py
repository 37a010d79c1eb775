"""A worker's lease on its sessions: its heartbeat, and the sessions of those whose heart stopped.

Time is the store's. A worker that was not heard of for as long as its lease looks whether what it
holds is still its own, and drops what is not. Knows the store, no bus.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from parlour.engine.clock import Clock
from parlour.errors import StoreError
from parlour.stores.shared import Elsewhere, SharedStore
from parlour.stores.store import Claim

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_ADOPT_AT_ONCE = 256
_TIDY_SECONDS = 60.0
_FAREWELL_SECONDS = 2.0


class StoreClock:
    """The store's clock, as this machine keeps it between two heartbeats.

    The machine's own wall clock may be wrong, and may jump: it only counts until the first one.
    """

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self.wait = clock.wait
        self._ahead = clock.time() - clock.monotonic()

    def time(self) -> float:
        return self.monotonic() + self._ahead

    def set(self, now: float, before: float) -> None:
        """The store said `now` to what was asked at `before`, by the monotonic clock."""
        self._ahead = now - (before + self.monotonic()) / 2


class Leases:
    """Keeps an engine's worker alive in the store, and takes over what the dead have left."""

    def __init__(
        self,
        engine: Engine,
        store: SharedStore,
        worker: str,
        clock: StoreClock,
        about: Callable[[], dict[str, object]],
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._about = about
        self.worker = worker
        self.lease = engine.settings.lease_seconds
        self.lag = 0.0
        """By how many seconds the event loop was late at the last heartbeat."""
        self._adopted: dict[str, Claim] = {}
        self._hurry = asyncio.Event()
        self._next_tidy = 0.0
        self._task: asyncio.Task[None] | None = None
        self._silent = False
        self._leaving = False

    async def start(self) -> None:
        """Begin to live. Raises `StoreError`."""
        await self._beat()
        self._task = asyncio.create_task(self._run(), name="parlour-heart")

    async def leave(self) -> None:
        """Hand everything over at once."""
        self._leaving = True
        self._hurry.set()
        if self._task is not None:
            # A heartbeat that is under way must not come after the farewell.
            await asyncio.wait([self._task], timeout=_FAREWELL_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        try:
            await self._store.leave()
        except StoreError as error:
            log.warning("the sessions of this worker are free only after its lease: %s", error)

    @property
    def heard(self) -> bool:
        """Whether the last heartbeat was."""
        return not self._silent

    def hurry(self) -> None:
        """Somebody has left or died: look now for what is to be taken over."""
        self._hurry.set()

    async def claim(self, session: str) -> Claim | Elsewhere | None:
        """Claim a session that no other living worker owns."""
        adopted = self._adopted.pop(session, None)
        return adopted if adopted is not None else await self._store.take(session)

    async def _run(self) -> None:
        loop, pause = asyncio.get_running_loop(), min(self.lease / 4, 1.0)
        while True:
            delay = pause * random.uniform(0.8, 1.0)  # noqa: S311 - so that not all ask at once
            due = loop.time() + delay
            try:
                async with asyncio.timeout(delay):
                    await self._hurry.wait()
            except TimeoutError:
                self.lag = max(0.0, loop.time() - due)
            if self._leaving:
                return
            self._hurry.clear()
            try:
                await self._beat()
                await self._adopt()
                await self._tidy()
            except StoreError as error:
                if not self._silent:
                    log.error("this worker is not heard: %s", error)
                self._silent = True
            except Exception:
                log.exception("the worker's heartbeat failed; it goes on")

    async def _beat(self) -> None:
        before = self._clock.monotonic()
        beat = await self._store.beat(self.worker, self.lease, self._about())
        self._clock.set(beat.now, before)
        if self._silent:
            log.warning("this worker is heard again")
        self._silent = False
        if beat.silent is None or beat.silent > self.lease:
            await self._check()

    async def _check(self) -> None:
        """Drop what others have taken over meanwhile."""
        held = self._engine.all_live()
        if not held:
            return
        owned = await self._store.owned()
        for activation in held:
            if not activation.gone and owned.get(activation.id) != activation.epoch:
                activation.drop("another worker has taken the session over")

    async def _adopt(self) -> None:
        while not self._engine.stopping:
            found = await self._store.adopt(_ADOPT_AT_ONCE)
            for session, claim in found:
                held = self._engine.find_live(session)
                if held is not None:
                    held.drop("its lease had ended")
                if not self._engine.is_waking(session):
                    self._adopted[session] = claim
                self._engine.spawn(self._engine.keeper.wake_in_turn(session))
            if len(found) < _ADOPT_AT_ONCE:
                return

    async def _tidy(self) -> None:
        now = self._engine.monotonic()
        if now >= self._next_tidy:
            self._next_tidy = now + _TIDY_SECONDS
            await self._store.tidy()
            # What was erased by a command is not ours any more either.
            await self._check()


def about_here() -> dict[str, object]:
    """Where this process runs."""
    return {"host": socket.gethostname(), "pid": os.getpid()}
