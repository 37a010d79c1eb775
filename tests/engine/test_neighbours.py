"""Handlers that begin together harm nobody but themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from house import House, run, until

import parlour
from parlour.errors import Refused
from parlour.events import Say
from parlour.testing import VirtualClock

promise = pytest.mark.promise


@promise("P1")
@pytest.mark.parametrize("how", ["cancel", "cancel and take back"])
def test_who_keeps_the_task_it_was_begun_in_has_it_for_itself(house: House, how: str) -> None:
    async def main() -> None:
        app = parlour.App()
        kept: list[asyncio.Task[Any]] = []

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            task = asyncio.current_task()
            assert task is not None
            if message.text == "keep":
                kept.append(task)
            elif message.text == "harm":
                if how == "cancel and take back":
                    task.cancel()
                    task.uncancel()
                kept[0].cancel()
            else:
                await asyncio.sleep(0)
            session.reply("done")

        async with house.running(app) as running:
            bad, good = [await running.get_session() for _ in range(2)]
            await bad.send_message("keep")
            harm, fine = await asyncio.gather(bad.send_message("harm"), good.send_message("hello"))
            assert fine.status == "done"
            assert harm.status in ("done", "failed")

    run(main())


@promise("P13")
def test_a_handler_that_raises_generator_exit_fails_its_round_and_no_more(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            await asyncio.sleep(0)
            if message.text == "raise":
                raise GeneratorExit
            session.reply("here")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("raise")).status == "failed"
            assert (await session.send_message("x")).reply == "here"

    run(main())


@promise("P13")
def test_a_round_is_counted_as_taken_up_before_its_handler_runs_again(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        seen: list[int] = []
        again: list[Any] = []

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            del message
            if again:
                activation = again[0].find_live(session.id)
                seen.append(activation.durable - activation.state.seq)
            await session.ask("?")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            again.append(running.engine)
            id_ = session.id
            running.engine.find_live(id_).runner.hibernate()
            await until(lambda: running.engine.find_live(id_) is None)
            await session.answer("!")
            assert seen == [0]

    run(main())


@promise("P10")
def test_a_round_that_waits_leaves_memory_in_its_own_time_not_the_idle_ones(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(idle_after=3600, hibernate_after=10)
        clock = house.clock = VirtualClock()
        app = parlour.App()

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "ask":
                await session.ask("?")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            await session.send_message("ask")
            clock.advance(12)
            await until(lambda: running.engine.live == 0)

    run(main())


@promise("P12")
def test_sessions_that_are_being_opened_count_as_those_in_memory(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(limits=parlour.Limits(live_sessions=5))
        app = parlour.App()

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            del session, message

        async with house.running(app) as running:
            opened = await asyncio.gather(
                *(running.engine.open("user", f"o{number}") for number in range(50)),
                return_exceptions=True,
            )
            refused = [one for one in opened if isinstance(one, Refused)]
            assert len(refused) == 45
            assert {one.code for one in refused} == {"overloaded"}

    run(main())


@promise("P13")
def test_sessions_that_talk_to_each_other_without_end_let_others_speak(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        others: dict[str, str] = {}
        rounds: list[str] = []

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            rounds.append(session.id)
            if session.id in others and len(rounds) < 100_000:
                say = Say(id=f"n{len(rounds)}", text="ping")
                engine.submit(others[session.id], None, say, lambda _: None)
            session.reply(message.text)

        async with house.running(app) as running:
            engine = running.engine
            ann, bob, eve = [await running.get_session() for _ in range(3)]
            others.update({ann.id: bob.id, bob.id: ann.id})
            engine.submit(ann.id, None, Say(id="begin", text="ping"), lambda _: None)
            assert (await eve.send_message("hello")).reply == "hello"
            others.clear()

    run(main())
