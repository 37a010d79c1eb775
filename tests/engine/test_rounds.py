"""Rounds as their callers see them: each caller gets its own, whatever others do meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from house import House, run, until

import parlour
from parlour.engine.local import AsyncLocalSession
from parlour.errors import Refused
from parlour.events import (
    Answer,
    MessagesTaken,
    QuestionAnswered,
    RoundStarted,
    Say,
    SignalReceived,
    TextStreamed,
)

promise = pytest.mark.promise


class Pieces(parlour.EventHandler):
    """Keeps what was written, and may answer questions."""

    def __init__(self) -> None:
        self.text = ""

    def handle(self, event: Any) -> None:
        if isinstance(event, TextStreamed):
            self.text += event.text


def writing_app(go_on: asyncio.Event) -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        async with session.stream() as out:
            out.write(f"<{message.text}>")
            await session.step(go_on.wait)
            out.write(f"<{message.text}>")
            await session.step(asyncio.sleep, 0)

    @app.on_signal
    async def signalled(session: parlour.Session, signal: Any) -> None:
        session.reply(f"signal {signal.name}")

    return app


def asking_app(go_on: asyncio.Event | None = None) -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        answer = await session.ask("Name?")
        session.set("name", answer)
        async with session.stream() as out:
            out.write(f"Hello {answer}")
            if go_on is not None:
                await session.step(go_on.wait)

    return app


async def running_round(session: AsyncLocalSession) -> None:
    await until(lambda: bool(session._engine.so_far(session.id)))


@promise("P4")
def test_callers_who_speak_at_once_get_each_their_own_round_and_nothing_of_the_others(
    house: House,
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        async with house.running(writing_app(go_on)) as running:
            session = await running.get_session()
            handlers = [Pieces() for _ in range(5)]
            sending = [
                asyncio.create_task(session.send_message(f"m{n}", handler))
                for n, handler in enumerate(handlers)
            ]
            await running_round(session)
            signalling = asyncio.create_task(session.signal("s"))
            setting = asyncio.create_task(session.set("color", "red"))
            await setting
            go_on.set()
            for number, result in enumerate(await asyncio.gather(*sending)):
                assert result.reply == f"<m{number}><m{number}>"
                assert handlers[number].text == result.reply
                kinds = [type(event).__name__ for event in result.events]
                assert "SignalReceived" not in kinds
                assert "VariableSet" not in kinds
            result = await signalling
            assert result.reply == "signal s"
            assert isinstance(result.events[0], SignalReceived)

    run(main())


@promise("P4")
def test_more_callers_than_a_session_may_have_listeners_get_their_round(house: House) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        limits = parlour.Limits(listeners_per_session=3)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(writing_app(go_on)) as running:
            session = await running.get_session()
            sending = [
                asyncio.create_task(session.send_message("x", id="the same")) for _ in range(20)
            ]
            await running_round(session)
            go_on.set()
            results = await asyncio.gather(*sending)
            assert {result.number for result in results} == {1}
            assert {result.reply for result in results} == {"<x><x>"}

    run(main())


@promise("P4")
@pytest.mark.parametrize("incoming", ["queue", "steer", "interrupt"])
def test_a_message_sent_again_after_a_restart_and_long_forgotten_gives_its_round(
    house: House, incoming: Any
) -> None:
    async def main() -> None:
        app = parlour.App()
        entered = asyncio.Event()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            entered.set()
            async with session.stream() as out:
                out.write(f"<{message.text}")
                if message.text == "first":
                    await asyncio.sleep(0.05)
                    taken = session.take_messages()
                    out.write("".join(f"+{said.text}" for said in taken))
                out.write(">")

        limits = parlour.Limits(commands_remembered=2)
        house.settings = parlour.Settings(incoming=incoming, limits=limits)
        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("first", id="m1"))
            await entered.wait()
            results = await asyncio.gather(sending, session.send_message("second", id="m2"))
            for number in range(40):
                await session.set("n", number)
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            again = [
                await session.send_message("first", id="m1"),
                await session.send_message("second", id="m2"),
            ]
            assert [result.number for result in again] == [result.number for result in results]
            assert [result.status for result in again] == [result.status for result in results]
            assert [result.reply for result in again] == [result.reply for result in results]
            assert results[1].reply == ("<first+second>" if incoming == "steer" else "<second>")
            assert any(isinstance(e, MessagesTaken) for e in again[1].events) == (
                incoming == "steer"
            )

    run(main())


def test_the_pieces_of_a_message_written_after_an_answer_are_handed_on(house: House) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        async with house.running(asking_app(go_on)) as running:
            session = await running.get_session()
            waiting = await session.send_message("x")
            assert waiting.status == "waiting"
            handler = Pieces()
            answering = asyncio.create_task(session.answer("Ada", handler=handler))
            await until(lambda: handler.text == "Hello Ada")
            go_on.set()
            result = await answering
            assert (result.number, result.reply) == (1, "Hello Ada")

    run(main())


@promise("P7")
def test_a_question_that_somebody_else_answers_first_does_not_fail_the_caller(
    house: House,
) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()

            class Late(parlour.EventHandler):
                def question(self, question: parlour.OpenQuestion) -> object:
                    other = Answer(id="other", question=question.id, text="Grace")
                    running.engine.submit(session.id, "local", other, lambda _: None)
                    return "Ada"

            result = await session.send_message("x", Late())
            assert (result.status, result.reply) == ("done", "Hello Grace")

    run(main())


@promise("P7")
def test_every_caller_of_a_round_gets_its_end_whoever_answers(house: House) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            assert (await session.send_message("x", id="m")).status == "waiting"
            again = await session.send_message("x", id="m")
            assert again.status == "waiting"
            assert again.question is not None
            said = await session.send_message("Ada", id="as an answer")
            assert isinstance(said.events[0], QuestionAnswered)
            for id_, text in (("m", "x"), ("as an answer", "Ada")):
                result = await session.send_message(text, id=id_)
                assert (result.number, result.reply) == (1, "Hello Ada")

    run(main())


@promise("P7")
@promise("P10")
def test_a_round_that_waits_outside_of_memory_is_seen_to_wait(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(idle_after=0.0, hibernate_after=0.0)
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            command = Say(id="m", text="x")
            await running.engine.send(session.id, "local", command)
            await until(lambda: running.engine.find_live(session.id) is None)
            accepted = await running.engine.send(session.id, "local", command)
            assert accepted.repeated
            # The engine's keeper may put it to sleep before anybody looks.
            activation = running.engine.find_live(session.id)
            sending = asyncio.create_task(session.send_message("x", id="m"))
            await asyncio.sleep(0)
            if activation is not None:
                activation.release()
            result = await sending
            assert (result.status, result.number) == ("waiting", 1)
            assert result.question is not None
            assert result.question.text == "Name?"

    run(main())


@promise("P11")
def test_a_session_that_closes_ends_every_call_that_waits(house: House) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        async with house.running(writing_app(go_on)) as running:
            session = await running.get_session()
            sending = [asyncio.create_task(session.send_message(f"m{n}")) for n in range(3)]
            await running_round(session)
            await until(lambda: len(running.engine.find_live(session.id).state.queue) == 2)  # type: ignore[union-attr]
            await session.close()
            results = await asyncio.gather(*sending)
            assert [result.status for result in results] == ["stopped"] * 3
            assert [result.reply for result in results] == ["<m0>", "", ""]
            with pytest.raises(Refused) as closed:
                await session.send_message("too late")
            assert closed.value.code == "closed"

    run(main())


@promise("P11")
def test_a_call_that_waits_is_told_when_the_engine_stops(house: House) -> None:
    async def main() -> None:
        async with house.running(writing_app(asyncio.Event())) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("x"))
            await running_round(session)
        with pytest.raises(Refused) as told:
            await sending
        assert told.value.code == "unavailable"

    run(main())


@promise("P9")
def test_a_message_whose_round_is_begun_again_gets_the_new_round(house: House) -> None:
    async def main() -> None:
        def app(question: str) -> parlour.App:
            app = parlour.App()

            @app.on_message
            async def talk(session: parlour.Session, message: parlour.Message) -> None:
                session.reply(f"{question} {await session.ask(question)}")

            return app

        house.settings = parlour.Settings(on_divergence="restart")
        async with house.running(app("City?")) as running:
            session = await running.get_session()
            await session.send_message("x", id="m")
            await house.crash(running)
        async with house.running(app("Town?")) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("Ulm")).status == "diverged"
            again = await session.send_message("x", id="m")
            assert (again.status, again.number) == ("waiting", 2)
            await session.answer("Bonn")
            assert (await session.send_message("x", id="m")).reply == "Town? Bonn"

    run(main())


def test_a_session_that_was_opened_without_a_round_has_none_later(house: House) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            await house.crash(running)
        greeting = parlour.App()

        @greeting.on_open
        async def greet(session: parlour.Session) -> None:
            session.reply("Welcome")

        async with house.running(greeting) as running:
            old = await running.get_session(session.id)
            assert await old.opened() is None
            new = await running.get_session()
            opened = await new.opened()
            assert opened is not None
            assert (opened.reply, opened.number) == ("Welcome", 1)
            assert isinstance(opened.events[1], RoundStarted)

    run(main())


def test_a_thread_that_waits_for_a_round_is_told_when_the_app_ends() -> None:
    go_on = asyncio.Event()
    outcome: list[BaseException] = []
    with parlour.local(writing_app(go_on)) as running:
        session = running.get_session()

        def wait() -> None:
            try:
                session.send_message("x")
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
                outcome.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        while session.state.round is None:
            pass
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(outcome[0], Refused)
    with pytest.raises(Refused):
        session.send_message("y")
