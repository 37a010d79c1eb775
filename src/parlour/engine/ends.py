"""How sessions end for good: erased when somebody asks for it, or when they have been kept enough.

First the session leaves memory, whatever it does; then the store forgets it, then its files go,
then whoever listens is told. What a crash cuts off is finished at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from parlour.engine.fanout import commit_of
from parlour.errors import Refused, StoreError
from parlour.events import SessionClosed, encode_events
from parlour.stores.store import Chunk
from parlour.stores.sweep import erase_session, sessions_of

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_DAY = 86_400.0
_LOOK_SECONDS = 3600.0
_BATCH = 100
_PAUSE = 0.005


class Ends:
    """Erases sessions of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_look = 0.0
        self._retiring = False

    async def erase(self, session: str) -> bool:
        """Leave nothing of a session; False if there is none. Raises `StoreError`."""
        found = await self.erase_from_store(session)
        await self._engine.store.scrub()
        return found

    async def erase_user(self, user: str) -> int:
        """Leave nothing of a user: sessions and variables. How many sessions there were.

        Raises `StoreError`.
        """
        count = 0
        while ids := [info.id async for info in sessions_of(self._engine.store, user)]:
            for session in ids:
                count += await self.erase_from_store(session)
        self._engine.keys.forget(user)
        await self._engine.store.erase_user(user)
        await self._engine.store.scrub()
        return count

    def look(self) -> None:
        """Now and then, begin to erase what has been kept as long as the settings say."""
        engine = self._engine
        days = engine.settings.retain_days
        if days is None or self._retiring or engine.monotonic() < self._next_look:
            return
        self._next_look = engine.monotonic() + _LOOK_SECONDS
        self._retiring = True
        engine.spawn(self._retire(days))

    async def finish(self) -> None:
        """Erase what an engine before this one was about to erase."""
        engine = self._engine
        for session in await asyncio.to_thread(engine.files.condemned):
            try:
                await erase_session(engine.store, engine.files, session)
            except StoreError as error:
                log.error("session %s could not be erased: %s", session[:8], error)

    async def _retire(self, days: float) -> None:
        engine = self._engine
        count = 0
        try:
            before = engine.time() - days * _DAY
            while not engine.stopping and (ids := await engine.store.ended(before, _BATCH)):
                for session in ids:
                    count += await self.erase_from_store(session)
            if count:
                await engine.store.scrub()
                log.info("%d sessions were erased that ended %g days ago", count, days)
        except StoreError as error:
            log.error("sessions that were kept long enough could not be erased: %s", error)
        finally:
            self._retiring = False

    async def erase_from_store(self, session: str) -> bool:
        """The same, but what was erased is not overwritten yet (`Store.scrub`)."""
        engine = self._engine
        while not engine.seclude(session):  # noqa: ASYNC110 - whoever wakes it is soon done
            await asyncio.sleep(_PAUSE)
        unknown = Refused("unknown_session", "There is no such session.")
        try:
            told = await self._leave_memory(session)
            await engine.cells.release(session)
            found = await erase_session(engine.store, engine.files, session)
        finally:
            engine.tell_all(session, unknown)
        if found and engine.workers is not None:
            engine.workers.erased(session)
        if found:
            last = Chunk(
                told + 1, 1, engine.time(), encode_events([SessionClosed(reason="erased")])
            )
            engine.publish(commit_of(session, last))
            engine.end_listeners(session, unknown)
        return found

    async def _leave_memory(self, session: str) -> int:
        """End the session's activation, and wait for its handler; the last record that was told."""
        activation = self._engine.find_live(session)
        if activation is None:
            info = await self._engine.store.find(session)
            return 0 if info is None else info.head
        activation.drop("the session is erased")
        # A handler that does not end is left behind after `stop_seconds`.
        while not activation.runner.idle:  # noqa: ASYNC110 - so it is bounded
            await asyncio.sleep(_PAUSE)
        return activation.durable
