"""Sessions in one engine: order, isolation, repetition, stopping, rest, limits and ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from house import House, run, said, settled, types, until

import parlour
from parlour.engine.local import AsyncLocalSession
from parlour.errors import Refused, SessionOver, StoreUnavailable
from parlour.events import (
    Answer,
    MessageAdded,
    Record,
    RoundFinished,
    Say,
    Signal,
    Stop,
    TextStreamed,
)
from parlour.state import Phase, fold
from parlour.stores.store import Append, Outcome, Store
from parlour.testing import VirtualClock

promise = pytest.mark.promise


def echo_app() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def echo(session: parlour.Session, message: parlour.Message) -> None:
        session.set("count", session.get("count", 0) + 1)
        session.reply(f"{message.text} {session.get('count')}")

    return app


class Gate:
    """A store whose appends wait, or fail, as the test says."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lets = asyncio.Event()
        self.lets.set()
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        await self.lets.wait()
        if self.failure is not None:
            raise self.failure
        return await self._store.append(batch)


# -- order and isolation ----------------------------------------------------------------------


@promise("P1")
@promise("P2")
def test_many_sessions_side_by_side_never_meet(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            sessions = [await running.get_session(user=f"u{n}") for n in range(30)]

            async def talk(number: int, session: AsyncLocalSession) -> None:
                for turn in range(1, 6):
                    result = await session.send_message(f"s{number}")
                    assert result.reply == f"s{number} {turn}"

            await asyncio.gather(*(talk(n, s) for n, s in enumerate(sessions)))
            for number, session in enumerate(sessions):
                records = await session.records()
                assert [record.seq for record in records] == list(range(1, len(records) + 1))
                texts = [r.event.text for r in records if isinstance(r.event, MessageAdded)]
                assert all(text.startswith(f"s{number}") for text in texts)

    run(main())


@promise("P2")
def test_the_log_folded_anew_is_the_live_state(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.set("last", message.text)
            name = await session.ask("Name?")
            session.reply(name)

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("one")
            await session.answer("Ada")
            await session.send_message("two")
            live = await session.state()
            records = await session.records()
            assert fold((record.event, record.at) for record in records) == live

    run(main())


@promise("P17")
def test_the_session_of_another_user_does_not_exist(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session(user="ada")
            with pytest.raises(Refused) as foreign:
                await running.get_session(session.id, user="eve")
            with pytest.raises(Refused) as missing:
                await running.get_session("0" * 32, user="eve")
            assert (foreign.value.code, str(foreign.value)) == (
                missing.value.code,
                str(missing.value),
            )
            for command in (Say(id="x", text="hi"), Stop(id="y"), Answer(id="z", text="a")):
                with pytest.raises(Refused) as refused:
                    await running.engine.send(session.id, "eve", command)
                assert refused.value.code == "unknown_session"
            assert await said(session) == []

    run(main())


# -- repetition ---------------------------------------------------------------------------------


@promise("P4")
def test_the_same_message_sent_many_times_at_once_makes_one_round(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            results = await asyncio.gather(
                *(session.send_message("hi", id="m1") for _ in range(10))
            )
            assert {result.number for result in results} == {1}
            assert {result.replies for result in results} == {("hi 1",)}
            assert await session.get("count") == 1

    run(main())


@promise("P4")
def test_a_message_repeated_after_a_restart_gives_the_round_it_made(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("hi", id="m1")
            await house.crash(running)
        async with house.running(echo_app()) as running:
            session = await running.get_session(session.id)
            assert (await session.send_message("hi", id="m1")).reply == "hi 1"
            assert (await session.send_message("hi", id="m2")).reply == "hi 2"

    run(main())


@promise("P4")
def test_a_command_older_than_what_is_remembered_is_still_known(house: House) -> None:
    async def main() -> None:
        limits = parlour.Limits(commands_remembered=4)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("first", id="m0")
            for number in range(1, 12):
                await session.send_message("more", id=f"m{number}")
            again = await running.engine.send(session.id, "local", Say(id="m0", text="first"))
            assert again.repeated
            await settled(session)
            assert await session.get("count") == 12
            assert (await session.send_message("last")).reply == "last 13"

    run(main())


# -- durability ---------------------------------------------------------------------------------


@promise("P5")
def test_nothing_is_told_before_it_is_durable(house: House) -> None:
    async def main() -> None:
        gates: list[Gate] = []

        def wrap(store: Store) -> Store:
            gates.append(Gate(store))
            return gates[0]

        async with house.running(echo_app(), wrap=wrap) as running:
            session = await running.get_session()
            before = (await session.state()).seq
            seen: list[Any] = []

            async def watch() -> None:
                async for item in running.engine.events(session.id, before):
                    seen.append(item)

            watching = asyncio.create_task(watch())
            gates[0].lets.clear()
            sending = asyncio.create_task(
                running.engine.send(session.id, "local", Say(id="m", text="hi"))
            )
            activation = running.engine.find_live(session.id)
            assert activation is not None
            await until(lambda: activation.state.phase is Phase.IDLE and activation.state.seq > 5)
            assert not sending.done()
            assert seen == []
            gates[0].lets.set()
            assert (await sending).seq == before + 1
            await until(lambda: len(seen) == 5)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    run(main())


@promise("P5")
def test_what_the_store_refuses_is_not_accepted_and_never_shown(house: House) -> None:
    async def main() -> None:
        gates: list[Gate] = []

        def wrap(store: Store) -> Store:
            gates.append(Gate(store))
            return gates[0]

        async with house.running(echo_app(), wrap=wrap) as running:
            session = await running.get_session()
            await session.send_message("one", id="m1")
            gates[0].failure = StoreUnavailable("the disk is full")
            with pytest.raises(Refused) as refused:
                await session.send_message("two", id="m2")
            assert refused.value.code == "unavailable"
            assert refused.value.retry_after
            gates[0].failure = None
            assert (await session.send_message("two", id="m2")).reply == "two 2"
            assert await said(session) == ["user: one", "bot: one 1", "user: two", "bot: two 2"]

    run(main())


@promise("P3")
def test_an_engine_that_lost_a_session_can_write_nothing_more_to_it(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("one")
            claim = await running.engine.store.claim(session.id)
            assert claim is not None
            with pytest.raises(Refused) as refused:
                await session.send_message("two", id="m2")
            assert refused.value.code == "unavailable"
            # The next command claims the session back, with the log as it is.
            assert (await session.send_message("two", id="m2")).reply == "two 2"

    run(main())


# -- listening ----------------------------------------------------------------------------------


async def seqs_until(stream: AsyncGenerator[Record | TextStreamed], last: int) -> list[int]:
    seqs: list[int] = []
    async for item in stream:
        if isinstance(item, Record):
            seqs.append(item.seq)
            if item.seq == last:
                break
    await stream.aclose()
    return seqs


@promise("P6")
def test_a_reader_who_joins_anywhere_sees_every_record_once(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            total = 1 + 5 * 60
            seen: list[tuple[int, list[int]]] = []

            async def read(after: int) -> None:
                stream = running.engine.events(session.id, after)
                seen.append((after, await seqs_until(stream, total) if after < total else []))

            async def talk() -> None:
                for _ in range(60):
                    await session.send_message("x")

            def head() -> int:
                activation = running.engine.find_live(session.id)
                return 0 if activation is None else activation.durable

            readers = [asyncio.create_task(read(0))]
            talking = asyncio.create_task(talk())
            for turn in range(40):
                reached = head()
                await until(lambda reached=reached: head() > reached or talking.done())
                readers.append(asyncio.create_task(read(head() // (1 + turn % 3))))
            await talking
            await asyncio.gather(*readers)
            assert len(seen) == 41
            for after, seqs in seen:
                assert seqs == list(range(after + 1, total + 1))

    run(main())


@promise("P6")
def test_who_returns_while_a_message_is_written_gets_its_text_so_far(house: House) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async with session.stream() as out:
                out.write("Hello ")
                await go_on.wait()
                out.write("world")
                await asyncio.sleep(0.01)

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("x"))
            await until(lambda: bool(running.engine.so_far(session.id)))
            deltas: list[TextStreamed] = []
            texts: list[str] = []
            async for item in running.engine.events(session.id, 0):
                if isinstance(item, TextStreamed):
                    deltas.append(item)
                    go_on.set()
                elif isinstance(item.event, MessageAdded):
                    texts.append(item.event.text)
                elif isinstance(item.event, RoundFinished):
                    break
            assert (deltas[0].offset, deltas[0].text) == (0, "Hello ")
            assert (deltas[1].offset, deltas[1].text) == (6, "world")
            assert texts == ["x", "Hello world"]
            await sending

    run(main())


@promise("P12")
def test_a_reader_who_does_not_read_is_cut_off_and_others_go_on(house: House) -> None:
    async def main() -> None:
        limits = parlour.Limits(listener_bytes=4000)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            slow = running.engine.events(session.id, 0)
            first = await anext(slow)
            for _ in range(60):
                assert (await session.send_message("x" * 100)).status == "done"
            with pytest.raises(Refused) as cut:
                async for _ in slow:
                    pass
            assert cut.value.code == "too_slow"
            assert isinstance(first, Record)
            await slow.aclose()

    run(main())


@promise("P12")
def test_a_session_has_a_bounded_number_of_listeners(house: House) -> None:
    async def main() -> None:
        limits = parlour.Limits(listeners_per_session=3)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            streams = [running.engine.events(session.id, 0) for _ in range(3)]
            for stream in streams:
                await anext(stream)
            with pytest.raises(Refused) as refused:
                await anext(running.engine.events(session.id, 0))
            assert refused.value.code == "too_many"
            for stream in streams:
                await stream.aclose()

    run(main())


# -- stopping -----------------------------------------------------------------------------------


@promise("P14")
def test_stop_ends_what_the_round_owns_keeps_the_text_and_leaves_the_session_ready(
    house: House,
) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("task")

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text != "long":
                session.reply("ready")
                return
            task = asyncio.create_task(work())
            try:
                async with session.stream() as out:
                    out.write("so far")
                    await asyncio.Event().wait()
            finally:
                ended.append("handler")
                with suppress(SessionOver):
                    session.reply("never shown")
                del task

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("long"))
            await until(lambda: bool(running.engine.so_far(session.id)))
            assert await session.stop()
            result = await sending
            assert (result.status, result.replies) == ("stopped", ("so far",))
            assert (await session.send_message("x")).reply == "ready"
            assert sorted(ended) == ["handler", "task"]
            assert not await session.stop()

    run(main())


@promise("P14")
def test_a_handler_that_swallows_its_cancellation_is_left_behind(house: House) -> None:
    async def main() -> None:
        stuck, release = asyncio.Event(), asyncio.Event()
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "stick":
                stuck.set()
                while not release.is_set():
                    with suppress(asyncio.CancelledError):
                        await release.wait()
                session.reply("too late")
            session.reply("fine")

        limits = parlour.Limits(stop_seconds=0.05)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("stick"))
            await stuck.wait()
            await session.stop()
            assert (await sending).status == "stopped"
            assert (await session.send_message("x")).reply == "fine"
            release.set()
            assert "bot: too late" not in await said(session)

    run(main())


@promise("P14")
def test_a_plain_function_that_was_stopped_ends_at_its_next_call(house: House) -> None:
    async def main() -> None:
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            if message.text != "long":
                session.reply("ready")
                return
            begun.set()
            try:
                go_on.wait(10)
                session.reply("never shown")
            finally:
                ended.set()

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("long"))
            await until(begun.is_set)
            await session.stop()
            go_on.set()
            assert (await sending).replies == ()
            assert (await session.send_message("x")).reply == "ready"
            await until(ended.is_set)
            assert "bot: never shown" not in await said(session)

    run(main())


def test_on_stop_runs_after_a_round_was_stopped(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("begun")
            await asyncio.Event().wait()

        @app.on_stop
        async def stopped(session: parlour.Session) -> None:
            session.reply("I stopped")

        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("x"))
            while "bot: begun" not in await said(session):
                await asyncio.sleep(0.001)
            await session.stop()
            await sending
            await settled(session)
            assert (await said(session))[-1] == "bot: I stopped"

    run(main())


# -- messages while a round runs ------------------------------------------------------------------


def slow_app(go_on: asyncio.Event, log: list[str]) -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        log.append(message.text)
        if message.text == "slow":
            await go_on.wait()
        taken = session.take_messages()
        session.reply(" ".join([message.text, *(item.text for item in taken)]))

    return app


@pytest.mark.parametrize(
    ("incoming", "replies"),
    [
        ("queue", ["slow", "b", "c"]),
        ("steer", ["slow b c"]),
        ("interrupt", ["c"]),
    ],
)
def test_messages_while_a_round_runs_wait_join_it_or_end_it(
    house: House, incoming: Any, replies: list[str]
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        log: list[str] = []
        house.settings = parlour.Settings(incoming=incoming)
        async with house.running(slow_app(go_on, log)) as running:
            session = await running.get_session()
            send = running.engine.send
            await send(session.id, "local", Say(id="a", text="slow"))
            await until(lambda: log == ["slow"])
            if incoming == "interrupt":
                await send(session.id, "local", Say(id="c", text="c"))
            else:
                await send(session.id, "local", Say(id="b", text="b"))
                await send(session.id, "local", Say(id="c", text="c"))
            go_on.set()
            await settled(session)
            assert [text[5:] for text in await said(session) if text.startswith("bot")] == replies

    run(main())


@promise("P12")
def test_a_busy_session_refuses_if_told_to_and_when_too_much_waits(house: House) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        log: list[str] = []
        house.settings = parlour.Settings(limits=parlour.Limits(queued_messages=2))
        async with house.running(slow_app(go_on, log)) as running:
            session = await running.get_session()
            for number in range(3):
                await running.engine.send(session.id, "local", Say(id=f"{number}", text="slow"))
            with pytest.raises(Refused) as full:
                await running.engine.send(session.id, "local", Say(id="3", text="x"))
            assert (full.value.code, full.value.retry_after) == ("busy", 2.0)
            go_on.set()
            await settled(session)

    run(main())


# -- failures -----------------------------------------------------------------------------------


@promise("P13")
def test_a_handler_that_raises_fails_its_round_only(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "bad":
                session.reply("before")
                raise RuntimeError("the password is hunter2")
            session.reply("fine")

        house.settings = parlour.Settings()
        async with house.running(app) as running:
            session, neighbour = await running.get_session(), await running.get_session()
            result = await session.send_message("bad")
            assert (result.status, result.reply) == ("failed", "before")
            assert result.error
            assert "hunter2" not in msgspec.json.encode(result.events).decode()
            assert (await session.send_message("x")).reply == "fine"
            assert (await neighbour.send_message("x")).reply == "fine"

    run(main())


@promise("P13")
@promise("P12")
def test_a_handler_that_floods_ends_its_own_round(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "flood":
                while True:
                    with suppress(ValueError):
                        session.reply("x")
            session.reply("fine")

        limits = parlour.Limits(records_per_round=500)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("flood")
            assert result.status == "failed"
            assert "500" in result.reason
            assert (await session.send_message("x")).reply == "fine"

    run(main())


@promise("P13")
def test_a_handler_that_hangs_is_ended_after_its_time(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        hanging = asyncio.Event()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "hang":
                hanging.set()
                await asyncio.Event().wait()
            session.reply("fine")

        clock = house.clock = VirtualClock()
        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("hang"))
            await hanging.wait()
            clock.advance(house.settings.limits.round_seconds + 1)
            result = await sending
            assert result.status == "failed"
            assert (await session.send_message("x")).reply == "fine"

    run(main())


@promise("P12")
def test_too_large_messages_and_values_are_refused_with_their_limit(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.set("big", "x" * 300_000)

        async with house.running(app) as running:
            session = await running.get_session()
            with pytest.raises(Refused, match="65,536"):
                await session.send_message("x" * 70_000)
            result = await session.send_message("x")
            assert result.status == "failed"
            assert "262,144" in result.reason

    run(main())


@promise("P12")
def test_an_overloaded_engine_refuses_early_and_says_when_to_come_back(house: House) -> None:
    async def main() -> None:
        gates: list[Gate] = []

        def wrap(store: Store) -> Store:
            gates.append(Gate(store))
            return gates[0]

        limits = parlour.Limits(uncommitted_bytes=2000)
        house.settings = parlour.Settings(limits=limits)
        async with house.running(echo_app(), wrap=wrap) as running:
            session = await running.get_session()
            gates[0].lets.clear()
            sending = [
                asyncio.create_task(
                    running.engine.send(session.id, "local", Say(id=f"m{n}", text="x" * 300))
                )
                for n in range(20)
            ]
            await until(lambda: any(task.done() for task in sending))
            refused = [task.exception() for task in sending if task.done()]
            assert all(isinstance(error, Refused) for error in refused)
            assert {error.code for error in refused if isinstance(error, Refused)} == {"overloaded"}
            gates[0].lets.set()
            outcomes = await asyncio.gather(*sending, return_exceptions=True)
            accepted = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
            await settled(session)
            assert await session.get("count") == len(accepted)
            assert running.engine.committer.uncommitted == 0

    run(main())


# -- rest ---------------------------------------------------------------------------------------


@promise("P10")
def test_an_idle_session_leaves_memory_and_wakes_unseen(house: House) -> None:
    async def main() -> None:
        woken: list[str] = []
        app = echo_app()

        @app.on_wake
        async def wake(session: parlour.Session) -> None:
            woken.append(session.id)
            session.local["here"] = True
            with pytest.raises(SessionOver):
                session.reply("no")

        clock = house.clock = VirtualClock()
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("a")
            assert running.engine.live == 1
            assert woken == [session.id]
            clock.advance(house.settings.idle_after + 1)
            await until(lambda: running.engine.live == 0)
            assert (await session.send_message("b")).reply == "b 2"
            assert woken == [session.id] * 2

    run(main())


@promise("P10")
@promise("P7")
def test_a_waiting_round_leaves_memory_and_goes_on_where_it_was(house: House) -> None:
    async def main() -> None:
        log: list[str] = []
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            log.append("begin")
            session.reply("before")
            try:
                name = await session.ask("Name?")
            finally:
                log.append("finally")
                with suppress(BaseException):
                    session.reply("only once")
            session.reply(f"Hello {name}")

        clock = house.clock = VirtualClock()
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            clock.advance(house.settings.hibernate_after + 1)
            await until(lambda: running.engine.live == 0)
            assert log == ["begin", "finally"]
            result = await session.answer("Ada")
            assert result.status == "done"
            assert await said(session) == [
                "user: x",
                "bot: before",
                "bot: Name?",
                "user: Ada",
                "bot: only once",
                "bot: Hello Ada",
            ]

    run(main())


@promise("P7")
def test_the_time_for_an_answer_runs_out_even_while_the_engine_was_down(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            try:
                session.reply(await session.ask("Name?", timeout=3600))
            except parlour.AskTimeout:
                session.reply("nobody there")

        clock = house.clock = VirtualClock()
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            await house.crash(running)
        clock.advance(3601)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            await settled(session)
            assert (await said(session))[-1] == "bot: nobody there"
            with pytest.raises(Refused) as late:
                await session.answer("Ada")
            assert late.value.code == "no_question"

    run(main())


@promise("P7")
def test_a_sleeping_round_wakes_in_time_although_it_left_memory(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("good night")
            await session.sleep(7200)
            session.reply("good morning")

        clock = house.clock = VirtualClock()
        async with house.running(app) as running:
            session = await running.get_session()
            await running.engine.send(session.id, "local", Say(id="m", text="x"))
            while "TimerSet" not in await types(session):
                await asyncio.sleep(0.001)
            clock.advance(house.settings.hibernate_after + 1)
            await until(lambda: running.engine.live == 0)
            for _ in range(75):
                clock.advance(100)
                await asyncio.sleep(0.002)
            await settled(session)
            assert (await said(session))[-1] == "bot: good morning"

    run(main())


@promise("P7")
def test_a_clock_that_is_set_back_delays_no_answer_and_repeats_nothing(house: House) -> None:
    async def main() -> None:
        clock = house.clock = VirtualClock()
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            clock.jump(-86_400)
            await session.send_message("b")
            clock.jump(2 * 86_400)
            await session.send_message("c")
            assert await said(session) == [
                "user: a",
                "bot: a 1",
                "user: b",
                "bot: b 2",
                "user: c",
                "bot: c 3",
            ]

    run(main())


# -- ends and the rest ---------------------------------------------------------------------


def test_a_closed_session_says_goodbye_and_takes_nothing_more(house: House) -> None:
    async def main() -> None:
        app = echo_app()

        @app.on_close
        async def bye(session: parlour.Session) -> None:
            session.reply("bye")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("a")
            await session.close()
            while (await session.state()).phase is not Phase.CLOSED:
                await asyncio.sleep(0.001)
            assert (await said(session))[-1] == "bot: bye"
            with pytest.raises(Refused) as refused:
                await session.send_message("b")
            assert refused.value.code == "closed"
            await session.close()

    run(main())


def test_a_session_nobody_uses_expires(house: House) -> None:
    async def main() -> None:
        clock = house.clock = VirtualClock()
        house.settings = parlour.Settings(expire_after=3600)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            clock.advance(3700)
            while (await session.state()).phase is not Phase.CLOSED:
                clock.advance(61)
                await asyncio.sleep(0.002)

    run(main())


def test_a_signal_is_a_round_of_its_own(house: House) -> None:
    async def main() -> None:
        app = echo_app()

        @app.on_signal
        async def signal(session: parlour.Session, signal: parlour.SignalMessage) -> None:
            session.reply(f"{signal.name} {signal.data['n']}")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.signal("ping", {"n": 3})).reply == "ping 3"
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            with pytest.raises(Refused) as refused:
                await running.engine.send(session.id, "local", Signal(id="s", name="ping"))
            assert refused.value.code == "unhandled"

    run(main())


def test_what_is_kept_of_a_user_is_seen_in_all_their_sessions_and_no_others(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text != "?":
                await session.user.set("name", message.text)
            session.reply(str(await session.user.get("name", "nobody")))

        async with house.running(app) as running:
            first = await running.get_session(user="ada")
            second = await running.get_session(user="ada")
            other = await running.get_session(user="eve")
            await first.send_message("Ada")
            assert (await second.send_message("?")).reply == "Ada"
            assert (await other.send_message("?")).reply == "nobody"

    run(main())


def test_plain_functions_ask_step_and_reply_in_a_thread(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        threads: list[str] = []

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            threads.append(threading.current_thread().name)
            age = session.ask("Age?", int, minimum=1)
            session.set("age", age)
            doubled = session.step(lambda: age * 2, name="double")
            session.reply(f"{doubled} {session.get('age')}")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).status == "waiting"
            rejected = await session.answer(text="many")
            assert rejected.status == "waiting"
            result = await session.answer(text="21")
            assert result.reply == "42 21"
            assert threads[0].startswith("parlour")

    run(main())


def test_an_answer_is_validated_and_asked_again(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            even = await session.ask(
                "Even?", int, validate=lambda n: None if n % 2 == 0 else f"{n} is odd"
            )
            session.reply(f"{even}")

        class Answers(parlour.EventHandler):
            def __init__(self) -> None:
                self.notes: list[str] = []
                self.given = iter([3, 4])

            def question(self, question: parlour.OpenQuestion) -> object:
                self.notes.append(question.note)
                return next(self.given)

        async with house.running(app) as running:
            session = await running.get_session()
            answers = Answers()
            result = await session.send_message("x", answers)
            assert result.reply == "4"
            assert answers.notes == ["", "3 is odd"]

    run(main())


def test_files_come_with_messages_and_stay_with_their_session(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            content = message.files[0].path.read_bytes().decode()
            assert session.file is not None
            session.reply(f"{session.file.name} {session.file.size} {content}")
            await session.send_file(b"back", name="back.txt", text="here")

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message(
                "look", files=[{"name": "../../a.csv", "content": "1,2"}]
            )
            assert result.replies == ("a.csv 3 1,2", "here")
            sent = [event for event in result.events if isinstance(event, MessageAdded)][-1]
            assert sent.files[0].name == "back.txt"
            state = await session.state()
            assert [file.name for file in state.files] == ["a.csv", "back.txt"]

    run(main())


def test_the_whole_history_can_be_fetched_in_pages(house: House) -> None:
    async def main() -> None:
        pages: list[list[str]] = []
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "pages":
                before = None
                while page := await session.fetch_history(before=before, limit=7):
                    pages.append([item.text for item in page])
                    before = page[0].seq
            session.reply("ok")

        async with house.running(app) as running:
            session = await running.get_session()
            for number in range(30):
                await session.send_message(f"m{number}")
            await session.send_message("pages")
            flat = [text for page in reversed(pages) for text in page]
            assert flat[:4] == ["m0", "ok", "m1", "ok"]
            assert len(flat) >= 60
            assert all(len(page) <= 7 for page in pages)

    run(main())


def test_a_session_handle_cannot_be_used_after_its_round(house: House) -> None:
    async def main() -> None:
        kept: list[parlour.Session] = []
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            kept.append(session)

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            with pytest.raises(SessionOver):
                kept[0].reply("late")

    run(main())


@promise("P13")
def test_a_failure_whose_text_is_no_valid_unicode_ends_its_round(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "step":

                def broken() -> None:
                    raise OSError("caf\udce9 not found")

                await session.step(broken)
            raise OSError("caf\udce9 not found")

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).status == "failed"
            assert (await session.send_message("step")).status == "failed"

    run(main())


def test_a_form_whose_model_is_stricter_than_its_schema_is_asked_again(house: House) -> None:
    async def main() -> None:
        @dataclass
        class Guest:
            name: str

            def __post_init__(self) -> None:
                if self.name != "Ada":
                    raise ValueError("only Ada")

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply((await session.ask("Who?", Guest)).name)

        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            again = await session.answer({"name": "Bob"})
            assert again.question is not None
            assert "only Ada" in again.question.note
            assert (await session.answer({"name": "Ada"})).reply == "Ada"

    run(main())


def test_a_wait_without_an_end_is_refused_with_the_cure(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.sleep(float("inf"))

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            assert result.status == "failed"
            assert "century" in result.reason

    run(main())


@promise("P4")
@promise("P5")
def test_a_session_opened_many_times_at_once_is_one_and_acknowledged_when_durable(
    house: House,
) -> None:
    async def main() -> None:
        gates: list[Gate] = []

        def wrap(store: Store) -> Store:
            gates.append(Gate(store))
            return gates[0]

        async with house.running(echo_app(), wrap=wrap) as running:
            gates[0].lets.clear()
            opening = [asyncio.create_task(running.engine.open("ada", "o1")) for _ in range(5)]
            await until(lambda: running.engine.live == 1)
            opening.append(asyncio.create_task(running.engine.open("ada", "o1")))
            done, _ = await asyncio.wait(opening, timeout=0.05)
            assert not done
            gates[0].lets.set()
            outcomes = await asyncio.gather(*opening)
            assert len({outcome.session for outcome in outcomes}) == 1
            assert [outcome.repeated for outcome in outcomes].count(False) == 1

    run(main())


@promise("P5")
def test_a_session_whose_worker_died_before_its_first_record_begins_when_opened_again(
    house: House,
) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = running.engine.session_id("ada", "o1")
            assert await running.engine.store.create(session, "ada", 0.0) is not None
            opened = await running.engine.open("ada", "o1")
            assert (opened.session, opened.seq) == (session, 1)
            local = await running.get_session(session, user="ada")
            assert (await local.send_message("hi")).reply == "hi 1"

    run(main())


@promise("P13")
@pytest.mark.parametrize("how", ["surrogate", "exit"])
def test_what_one_handler_does_wrong_leaves_its_neighbours_alone(house: House, how: str) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "bad":
                session.reply("thinking")
                if how == "exit":
                    raise SystemExit(3)
                async with session.stream() as out:
                    out.write("half \ud83d")
            session.reply("fine")

        async with house.running(app) as running:
            session, neighbour = await running.get_session(), await running.get_session()
            assert (await session.send_message("bad")).status == "failed"
            assert (await neighbour.send_message("x")).reply == "fine"
            assert (await session.send_message("x")).reply == "fine"

    run(main())


@promise("P7")
def test_a_round_that_failed_to_be_stored_is_taken_up_whoever_wakes_the_session(
    house: House,
) -> None:
    async def main() -> None:
        gates: list[Gate] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        def wrap(store: Store) -> Store:
            gates.append(Gate(store))
            return gates[0]

        async def work() -> str:
            begun.set()
            await go_on.wait()
            return "worked"

        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "work":
                session.reply(await session.step(work))
            session.reply(message.text)

        async with house.running(app, wrap=wrap) as running:
            session = await running.get_session()
            await running.engine.send(session.id, "local", Say(id="a", text="work"))
            await begun.wait()
            gates[0].failure = StoreUnavailable("the disk is full")
            with pytest.raises(Refused):
                await running.engine.send(session.id, "local", Say(id="b", text="b"))
            gates[0].failure = None
            go_on.set()
            assert (await session.send_message("b", id="b")).reply == "b"
            assert "bot: worked" in await said(session)

    run(main())


@promise("P7")
def test_a_long_timeout_passes_while_the_session_stays_in_memory(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply(await session.ask("Well?", timeout=300, default="gone"))

        clock = house.clock = VirtualClock()
        house.settings = parlour.Settings(hibernate_after=36_000)
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            for _ in range(12):
                clock.advance(31)
                await asyncio.sleep(0.005)
            await settled(session)
            assert (await said(session))[-1] == "bot: gone"

    run(main())


@promise("P4")
def test_an_old_command_that_comes_again_in_mid_round_costs_the_round_nothing(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(limits=parlour.Limits(commands_remembered=8))
        app = echo_app()
        go_on = asyncio.Event()
        runs: list[int] = []

        async def work() -> str:
            runs.append(len(runs))
            await go_on.wait()
            return "done"

        @app.on_signal
        async def long(session: parlour.Session, signal: parlour.SignalMessage) -> None:
            del signal
            session.reply(await session.step(work))

        async with house.running(app) as running:
            session = await running.get_session()
            for number in range(40):
                await session.send_message("x", id=f"m{number}")
            began = await running.engine.send(session.id, None, Signal(id="s", name="long"))
            await until(lambda: bool(runs))
            old = await running.engine.send(session.id, None, Say(id="m0", text="x"))
            new = await running.engine.send(session.id, None, Say(id="new", text="x"))
            assert old.repeated
            assert old.seq < began.seq < new.seq
            go_on.set()
            await until(lambda: running.engine.find_live(session.id).state.round is None)
            assert runs == [0]

    run(main())
