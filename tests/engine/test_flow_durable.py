"""A user's place in a flow is durable: a function of the log, whatever happens to the worker."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house import House, run, said, settled, types, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parlour
from parlour.agents.flow import Flow
from parlour.agents.flow.place import read_place
from parlour.engine.local import AsyncLocalSession
from parlour.events import PlaceTaken
from parlour.state import fold
from parlour.testing import VirtualClock


def shop(before: list[str] | None = None) -> Flow:
    flow = Flow("shop")
    browse, cart, paid = flow.states("browse", "cart", "paid", initial="browse")
    size, colour = cart.states("size", "colour", initial="size")
    browse.say("Welcome!")
    browse.when_event("buy").go_to(cart)
    cart.after(minutes=10).go_to(browse)
    cart.when_event("pay").go_to(paid)

    @size.body
    async def ask_size(session: parlour.FlowSession) -> None:
        if before is not None:
            before.append("size")
        session.set("size", await session.ask("Which size?"))
        receipt = await session.step(lambda: "reserved", name="reserve")
        session.reply(f"{session.get('size')} is {receipt}")

    size.go_to(colour)
    colour.say("Which colour?")
    colour.when_message().do(lambda s, e: s.set("colour", e.text)).stay()
    paid.say("Thanks for {size}.")
    paid.when_message().go_to(browse)
    return flow


async def state_of(session: AsyncLocalSession) -> str:
    return read_place((await session.state()).place).top.state


async def heard(session: AsyncLocalSession, text: str) -> None:
    while f"bot: {text}" not in await said(session):
        await asyncio.sleep(0.002)


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
def test_a_body_that_asks_goes_on_after_a_crash_at_the_line_where_it_stopped(house: House):
    async def go() -> None:
        async with house.running(parlour.App(shop())) as running:
            session = await running.get_session()
            assert (await session.signal("buy")).status == "waiting"
            await house.crash(running)
        ran: list[str] = []
        async with house.running(parlour.App(shop(ran))) as running:
            session = await running.get_session(session.id)
            assert await state_of(session) == "size"
            done = await session.answer("XL")
            assert done.replies == ("XL is reserved", "Which colour?")
            assert await state_of(session) == "colour"
            assert ran == ["size"]
            assert (await types(session)).count("PlaceTaken") == 3

    run(go())


@pytest.mark.promise("P7")
def test_a_timeout_comes_after_a_restart_and_while_the_session_sleeps(house: House):
    house.clock = clock = VirtualClock()

    async def go() -> None:
        async with house.running(parlour.App(shop())) as running:
            session = await running.get_session()
            await session.signal("buy")
            await session.answer("XL")
        clock.advance(60 * 9)
        async with house.running(parlour.App(shop())) as running:
            await asyncio.sleep(0)
            assert running.engine.live == 0
        clock.advance(61)
        async with house.running(parlour.App(shop())) as running:
            session = await running.get_session(session.id)
            while await state_of(session) != "browse":
                await asyncio.sleep(0.002)
            await settled(session)
            assert (await said(session)).count("bot: Welcome!") == 2
            assert (await session.state()).due is None

    run(go())


def test_a_timeout_comes_though_a_body_waits_for_an_answer(house: House):
    house.clock = clock = VirtualClock()

    async def go() -> None:
        async with house.running(parlour.App(shop())) as running:
            session = await running.get_session()
            await session.signal("buy")
            clock.advance(601)
            while "ReminderCame" not in await types(session):
                await asyncio.sleep(0.002)
            # Run to completion: the body ends first, then what came meanwhile is looked at.
            assert await state_of(session) == "size"
            await session.answer("XL")
            while await state_of(session) != "browse":
                await asyncio.sleep(0.002)

    run(go())


def test_a_session_moves_to_another_worker_in_mid_flow(tmp_path: Path):
    """Two engines on one store, as two workers: the second takes over when the first is gone."""
    house = House("sqlite", tmp_path)

    async def go() -> None:
        async with house.running(parlour.App(shop())) as first:
            session = await first.get_session()
            await session.signal("buy")
        async with house.running(parlour.App(shop())) as second:
            session = await second.get_session(session.id)
            assert (await session.answer("M")).replies == ("M is reserved", "Which colour?")
            await session.send_message("blue")
            assert await session.get("colour") == "blue"

    run(go())


def test_a_renamed_state_goes_on_with_its_timer_and_a_lost_one_enters_its_replacement(house: House):
    house.clock = clock = VirtualClock()

    def old() -> Flow:
        flow = Flow("f")
        a = flow.state("a", initial=True)
        b = flow.state("b")
        a.when_message().go_to(b)
        b.after(minutes=10).go_to(a)
        return flow

    def renamed() -> Flow:
        flow = Flow("f")
        a, c = flow.states("a", "c", initial="a")
        a.say("a")
        a.when_message().go_to(c)
        c.say("c")
        c.after(minutes=10).go_to(a)
        flow.renamed("b", "c")
        return flow

    def lost() -> Flow:
        flow = Flow("f")
        a, sorry = flow.states("a", "sorry", initial="a")
        a.when_message().go_to(a)
        sorry.body(lambda session, event: session.reply(f"{event.state} is gone"))
        sorry.when_message().go_to(a, say="back")
        flow.when_lost(sorry)
        return flow

    async def go() -> None:
        async with house.running(parlour.App(old())) as running:
            first = await running.get_session()
            await first.send_message("x")
        async with house.running(parlour.App(renamed())) as running:
            session = await running.get_session(first.id)
            clock.advance(601)
            await heard(session, "a")
            assert await state_of(session) == "a"
            assert "bot: c" not in await said(session)
        async with house.running(parlour.App(old())) as running:
            second = await running.get_session()
            await second.send_message("x")
        async with house.running(parlour.App(lost())) as running:
            session = await running.get_session(second.id)
            assert (await session.send_message("x")).replies == ("b is gone", "back")
            places = [
                record.event
                for record in await session.records()
                if isinstance(record.event, PlaceTaken)
            ]
            assert (places[-2].source, places[-2].target, places[-2].by) == ("b", "sorry", "lost")

    run(go())


def test_a_session_of_another_style_begins_the_flow(tmp_path: Path):
    house = House("memory", tmp_path)
    app = parlour.App()

    @app.on_message
    async def echo(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(message.text)

    async def go() -> None:
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
        async with house.running(parlour.App(shop())) as running:
            session = await running.get_session(session.id)
            result = await session.send_message("y")
            assert result.replies == ("Welcome!", "Sorry, I did not understand that.")

    run(go())


def test_work_that_was_invoked_is_done_again_after_a_crash_and_cancelled_on_leaving(house: House):
    begun: list[str] = []
    ended: list[str] = []

    def flow(gate: asyncio.Event) -> Flow:
        made = Flow("f")
        a, b, c = made.states("a", "b", "c", initial="a")

        async def search(city: str) -> str:
            begun.append(city)
            try:
                await gate.wait()
            except asyncio.CancelledError:
                ended.append(city)
                raise
            return f"a room in {city}"

        a.when_event("go").do(lambda s, e: s.set("city", e.data)).go_to(b)
        b.invoke(search, "city")
        b.when_done(search).go_to(c)
        b.when_message().go_to(a)
        c.body(lambda session, event: session.reply(event.value))
        c.when_message().go_to(a)
        return made

    async def go() -> None:
        async with house.running(parlour.App(flow(asyncio.Event()))) as running:
            session = await running.get_session()
            await session.signal("go", "Ulm")
            await until(lambda: begun == ["Ulm"])
            await session.send_message("stop")
            await until(lambda: ended == ["Ulm"])
            await session.signal("go", "Bonn")
            await until(lambda: len(begun) == 2)
            await house.crash(running)
        gate = asyncio.Event()
        gate.set()
        async with house.running(parlour.App(flow(gate))) as running:
            session = await running.get_session(session.id)
            await heard(session, "a room in Bonn")
            await settled(session)
            assert (await session.state()).work == {}
            assert (await types(session)).count("WorkEnded") == 1

    run(go())


# -- random flows ---------------------------------------------------------------------------


NAMES = ["a", "b", "c", "d"]
rows = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["x", "y", "message", "after", "variable", "call", "stay", "defer"]),
        st.sampled_from(NAMES),
    ),
    min_size=3,
    max_size=10,
)
inputs = st.lists(
    st.sampled_from(["say", "x", "y", "set", "unset", "wait", "crash", "restart"]), max_size=9
)


def random_flow(table: list[tuple[str, str, str]]) -> Flow:
    """Whatever the table says, as far as it makes a sound flow."""
    flow = Flow("random")
    inner = Flow("inner")
    inside = inner.state("inside", initial=True)
    inside.when_event("y").end()
    outer = flow.state("outer", initial=True)
    states = {name: outer.state(name, initial=name == "a") for name in NAMES}
    for name, state in states.items():
        state.say(name)
        outer.when_event(f"to {name}").go_to(state)
    outer.when_event("out").go_to(outer)
    seen: set[tuple[str, str]] = set()
    for source, kind, target in table:
        if (source, kind) in seen:
            continue
        seen.add((source, kind))
        state, goal = states[source], states[target]
        match kind:
            case "message":
                state.when_message().go_to(goal)
            case "after":
                state.after(minutes=3).go_to(goal)
            case "variable":
                state.when_event("y").if_variable("v", "==", 1).go_to(goal)
            case "call":
                state.when_event("call").call(inner, back="again")
                state.when_event("x").if_variable("v", "==", 1).call(inner)
            case "stay":
                state.when_event("x").if_variable("v", "!=", 1).stay(say="stays")
            case "defer":
                state.defer("x")
            case _:
                state.when_event(f"{kind}").if_(lambda session: True).go_to(goal)
    return flow


@pytest.mark.promise("P8")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=rows, steps=inputs)
def test_where_a_session_is_is_a_function_of_its_log(table, steps, tmp_path_factory):
    """The same steps, with crashes in between or without, lead to the same place and replies."""
    folder = tmp_path_factory.mktemp("flow")
    plain = [step for step in steps if step not in ("crash", "restart")]

    crashed = run(_go(House("memory", folder), table, steps))
    straight = run(_go(House("memory", folder), table, plain))

    assert crashed == straight


async def _go(house: House, table: list[Any], steps: list[str]) -> list[Any]:
    house.clock = clock = VirtualClock()
    waiting, session_id = list(steps), ""
    while True:
        async with house.running(parlour.App(random_flow(table))) as running:
            session = await running.get_session(session_id or None)
            session_id = session.id
            while waiting:
                step = waiting.pop(0)
                if step == "restart":
                    break
                if step == "crash":
                    await house.crash(running)
                    break
                await _step(step, session, clock)
            else:
                return await _account(session)


async def _step(step: str, session: AsyncLocalSession, clock: VirtualClock) -> None:
    match step:
        case "say":
            await session.send_message("hello")
        case "set":
            await session.set("v", 1)
        case "unset":
            await session.delete("v")
        case "wait":
            clock.advance(dt.timedelta(minutes=2).total_seconds())
        case _:
            await session.signal(step)
    while True:
        state = await session.state()
        due = state.due
        if state.round is None and not state.queue and (due is None or due > clock.time()):
            return
        await asyncio.sleep(0)


async def _account(session: AsyncLocalSession) -> list[Any]:
    """What may be compared: the folded place, and what was said and done in order."""
    await settled(session)
    records = await session.records()
    live = await session.state()
    folded = fold((record.event, record.at) for record in records)
    assert msgspec.json.encode(folded.place) == msgspec.json.encode(live.place)
    assert folded.reminders == live.reminders
    frames = read_place(folded.place).frames
    done = [
        (event.source, event.target, event.by)
        for event in (record.event for record in records)
        if isinstance(event, PlaceTaken)
    ]
    return [[(frame.flow, frame.state) for frame in frames], done, await said(session)]
