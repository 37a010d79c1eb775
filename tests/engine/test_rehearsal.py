"""Stored rounds played with other code: what still fits, what does not; and nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from house import House, run, settled

import parlour
from parlour.engine.rehearsal import Verdict, rehearse
from parlour.events import Close, Say, Stop

Handler = Callable[[parlour.Session, parlour.Message], Any]


def app_of(handler: Handler) -> parlour.App:
    app = parlour.App()
    app.on_message(handler)
    return app


async def verdicts(
    house: House, running: Any, session: str, handler: Handler, **options: Any
) -> list[Verdict]:
    engine = running.engine
    before = [record async for record in engine.records(session)]
    found = [
        verdict
        async for verdict in rehearse(
            app_of(handler), engine.store, engine.files, session, **options
        )
    ]
    assert [record async for record in engine.records(session)] == before
    return found


async def booking(session: parlour.Session, message: parlour.Message) -> None:
    city = await session.ask("Which city?", name="city")
    price = await session.step(lambda: 7, name="price")
    session.set("city", city)
    session.reply(f"{city} costs {price}")


async def _book(running: Any) -> Any:
    session = await running.get_session()
    await session.send_message("go")
    assert (await session.answer("Rome")).status == "done"
    await session.send_message("go")
    return session


@pytest.mark.promise("P15")
def test_the_same_code_plays_every_round_as_it_was(house: House) -> None:
    async def main() -> None:
        async with house.running(app_of(booking)) as running:
            session = await _book(running)
            assert [
                (verdict.round, verdict.status, verdict.problem)
                for verdict in await verdicts(house, running, session.id, booking)
            ] == [(1, "done", ""), (2, "running", "")]
            only = await verdicts(house, running, session.id, booking, only_open=True)
            assert [verdict.round for verdict in only] == [2]

    run(main())


CHANGED: dict[str, tuple[str, tuple[str, ...]]] = {
    "reworded": ("""the question 'Which city?'""", ("the question 'Where to?'",)),
    "gone": ("step:price#1", ("no longer reaches",)),
    "longer": ("the journal ends", ("the message 'Anything else?'",)),
    "asks": ("the journal ends", ("the question 'More?'",)),
    "steps": ("the journal ends", ("a step",)),
    "raises": ("the journal goes on", ("ZeroDivisionError",)),
    "before": ("step:price#1", ("the question 'Sure?'", "before it")),
    "foreign": ("the journal goes on", ("UnjournaledAwait", "session.step")),
}


def _changed(how: str, ran: list[str]) -> Handler:
    async def changed(session: parlour.Session, message: parlour.Message) -> None:
        def step() -> int:
            ran.append(how)
            return 8

        city = await session.ask("Where to?" if how == "reworded" else "Which city?", name="city")
        if how == "before":
            await session.ask("Sure?")
        if how == "foreign":
            await asyncio.sleep(0.01)
        if how == "raises":
            city = str(1 / 0)
        price = 7 if how == "gone" else await session.step(step, name="price")
        session.set("city", city)
        session.reply(f"{city} costs {price}")
        if how == "longer":
            session.reply("Anything else?")
        if how == "asks":
            await session.ask("More?")
        if how == "steps":
            await session.step(step, name="more")

    return changed


@pytest.mark.promise("P15")
@pytest.mark.promise("P9")
@pytest.mark.parametrize("how", CHANGED)
def test_code_that_parts_from_the_journal_is_told_with_both_sides(house: House, how: str) -> None:
    async def main() -> None:
        ran: list[str] = []
        async with house.running(app_of(booking)) as running:
            session = await _book(running)
            found = await verdicts(house, running, session.id, _changed(how, ran))
            recorded, reached = CHANGED[how]
            assert recorded in found[0].problem
            for word in reached:
                assert word in found[0].problem
            assert bool(found[1].problem) == (how == "reworded"), "it waits for its first answer"
        assert ran == [], "no step may run"

    run(main())


@pytest.mark.promise("P15")
def test_what_happens_outside_is_taken_from_the_log(house: House) -> None:
    async def main() -> None:
        ran: list[str] = []

        async def handler(session: parlour.Session, message: parlour.Message) -> None:
            await session.user.set("n", 1)
            drawn = session.random()
            await session.sleep(0.001)
            async with session.stream() as stream:
                for word in ("a", "b"):
                    stream.write(word)

            async def one() -> str:
                return str(await session.step(lambda: ran.append("x") or 1, name="one"))

            async def two() -> str:
                return str(await session.step(lambda: ran.append("y") or 2, name="two"))

            both = await session.gather(one(), two())
            name = message.files[0].read_bytes() if message.files else b""
            session.reply(f"{drawn} {both} {name!r} {session.id} {await session.user.get('n')}")

        async with house.running(app_of(handler)) as running:
            session = await running.get_session()
            file = {"content": b"cat", "name": "c"}
            assert (await session.send_message("a", files=[file])).status == "done"
            assert (await session.send_message("b")).status == "done"
            ran.clear()
            found = await verdicts(house, running, session.id, handler)
            assert [verdict.problem for verdict in found] == ["", ""]
            assert ran == []

    run(main())


@pytest.mark.promise("P15")
def test_rounds_that_did_not_end_well_only_have_to_fit_as_far_as_they_came(house: House) -> None:
    async def main() -> None:
        async def handler(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("one")
            if message.text == "fail":
                raise ValueError
            await session.ask("Well?")

        async def mended(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("one")
            await session.ask("Well?")
            session.reply("two")

        async def other(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("uno")

        async with house.running(app_of(handler)) as running:
            session = await running.get_session()
            assert (await session.send_message("fail")).status == "failed"
            await session.send_message("stop")
            await running.engine.send(session.id, None, Stop(id="s"))
            await running.engine.send(session.id, None, Say(id="x", text="x"))
            await running.engine.send(session.id, None, Close(id="c"))
            for code in (handler, mended):
                found = await verdicts(house, running, session.id, code)
                assert [verdict.status for verdict in found] == ["failed", "stopped", "stopped"]
                assert [verdict.problem for verdict in found] == ["", "", ""]
            found = await verdicts(house, running, session.id, other)
            for verdict in found:
                assert "'one'" in verdict.problem
                assert "'uno'" in verdict.problem

    run(main())


@pytest.mark.promise("P15")
def test_messages_that_wait_behind_a_round_are_not_played_with_it(house: House) -> None:
    async def main() -> None:
        played: list[str] = []

        async def handler(session: parlour.Session, message: parlour.Message) -> None:
            played.append(message.text)
            await session.sleep(0.05)
            session.reply(message.text)

        async with house.running(app_of(handler)) as running:
            session = await running.get_session()
            for text in "ab":
                await running.engine.send(session.id, None, Say(id=text, text=text))
            await settled(session)
            played.clear()
            found = await verdicts(house, running, session.id, handler)
            assert [verdict.problem for verdict in found] == ["", ""]
            assert played == ["a", "b"]

    run(main())


@pytest.mark.promise("P15")
def test_plain_functions_are_played_too(house: House) -> None:
    async def main() -> None:
        def handler(session: parlour.BlockingSession, message: parlour.Message) -> None:
            session.reply(f"{session.step(lambda: 3, name='three')} {message.text}")

        def changed(session: parlour.BlockingSession, message: parlour.Message) -> None:
            session.reply(f"{session.step(lambda: 4, name='four')} {message.text}")

        async with house.running(app_of(handler)) as running:
            session = await running.get_session()
            await session.send_message("a")
            [verdict] = await verdicts(house, running, session.id, handler)
            assert verdict.problem == ""
            [verdict] = await verdicts(house, running, session.id, changed)
            assert "step:three#1" in verdict.problem

    run(main())
