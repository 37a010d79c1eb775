"""What outlives a round: reminders, work beside the rounds, changes from outside, broadcasts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from house import House, run, said, settled, types, until

import parlour
from parlour.events import Cause
from parlour.session import Round
from parlour.testing import VirtualClock


def nagging() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        word, _, rest = message.text.partition(" ")
        if word == "remind":
            session.remind("nudge", float(rest), {"about": rest})
        elif word == "forget":
            session.cancel_reminder("nudge")
        elif word == "ask":
            session.reply(f"so: {await session.ask('What?')}")

    @app.on_reminder
    async def remind(session: parlour.Session, reminder: Any) -> None:
        session.reply(f"{reminder.name} after {reminder.data['about']}")

    return app


async def heard(session: Any, text: str) -> None:
    """Wait until the bot has said this; the test's own limit bounds it."""
    while f"bot: {text}" not in await said(session):
        await asyncio.sleep(0.002)


@pytest.mark.promise("P7")
def test_a_reminder_comes_though_the_session_sleeps_and_the_engine_was_restarted(house: House):
    house.clock = VirtualClock()

    async def go() -> None:
        async with house.running(nagging()) as running:
            session = await running.get_session()
            await session.send_message("remind 3600")
        async with house.running(nagging()) as running:
            house.clock.advance(3599)
            await asyncio.sleep(0)
            assert running.engine.live == 0
        assert house.clock is not None
        house.clock.advance(2)
        async with house.running(nagging()) as running:
            session = await running.get_session(session.id)
            await heard(session, "nudge after 3600")
            await settled(session)
            assert (await session.state()).due is None

    run(go())


@pytest.mark.promise("P10")
def test_a_session_leaves_memory_while_a_reminder_is_set_and_is_woken_by_it(house: House):
    house.clock = clock = VirtualClock()
    house.settings = parlour.Settings(idle_after=10.0)

    async def go() -> None:
        async with house.running(nagging()) as running:
            session = await running.get_session()
            await session.send_message("remind 100")
            while running.engine.live:
                clock.advance(11)
                await asyncio.sleep(0.005)
            while "bot: nudge after 100" not in await said(session):
                clock.advance(11)
                await asyncio.sleep(0.005)

    run(go())


@pytest.mark.promise("P8")
def test_a_reminder_comes_once_though_the_worker_is_killed(house: House):
    house.clock = clock = VirtualClock()

    async def go() -> None:
        async with house.running(nagging()) as running:
            session = await running.get_session()
            await session.send_message("remind 50")
            await house.crash(running)
        clock.advance(60)
        async with house.running(nagging()) as running:
            await heard(await running.get_session(session.id), "nudge after 50")
            await house.crash(running)
        async with house.running(nagging()) as running:
            session = await running.get_session(session.id)
            await session.send_message("hello")
            assert (await types(session)).count("ReminderCame") == 1
            assert (await said(session)).count("bot: nudge after 50") == 1

    run(go())


def test_a_reminder_waits_for_the_round_that_runs(house: House):
    house.clock = clock = VirtualClock()

    async def go() -> None:
        async with house.running(nagging()) as running:
            session = await running.get_session()
            await session.send_message("remind 50")
            await session.send_message("ask")
            clock.advance(60)
            while "ReminderCame" not in await types(session):
                await asyncio.sleep(0.002)
            assert "bot: nudge after 50" not in await said(session)
            await session.answer("that")
            await heard(session, "nudge after 50")
            assert (await said(session))[-2] == "bot: so: that"

    run(go())


def test_a_cancelled_reminder_does_not_come_and_one_set_again_comes_at_its_new_time(house: House):
    house.clock = clock = VirtualClock()

    async def go() -> None:
        async with house.running(nagging()) as running:
            session = await running.get_session()
            await session.send_message("remind 50")
            await session.send_message("forget")
            assert (await session.state()).reminders == {}
            await session.send_message("remind 30")
            await session.send_message("remind 90")
            clock.advance(60)
            await session.send_message("forget about it")
            await session.send_message("remind 10")
            clock.advance(11)
            await heard(session, "nudge after 10")
            assert (await types(session)).count("ReminderCame") == 1

    run(go())


@pytest.mark.promise("P12")
def test_a_session_has_so_many_reminders_and_no_more(house: House):
    house.settings = parlour.Settings(limits=parlour.Limits(reminders=2), development=True)
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        for name in message.text.split():
            session.remind(name, 1000)

    async def go() -> None:
        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("a b a b")).status == "done"
            failed = await session.send_message("c")
            assert failed.status == "failed"
            assert "at most" in failed.reason or "2 reminders" in failed.reason

    run(go())


class Searching:
    """An agent that does something beside its rounds."""

    causes: frozenset[Cause] = frozenset({"message", "work"})

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.ended: list[str] = []

    async def respond(self, session: parlour.Session, round: Round, /) -> None:  # noqa: A002
        if round.work is not None:
            work = round.work
            session.reply(f"{work.name}: {work.error or work.value}")
        elif round.message is not None and round.message.text == "stop it":
            for number in (await_state := session.get("works", [])):
                session.effects.cancel_work(number)
            session.reply(f"stopped {len(await_state)}")
        elif round.message is not None:
            receipt = session.effects.start_work("search", _raw(round.message.text))
            session.set("works", [*session.get("works", []), receipt.seq])

    async def work(self, name: str, data: Any, /) -> object:
        self.begun += 1
        text = bytes(data).decode()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append(text)
            raise
        if "fail" in text:
            raise OSError("broken")
        return {"found": text}


def _raw(text: str) -> Any:
    from parlour.session.values import encode_value

    return encode_value(text)[0]


def test_work_goes_on_beside_the_rounds_and_its_end_begins_one(house: House):
    async def go() -> None:
        agent = Searching()
        async with house.running(parlour.App(agent)) as running:
            session = await running.get_session()
            assert (await session.send_message("Ulm")).status == "done"
            assert (await session.send_message("fail")).status == "done"
            await until(lambda: agent.begun == 2)
            agent.gate.set()
            await heard(session, "search: {'found': '\"Ulm\"'}")
            await heard(session, "search: OSError")

    run(go())


@pytest.mark.promise("P8")
def test_work_that_was_under_way_at_a_crash_is_done_again_and_ends_once(house: House):
    async def go() -> None:
        first, second = Searching(), Searching()
        async with house.running(parlour.App(first)) as running:
            session = await running.get_session()
            await session.send_message("Ulm")
            await until(lambda: first.begun == 1)
            await house.crash(running)
        second.gate.set()
        async with house.running(parlour.App(second)) as running:
            session = await running.get_session(session.id)
            await heard(session, "search: {'found': '\"Ulm\"'}")
            await settled(session)
            assert (await types(session)).count("WorkEnded") == 1

    run(go())


@pytest.mark.promise("P14")
def test_work_that_nobody_needs_is_cancelled(house: House):
    async def go() -> None:
        agent = Searching()
        async with house.running(parlour.App(agent)) as running:
            session = await running.get_session()
            await session.send_message("Ulm")
            await until(lambda: agent.begun == 1)
            await session.send_message("stop it")
            await until(lambda: agent.ended == ['"Ulm"'])
            assert (await session.state()).work == {}
            await session.send_message("Bonn")
            await until(lambda: agent.begun == 2)
            await session.close()
            await until(lambda: len(agent.ended) == 2)
            await until(lambda: running.engine.live == 0)

    run(go())


def test_a_session_at_work_stays_in_memory(house: House):
    house.clock = clock = VirtualClock()
    house.settings = parlour.Settings(idle_after=1.0)

    async def go() -> None:
        agent = Searching()
        async with house.running(parlour.App(agent)) as running:
            session = await running.get_session()
            await session.send_message("Ulm")
            await until(lambda: agent.begun == 1)
            for _ in range(10):
                clock.advance(2)
                await asyncio.sleep(0.002)
            assert running.engine.live == 1
            agent.gate.set()
            await heard(session, "search: {'found': '\"Ulm\"'}")
            while running.engine.live:
                clock.advance(2)
                await asyncio.sleep(0.002)

    run(go())


class Watching:
    causes: frozenset[Cause] = frozenset({"message", "change"})

    async def respond(self, session: parlour.Session, round: Round, /) -> None:  # noqa: A002
        if round.cause == "change":
            session.reply(f"a is {session.get('a')}")


def test_a_variable_set_from_outside_begins_a_round_for_an_agent_that_wants_it(house: House):
    async def go() -> None:
        async with house.running(parlour.App(Watching())) as running:
            session = await running.get_session()
            await session.set("a", 1)
            await heard(session, "a is 1")
            await session.delete("a")
            await heard(session, "a is None")

    run(go())


def broadcasting() -> parlour.App:
    app = parlour.App()

    @app.on_signal
    async def note(session: parlour.Session, signal: parlour.SignalMessage) -> None:
        session.reply(f"{signal.name} {signal.data}")

    return app


@pytest.mark.promise("P4")
def test_a_broadcast_reaches_every_open_session_once(house: House):
    app = broadcasting()

    async def go() -> None:
        async with house.running(app) as running:
            sessions = [await running.get_session(user=f"u{number}") for number in range(7)]
            await sessions[0].close()
        async with house.running(app) as running:
            assert await app.broadcast("sale", {"off": 10}, id="b1") == 6
            await app.broadcast("sale", {"off": 10}, id="b1")
            for known in sessions[1:]:
                session = await running.get_session(known.id, user=known._user)
                await settled(session)
                assert await said(session) == ["bot: sale {'off': 10}"]
        with pytest.raises(RuntimeError, match="does not run"):
            await app.broadcast("sale")

    run(go())


def test_a_broadcast_that_nobody_could_take_is_refused(house: House):
    app = parlour.App()
    app.on_message(lambda session, message: None)

    async def go() -> None:
        async with house.running(app):
            with pytest.raises(parlour.Refused, match="takes no signals"):
                await app.broadcast("sale")

    run(go())


def test_an_app_that_is_run_from_a_script_broadcasts_too():
    app = broadcasting()
    with parlour.local(app) as running:
        session = running.get_session()
        assert asyncio.run(app.broadcast("sale", 1)) == 1
        session.signal("other")
        assert [item.text for item in session.history] == ["sale 1", "other None"]
