"""What a handler sets off in other sessions is not its own: no task of its round, no variables."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from house import House, run, until

import parlour
from parlour.engine import Engine
from parlour.events import Say, Stop
from parlour.stores.memory import MemoryStore

promise = pytest.mark.promise
whose: ContextVar[str] = ContextVar("whose", default="nobody's")


class HeldStore(MemoryStore):
    """Makes no session before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.may.set()

    async def create(self, session: str, user: str, at: float) -> Any:
        await self.may.wait()
        return await super().create(session, user, at)


@promise("P1")
def test_a_session_woken_by_anothers_handler_keeps_its_own_tasks_and_context(house: House) -> None:
    app, found, woken = parlour.App(), list[str](), list[asyncio.Task[Any]]()
    house.settings = parlour.Settings()
    other = ""

    @app.on_wake
    async def wake(session: parlour.Session) -> None:
        found.append(whose.get())
        woken.append(asyncio.create_task(asyncio.sleep(3600)))

    @app.on_message
    async def tell(session: parlour.Session, message: parlour.Message) -> None:
        whose.set("the first one's")
        assert house.engine is not None
        house.engine.submit(other, None, Say(id="m1", text="b"), lambda _: None)
        await asyncio.sleep(3600)

    async def main() -> None:
        nonlocal other
        async with house.running(app) as running:
            engine = running.engine
            first = (await engine.open("a", "o1")).session
            other = (await engine.open("b", "o1")).session
            activation = engine.find_live(other)
            assert activation is not None
            assert activation.release()
            await engine.send(first, "a", Say(id="m1", text="go"))
            await until(lambda: len(woken) == 3)
            await engine.send(first, "a", Stop(id="s1"))
            await asyncio.sleep(0)
            assert found == ["nobody's"] * 3
            assert not woken[-1].cancelling()
            for task in woken:
                task.cancel()

    run(main())


@promise("P14")
def test_stopping_a_handler_that_opens_a_session_ends_the_opening_for_nobody_else(
    house: House,
) -> None:
    app = parlour.App()
    house.settings = parlour.Settings()

    @app.on_message
    async def open_another(session: parlour.Session, message: parlour.Message) -> None:
        assert house.engine is not None
        await house.engine.open("a", "shared")

    async def main() -> None:
        store = HeldStore()
        async with house.running(app, wrap=lambda _: store) as running:
            engine: Engine = running.engine
            first = (await engine.open("a", "o1")).session
            store.may.clear()
            await engine.send(first, "a", Say(id="m1", text="go"))
            await until(lambda: bool(engine._opening))
            opened = asyncio.ensure_future(engine.open("a", "shared"))
            await engine.send(first, "a", Stop(id="s1"))
            store.may.set()
            assert (await opened).session

    run(main())
