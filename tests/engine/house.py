"""A house whose engine can be stopped in order or crash, on every store of one machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import parlour
from parlour.engine import Engine
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.events import Event
from parlour.stores.files import Files
from parlour.stores.memory import MemoryStore
from parlour.stores.sqlite import SqliteStore
from parlour.stores.store import Store
from parlour.testing import VirtualClock


class House:
    """One store that outlives its engines."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._memory = MemoryStore()
        self.clock: VirtualClock | None = None
        self.settings = parlour.Settings(development=True)
        self.engine: Engine | None = None

    def store(self) -> Store:
        if self.kind == "memory":
            return self._memory
        return SqliteStore(self._folder / "house.db")

    @asynccontextmanager
    async def running(
        self, app: parlour.App, *, wrap: Callable[[Store], Store] = lambda store: store
    ) -> AsyncGenerator[AsyncRunning]:
        engine = Engine(
            app,
            wrap(self.store()),
            files=Files(self._folder / "files"),
            secret=b"k" * 32,
            settings=self.settings,
            clock=self.clock,
        )
        self.engine = engine
        async with engine:
            yield AsyncRunning(engine)

    async def crash(self, running: AsyncRunning) -> None:
        """End as a killed process does: what is not durable is gone, nobody says goodbye."""
        engine = running.engine
        engine._stopping = True
        engine._keeping.cancel()
        assert engine.committer._task is not None
        engine.committer._task.cancel()
        await asyncio.gather(engine._keeping, engine.committer._task, return_exceptions=True)
        for activation in tuple(engine._live.values()):
            activation.drop("the process was killed")
        for task in tuple(engine.tasks):
            task.cancel()
        await asyncio.gather(*engine.tasks, return_exceptions=True)
        await engine.bridge.close(1.0)
        engine.watchdog.close()
        await engine.store.close()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a test's coroutine, at most for as long as a test may take."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns until something is so; the test's own limit bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


async def settled(session: AsyncLocalSession) -> None:
    """Wait until no round of the session runs."""

    while (await session.state()).round is not None or not _durable(session):
        await asyncio.sleep(0.001)


def _durable(session: AsyncLocalSession) -> bool:
    activation = session._engine.find_live(session.id)
    return activation is None or activation.durable == activation.state.seq


async def types(session: AsyncLocalSession, after: int = 0) -> list[str]:
    return [type(record.event).__name__ for record in await session.records(after)]


async def said(session: AsyncLocalSession) -> list[str]:
    """The conversation as `role: text`."""
    return [f"{item.role}: {item.text}" for item in await session.history()]


__all__ = ["Event", "House", "run", "said", "settled", "types", "until"]
