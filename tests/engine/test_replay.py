"""What a replay must not change: the order of branches, what they read, and what was cut short."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from house import House, run, said, settled, until

import parlour
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.events import (
    MessageAdded,
    QuestionClosed,
    RoundFinished,
    RoundResumed,
    Say,
    StepFinished,
)
from parlour.testing import VirtualClock

promise = pytest.mark.promise

Talk = Callable[[parlour.Session, parlour.Message], Any]


def app_of(talk: Talk) -> parlour.App:
    app = parlour.App()
    app.on_message(talk)
    return app


async def asked(session: AsyncLocalSession, *texts: str) -> dict[str, int]:
    """Wait until these questions are open; their numbers."""
    while True:
        running = (await session.state()).round
        if running is not None:
            open_ = {
                running.journal[path].event.text: seq for seq, path in running.questions.items()
            }
            if set(texts) <= set(open_):
                return open_
        await asyncio.sleep(0.001)


async def stored(running: AsyncRunning, session: AsyncLocalSession) -> None:
    """Wait until all that is recorded is durable."""
    activation = running.engine.find_live(session.id)
    assert activation is not None
    await until(lambda: activation.durable == activation.state.seq)


async def send(running: AsyncRunning, session: AsyncLocalSession, text: str) -> None:
    await running.engine.send(session.id, "local", Say(id=f"say {text}", text=text))


async def ended(session: AsyncLocalSession) -> RoundFinished:
    await settled(session)
    return next(r.event for r in await session.records() if isinstance(r.event, RoundFinished))


@promise("P8")
def test_what_a_step_said_inside_is_not_looked_for_once_its_result_is_known(house: House) -> None:
    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def work() -> int:
                session.reply("working")
                session.set("inside", 7)
                return 1

            await session.step(work)
            name = await session.ask("Name?")
            session.reply(f"{name} {session.get('inside')}")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("Ada")
            assert (result.status, result.reply) == ("done", "Ada 7")
            assert (await said(session)).count("bot: working") == 1

    run(main())


@promise("P8")
def test_the_history_is_the_same_in_a_replay_to_the_last_detail(house: House) -> None:
    async def main() -> None:
        def count(history: list[Any]) -> int:
            return len(history)

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.ask("One?")
            seen = [(m.seq, m.role, m.text, m.at) for m in session.history]
            session.reply(f"{await session.step(count, seen)} messages")
            await session.ask("Two?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await session.answer("1")
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("2")).status == "done"

    run(main())


@promise("P8")
def test_a_long_history_is_cut_at_the_same_message_in_a_replay(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(limits=parlour.Limits(history_messages=20))

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            for number in range(50):
                session.reply(f"{number}")
                session.set("seen", [item.seq for item in session.history])
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("so")).status == "done"

    run(main())


@promise("P8")
def test_a_message_that_came_during_the_round_is_read_at_the_same_place_again(
    house: House,
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def work() -> None:
            await go_on.wait()

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text != "go":
                return
            session.reply(f"{len(session.history)} before")
            await session.step(work)
            session.reply(f"{len(session.history)}, newest: {session.history[-1].text}")
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await until(lambda: running.engine.find_live(session.id).runner.journal.busy == 1)
            await send(running, session, "besides")
            go_on.set()
            await asked(session, "Well?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("so")).status == "done"
            assert "bot: 3, newest: besides" in await said(session)

    run(main())


def sharing_app(log: list[str]) -> parlour.App:
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        order: list[str] = []

        async def branch(name: str) -> None:
            answer = await session.ask(f"{name}?")
            order.append(f"{name}={answer}")
            session.set("order", [*session.get("order", []), name])
            session.reply(f"{order} {session.get('order')}")

        await session.gather(branch("a"), branch("b"), branch("c"))
        log.append(" ".join(order))
        session.reply(" ".join(order))

    return app_of(talk)


@promise("P8")
def test_branches_that_share_a_list_and_a_variable_go_on_in_the_order_they_did(
    house: House,
) -> None:
    async def main() -> None:
        log: list[str] = []
        async with house.running(sharing_app(log)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            questions = await asked(session, "a?", "b?", "c?")
            await session.answer("1", question=questions["c?"])
            await session.answer("2", question=questions["a?"])
            await house.crash(running)
        async with house.running(sharing_app(log)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("3", question=questions["b?"])
            assert (result.status, log) == ("done", ["c=1 a=2 b=3"])
            assert await session.get("order") == ["c", "a", "b"]

    run(main())


@promise("P9")
def test_branches_that_wait_for_what_the_code_no_longer_does_diverge_and_do_not_hang(
    house: House,
) -> None:
    async def main() -> None:
        def app(*, old: bool) -> parlour.App:
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                async def first() -> None:
                    if old:
                        session.reply("from the first")
                    await session.ask("first?")

                async def second() -> None:
                    await session.ask("second?" if old else "another?", name="" if old else "new")

                await session.gather(first(), second())

            return app_of(talk)

        async with house.running(app(old=True)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "first?", "second?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app(old=False)) as running:
            session = await running.get_session(session.id)
            await session.answer("1")
            finished = await ended(session)
            assert finished.status == "diverged"
            assert "reply#1" in finished.detail or "ask#1" in finished.detail

    run(main())


@promise("P8")
def test_a_question_that_a_failing_sibling_took_back_is_no_timeout_in_a_replay(
    house: House,
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def fail() -> None:
            await go_on.wait()
            raise ValueError("no")

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def waits() -> None:
                try:
                    await session.ask("A?", default="nothing", timeout=3600)
                except asyncio.CancelledError:
                    session.reply("taken back")
                    raise
                session.reply("this never ran")

            try:
                await session.gather(waits(), session.step(fail))
            except parlour.StepFailed:
                session.reply("failed")
            session.reply(await session.ask("B?"))

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "A?")
            go_on.set()
            await asked(session, "B?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("b")
            assert (result.status, result.reply) == ("done", "b")
            assert (await said(session)) == [
                "user: go",
                "bot: A?",
                "bot: taken back",
                "bot: failed",
                "bot: B?",
                "user: b",
                "bot: b",
            ]

    run(main())


@promise("P8")
def test_the_winner_of_a_race_is_recorded_before_the_losers_end(house: House) -> None:
    async def main() -> None:
        ending = asyncio.Event()

        def app(*, first: bool) -> parlour.App:
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                async def loses() -> str:
                    try:
                        return await session.ask("A?")
                    finally:
                        session.reply("the loser leaves")
                        if first:
                            ending.set()
                            await asyncio.Event().wait()

                async def wins() -> str:
                    return await session.ask("B?")

                winner = await session.race(loses(), wins())
                session.reply(f"{winner} won")

            return app_of(talk)

        async with house.running(app(first=True)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            questions = await asked(session, "A?", "B?")
            await running.engine.send(
                session.id,
                "local",
                parlour.events.Answer(id="b", question=questions["B?"], text="b"),
            )
            await ending.wait()
            await stored(running, session)
            events = [record.event for record in await session.records()]
            won = [e for e in events if isinstance(e, StepFinished) and e.path == "race#1"]
            closed = [e for e in events if isinstance(e, QuestionClosed)]
            assert events.index(won[0]) < events.index(closed[0])
            await house.crash(running)
        async with house.running(app(first=False)) as running:
            session = await running.get_session(session.id)
            assert (await ended(session)).status == "done"
            assert (await said(session))[-2:] == ["bot: the loser leaves", "bot: b won"]

    run(main())


@promise("P8")
def test_taking_messages_that_found_none_finds_none_again(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(incoming="steer")
        go_on = asyncio.Event()

        async def work() -> None:
            await go_on.wait()

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            taken = [item.text for item in session.take_messages()]
            session.reply(f"first {taken}")
            await session.step(work)
            taken = [item.text for item in session.take_messages()]
            session.reply(f"then {taken}")
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await until(lambda: running.engine.find_live(session.id).runner.journal.busy == 1)
            await send(running, session, "besides")
            await stored(running, session)
            await house.crash(running)
        go_on.set()
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            await asked(session, "Well?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("so")).status == "done"
            spoken = await said(session)
            assert "bot: first []" in spoken
            assert "bot: then ['besides']" in spoken

    run(main())


@promise("P8")
def test_fetched_history_is_the_same_range_in_a_replay(house: House) -> None:
    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text != "go":
                return
            session.reply("one")
            fetched = [item.text for item in await session.fetch_history()]
            session.reply(f"{fetched}")
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            assert (await session.send_message("go")).status == "waiting"
            assert "bot: ['go', 'one']" in await said(session)
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("so")).status == "done"

    run(main())


@promise("P8")
def test_a_stream_whose_branch_is_cancelled_ends_as_far_as_it_came_and_stays_so(
    house: House,
) -> None:
    async def main() -> None:
        shown = asyncio.Event()
        asked_model: list[int] = []

        async def model() -> AsyncIterator[str]:
            asked_model.append(1)
            yield "Once upon"
            shown.set()
            await asyncio.Event().wait()

        async def finish() -> str:
            await shown.wait()
            return "enough"

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def tell() -> str:
                await session.stream_from(model())
                session.reply("this never ran")
                return "told"

            session.reply(await session.race(tell(), session.step(finish)))
            session.reply(await session.ask("Well?"))

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "Well?")
            await stored(running, session)
            events = [record.event for record in await session.records()]
            cut = [e for e in events if isinstance(e, MessageAdded) and e.cut]
            assert [event.text for event in cut] == ["Once upon"]
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert (result.status, result.reply) == ("done", "so")
            assert (await said(session)).count("bot: Once upon") == 1
            assert asked_model == [1]

    run(main())


@promise("P9")
def test_messages_that_a_diverged_round_had_taken_are_answered_when_it_begins_again(
    house: House,
) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(incoming="steer", on_divergence="restart")
        go_on = asyncio.Event()

        async def work() -> None:
            await go_on.wait()

        def app(question: str) -> parlour.App:
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                await session.step(work)
                taken = [item.text for item in session.take_messages()]
                await session.ask(question)
                session.reply(" ".join([message.text, *taken]))

            return app_of(talk)

        async with house.running(app("Old?")) as running:
            session = await running.get_session()
            await send(running, session, "a")
            await until(lambda: running.engine.find_live(session.id).runner.journal.busy == 1)
            await send(running, session, "b")
            await send(running, session, "c")
            go_on.set()
            await asked(session, "Old?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app("New?")) as running:
            session = await running.get_session(session.id)
            await session.answer("x")
            questions = await asked(session, "New?")
            await session.answer("y", question=questions["New?"])
            await settled(session)
            assert (await said(session))[-1] == "bot: a b c"

    run(main())


def test_a_wait_inside_of_asyncio_timeout_stays_in_memory_and_says_why(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        house.clock = VirtualClock()
        house.settings = parlour.Settings(hibernate_after=5)

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "timed":
                async with asyncio.timeout(3600):
                    await session.ask("In time?")
            else:
                await session.ask("Any time?")

        async with house.running(app_of(talk)) as running:
            timed, plain = await running.get_session(), await running.get_session()
            await timed.send_message("timed")
            await plain.send_message("plain")
            engine = running.engine
            await until(lambda: engine.find_live(plain.id) is not None)
            while engine.find_live(plain.id) is not None:
                house.clock.advance(6)
                await asyncio.sleep(0.001)
            assert engine.find_live(timed.id) is not None
            assert "timeout=" in caplog.text
            assert (await timed.answer("yes")).status == "done"

    with caplog.at_level(logging.WARNING):
        run(main())


@promise("P8")
def test_a_question_that_a_timeout_took_back_is_taken_back_again(house: House) -> None:
    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            try:
                async with asyncio.timeout(0.02):
                    await session.ask("Quick?")
            except TimeoutError:
                session.reply("too late")
            session.reply(await session.ask("Then?"))

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "Then?")
            await stored(running, session)
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert (result.status, result.reply) == ("done", "so")
            assert (await said(session)).count("bot: too late") == 1

    run(main())


@promise("P10")
def test_a_round_whose_raw_tasks_only_ask_leaves_memory_and_is_not_ended_for_working_long(
    house: House,
) -> None:
    async def main() -> None:
        house.clock = VirtualClock()
        house.settings = parlour.Settings(
            hibernate_after=50, limits=parlour.Limits(round_seconds=20)
        )

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async with asyncio.TaskGroup() as group:
                a = group.create_task(session.ask("A?"))
                b = group.create_task(session.ask("B?"))
            session.reply(f"{a.result()} {b.result()}")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            questions = await asked(session, "A?", "B?")
            while running.engine.find_live(session.id) is not None:
                house.clock.advance(30)
                await asyncio.sleep(0.001)
            await session.answer("b", question=questions["B?"])
            result = await session.answer("a", question=questions["A?"])
            assert (result.status, result.reply) == ("done", "a b")

    run(main())


@promise("P1")
def test_what_a_library_does_in_the_background_is_not_ended_with_the_round(
    house: House, tmp_path: Any
) -> None:
    async def main() -> None:
        library: dict[str, Any] = {"__name__": "some_pool"}
        source = (
            "import asyncio\n"
            "tasks = []\n"
            "async def connect():\n"
            "    tasks.append(asyncio.create_task(asyncio.Event().wait()))\n"
        )
        exec(compile(source, "/usr/lib/site-packages/some_pool.py", "exec"), library)
        own: list[asyncio.Task[Any]] = []

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await library["connect"]()
            own.append(asyncio.create_task(asyncio.Event().wait()))
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "Well?")
            assert await session.stop()
            await until(own[0].done)
            await settled(session)
            assert not library["tasks"][0].done()
            library["tasks"][0].cancel()

    run(main())


def test_a_task_may_be_made_in_the_context_that_its_maker_runs_in(house: House) -> None:
    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            context = contextvars.copy_context()

            def make() -> asyncio.Task[None]:
                return asyncio.get_running_loop().create_task(speak(), context=context)

            async def speak() -> None:
                session.reply("from there")

            await context.run(make)

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            assert (await session.send_message("go")).reply == "from there"

    run(main())


@promise("P7")
@pytest.mark.parametrize("ends", ["in order", "after a while"])
def test_a_round_that_waits_for_the_user_is_not_given_up_by_restarts(
    house: House, ends: str
) -> None:
    async def main() -> None:
        house.settings = parlour.Settings()
        clock = house.clock = VirtualClock()

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async def forever() -> None:
                await asyncio.Event().wait()

            session.reply(await session.race(session.ask("Well?"), forever()))

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await send(running, session, "go")
            await asked(session, "Well?")
        for _ in range(house.settings.limits.resumptions + 2):
            async with house.running(app_of(talk)) as running:
                await until(partial(_runs, running.engine, session.id))
                if ends == "after a while":
                    clock.advance(61)
                    again = await running.get_session(session.id)
                    while (await again.state()).round.resumptions:
                        await asyncio.sleep(0.001)
                    await stored(running, again)
                    await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("so")
            assert (result.status, result.reply) == ("done", "so")
            resumed = [r for r in await session.records() if isinstance(r.event, RoundResumed)]
            assert len(resumed) > house.settings.limits.resumptions

    def _runs(engine: Any, session: str) -> bool:
        activation = engine.find_live(session)
        return (
            activation is not None
            and activation.runner.journal is not None
            and bool(activation.runner.journal.waits)
        )

    run(main())
