"""What one session does to the loop all share: its neighbours and the engine go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from house import House, run, settled, until

import parlour
from parlour.engine import Engine
from parlour.errors import Refused, StoreError, StoreUnavailable
from parlour.events import Say
from parlour.stores.files import Files
from parlour.stores.memory import MemoryStore
from parlour.stores.store import Store
from parlour.testing import VirtualClock

promise = pytest.mark.promise


@promise("P1")
@promise("P13")
def test_a_handler_that_cancels_all_tasks_harms_nobody_else(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        mine = asyncio.current_task()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "ask":
                session.reply(await session.ask("?"))
            elif message.text == "work":
                beside = asyncio.create_task(asyncio.sleep(0.2))
                await asyncio.sleep(0.2)
                await beside
                session.reply("worked")
            else:
                # The test's own task is the one that an application would have made.
                for task in asyncio.all_tasks() - {mine}:
                    task.cancel()
                session.reply("cancelled")

        async with house.running(app) as running:
            asking, working, hostile = [await running.get_session() for _ in range(3)]
            assert (await asking.send_message("ask")).status == "waiting"
            sending = asyncio.create_task(working.send_message("work"))
            activation = running.engine.find_live(working.id)
            assert activation is not None
            await until(lambda: activation.state.round is not None)
            assert (await hostile.send_message("cancel")).reply == "cancelled"
            assert (await hostile.send_message("cancel")).reply == "cancelled"
            assert (await asking.answer("fine")).reply == "fine"
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await settled(working)
            assert [said.text for said in await working.history()][-1] == "worked"
            assert not running.engine._keeping.done()

    run(main())


@promise("P1")
def test_many_that_go_to_rest_or_wake_at_once_leave_others_their_turns() -> None:
    async def main() -> None:
        app = parlour.App()
        count = 640

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.sleep(90)
            await session.ask("?")

        clock = VirtualClock()
        settings = parlour.Settings(hibernate_after=500.0)
        engine = Engine(
            app,
            MemoryStore(),
            files=Files(Path("nowhere")),
            secret=b"k" * 32,
            settings=settings,
            clock=clock,
        )

        async def longest(what: Coroutine[Any, Any, None], number: Callable[[], int]) -> int:
            """By how much `number` changed at most from one turn of the loop to the next."""
            doing = asyncio.create_task(what)
            most, before = 0, number()
            while not doing.done():
                await asyncio.sleep(0)
                most, before = max(most, abs(before - number())), number()
            return most

        def awake() -> int:
            return sum(live.state.due is None for live in engine._live.values())

        async with engine:
            for number in range(count):
                opened = await engine.open("u", f"o{number}")
                await engine.send(opened.session, "u", Say(id=f"m{number}", text="hello"))
            await until(lambda: all(live.resting for live in engine._live.values()))
            assert engine.live == count
            assert awake() == 0
            clock.advance(100.0)
            assert await longest(engine.keeper._fire_timers(), awake) <= 64
            await until(lambda: awake() == count and all(a.resting for a in engine._live.values()))
            clock.advance(1000.0)
            now = engine.monotonic()
            assert await longest(engine.keeper._rest(now), lambda: engine.live) <= 64
            await until(lambda: engine.live == 0)

    run(main())


def test_a_second_stop_returns_when_the_first_has(house: House) -> None:
    async def main() -> None:
        closing = asyncio.Event()
        closed: list[str] = []

        class SlowEnd(MemoryStore):
            async def close(self) -> None:
                closing.set()
                await asyncio.sleep(0.05)
                closed.append("store")
                await super().close()

        async with house.running(parlour.App(), wrap=lambda _: SlowEnd()) as running:
            first = asyncio.create_task(running.engine.stop())
            await closing.wait()
            assert closed == []
            await running.engine.stop()
            assert closed == ["store"]
            await first

    run(main())


def test_whoever_asked_to_stop_may_be_cancelled_and_the_end_goes_on(house: House) -> None:
    async def main() -> None:
        async with house.running(parlour.App()) as running:
            first = asyncio.create_task(running.engine.stop())
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await running.engine.stop()
            with pytest.raises(StoreError):
                await running.engine.store.count("u")

    run(main())


@promise("P12")
def test_a_store_that_hangs_is_not_waited_for_by_one_command_after_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parlour.engine.activation._DOUBT_SECONDS", 0.05)

    class Hanging:
        def __init__(self, store: Store) -> None:
            self._store = store
            self.hangs = False
            self.asked = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def outcome(self, session: str, command: str) -> int | None:
            self.asked += 1
            if self.hangs:
                await asyncio.Event().wait()
            return await self._store.outcome(session, command)

    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.ask("?")

        limits = parlour.Limits(commands_remembered=1)
        house.settings = parlour.Settings(limits=limits)
        stores: list[Hanging] = []

        def wrap(store: Store) -> Store:
            stores.append(Hanging(store))
            return stores[0]  # type: ignore[return-value]

        async with house.running(app, wrap=wrap) as running:
            session = await running.get_session()
            for number in range(8):
                await session.send_message("hello")
                await session.answer(f"a{number}")
            await session.send_message("ask")
            stores[0].hangs, before = True, stores[0].asked
            told = await asyncio.gather(
                *(
                    running.engine.send(session.id, "local", Say(id=f"late{n}", text="x"))
                    for n in range(10)
                ),
                return_exceptions=True,
            )
            assert all(isinstance(one, Refused) and one.code == "unavailable" for one in told)
            assert stores[0].asked == before + 1
            stores[0].hangs = False
            await running.engine.send(session.id, "local", Say(id="late0", text="x"))

    run(main())


def test_a_plain_on_wake_runs_beside_the_loop_and_fills_local(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        threads: list[int] = []

        @app.on_wake
        def rebuild(session: parlour.BlockingSession) -> None:
            threads.append(threading.get_ident())
            session.local["name"] = session.get("name", "nobody")
            with pytest.raises(parlour.SessionOver):
                session.set("name", "else")

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.set("name", message.text)
            session.reply(str(session.local["name"]))

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("Ann")).reply == "nobody"
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            assert (await session.send_message("Bob")).reply == "Ann"
        assert threading.get_ident() not in threads

    run(main())


@promise("P13")
def test_an_agent_that_raises_stop_iteration_has_failed(house: House) -> None:
    class Exhausted:
        causes = frozenset({"message"})

        def respond(self, session: parlour.Session, round_: parlour.Round) -> object:
            return next(iter(()))

    async def main() -> None:
        async with house.running(parlour.App(agent=Exhausted())) as running:  # type: ignore[arg-type]
            session = await running.get_session()
            result = await session.send_message("hello")
            assert result.status == "failed"
            assert "StopIteration" in result.reason

    run(main())


@promise("P17")
def test_a_user_that_no_id_can_be_made_of_is_refused(house: House) -> None:
    async def main() -> None:
        async with house.running(parlour.App()) as running:
            with pytest.raises(Refused) as refused:
                await running.engine.open("\ud800", "o1")
            assert refused.value.code == "invalid"

    run(main())


@promise("P5")
@promise("P13")
def test_a_session_whose_commit_failed_is_taken_up_again_without_being_asked() -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.step(asyncio.sleep, 0, name="first")
            session.reply("done")

        clock = VirtualClock()
        engine = Engine(
            app, MemoryStore(), files=Files(Path("nowhere")), secret=b"k" * 32, clock=clock
        )
        async with engine:
            session = (await engine.open("u", "o")).session
            publish, failing = engine.publish, 2

            def fail(commit: object) -> None:
                nonlocal failing
                failing -= 1
                if failing == 0:
                    raise StoreUnavailable("a fault of the engine's own")
                publish(commit)  # type: ignore[arg-type]

            engine.publish = fail  # type: ignore[method-assign,assignment]
            await engine.send(session, "u", Say(id="m", text="hello"))
            await until(lambda: engine.find_live(session) is None)

            def answered() -> bool:
                clock.advance(1.0)
                activation = engine.find_live(session)
                return activation is not None and activation.state.round is None

            await until(answered)
            assert [said.text for said in await engine.read_history(session, None, 9)][1:] == [
                "done"
            ]

    run(main())
