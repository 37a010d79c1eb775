"""Plain functions in threads: they block one another never, the loop never, the exit never."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest
from house import House, run, said, until

import parlour
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.errors import Refused, RoundStopped, WrongThread

promise = pytest.mark.promise


def plain_threads() -> int:
    return sum(thread.name == "parlour-plain" for thread in threading.enumerate())


def settings(**limits: float) -> parlour.Settings:
    return parlour.Settings(development=True, limits=parlour.Limits(**limits))  # type: ignore[arg-type]


async def sessions_of(running: AsyncRunning, number: int) -> list[AsyncLocalSession]:
    return [await running.get_session(user=f"user {n}") for n in range(number)]


# -- threads do not run out ------------------------------------------------------------------


@promise("P1")
@promise("P12")
def test_plain_handlers_that_all_run_plain_steps_do_not_lock_one_another_up(house: House) -> None:
    async def main() -> None:
        together = threading.Barrier(4, timeout=20)
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            together.wait()
            session.reply(session.step(lambda: f"{message.text} done", name="work"))

        house.settings = settings(threads=4)
        async with house.running(app) as running:
            sessions = await sessions_of(running, 12)
            results = await asyncio.gather(*(s.send_message("x") for s in sessions))
            assert [result.reply for result in results] == ["x done"] * 12

    run(main())


def test_a_plain_step_may_have_plain_steps_of_its_own_though_there_is_one_thread(
    house: House,
) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            def outer() -> str:
                return session.step(lambda: session.step(lambda: "deep", name="c"), name="b")

            session.reply(session.step(outer, name="a"))

        house.settings = settings(threads=1)
        async with house.running(app) as running:
            sessions = await sessions_of(running, 3)
            results = await asyncio.gather(*(s.send_message("x") for s in sessions))
            assert [result.reply for result in results] == ["deep"] * 3

    run(main())


@promise("P1")
@promise("P7")
@promise("P12")
def test_however_many_plain_handlers_wait_for_their_users_the_next_is_answered(
    house: House,
) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            if message.text == "quick":
                session.reply("at once")
                return
            session.reply(f"Hello {session.ask('Who?')}")

        house.settings = settings(threads=4, waiting_threads=8)
        before = plain_threads()
        async with house.running(app) as running:
            sessions = await sessions_of(running, 200)
            asked = await asyncio.gather(*(s.send_message("ask") for s in sessions))
            assert {result.status for result in asked} == {"waiting"}
            assert plain_threads() - before <= 12
            async with asyncio.timeout(5):
                quick = await running.get_session(user="another")
                assert (await quick.send_message("quick")).reply == "at once"
            told = await asyncio.gather(
                *(s.answer(f"user {number}") for number, s in enumerate(sessions))
            )
            assert [r.replies[-1] for r in told] == [f"Hello user {n}" for n in range(200)]

    run(main())


@promise("P12")
def test_at_most_so_many_plain_functions_work_at_once(house: House) -> None:
    async def main() -> None:
        lock = threading.Lock()
        working = most = 0
        app = parlour.App()

        def work() -> None:
            nonlocal working, most
            with lock:
                working += 1
                most = max(most, working)
            time.sleep(0.005)
            with lock:
                working -= 1

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            work()
            session.step(work)
            work()
            session.sleep(0)
            work()

        house.settings = settings(threads=3)
        async with house.running(app) as running:
            sessions = await sessions_of(running, 20)
            results = await asyncio.gather(*(s.send_message("x") for s in sessions))
            assert {result.status for result in results} == {"done"}
            assert 1 <= most <= 3

    run(main())


@promise("P12")
def test_when_too_many_rounds_wait_for_a_thread_commands_are_refused_for_a_moment(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        go_on = threading.Event()
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            go_on.wait(20)
            session.reply("done")

        house.settings = settings(threads=1, rounds_without_thread=2)
        async with house.running(app) as running:
            sessions = await sessions_of(running, 5)
            sending = [asyncio.create_task(s.send_message("x")) for s in sessions[:4]]
            await until(lambda: running.engine.bridge.waiting == 3)
            with pytest.raises(Refused) as refused:
                await sessions[4].send_message("x")
            assert (refused.value.code, refused.value.retry_after) == ("overloaded", 2.0)
            assert "wait for a thread: 1 plain functions work" in caplog.text
            go_on.set()
            assert {(await task).reply for task in sending} == {"done"}
            assert (await sessions[4].send_message("x")).reply == "done"

    run(main())


@promise("P1")
@promise("P13")
def test_a_round_that_wants_many_threads_holds_up_no_other(house: House) -> None:
    async def main() -> None:
        held, go_on = threading.Event(), threading.Event()
        order: list[str] = []
        app = parlour.App()

        def hold() -> None:
            held.set()
            go_on.wait(20)

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            if message.text == "hold":
                await session.step(hold)
                return
            number = int(message.text)
            steps = [session.step(order.append, message.text, name=f"{n}") for n in range(number)]
            await session.gather(*steps)

        house.settings = settings(threads=1)
        async with house.running(app) as running:
            holder, greedy, modest = await sessions_of(running, 3)
            sending = [asyncio.create_task(holder.send_message("hold"))]
            await until(held.is_set)
            for session, text, waiting in ((greedy, "500", 1), (modest, "2", 2)):
                sending.append(asyncio.create_task(session.send_message(text)))
                await until(lambda waiting=waiting: running.engine.bridge.waiting == waiting)
            go_on.set()
            await asyncio.gather(*sending)
            assert sorted(order[:4]) == ["2", "2", "500", "500"]
            assert len(order) == 502

    run(main())


# -- neighbours go on ------------------------------------------------------------------------


@promise("P1")
def test_neighbours_go_on_while_a_plain_handler_computes(house: House) -> None:
    async def main() -> None:
        computing, enough = threading.Event(), threading.Event()
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            if message.text != "compute":
                session.reply("echo")
                return
            computing.set()
            number = 0
            while not enough.is_set():
                number += 1
            session.reply("computed")

        async with house.running(app) as running:
            busy, neighbour = await sessions_of(running, 2)
            sending = asyncio.create_task(busy.send_message("compute"))
            await until(computing.is_set)
            for _ in range(20):
                async with asyncio.timeout(5):
                    assert (await neighbour.send_message("x")).reply == "echo"
            enough.set()
            assert (await sending).reply == "computed"

    run(main())


# -- the loop's own thread -------------------------------------------------------------------


@promise("P1")
@promise("P13")
def test_a_blocking_session_on_the_loops_thread_says_the_cure_and_stops_nobody(
    house: House,
) -> None:
    async def main() -> None:
        caught: list[BaseException] = []
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            async def captured() -> None:
                for call in (lambda: session.reply("x"), lambda: session.ask("x?")):
                    try:
                        call()
                    except WrongThread as error:
                        caught.append(error)

            session.step(captured)
            session.reply("the handler itself may go on")

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            assert result.reply == "the handler itself may go on"
            assert len(caught) == 2
            assert "the event loop's own thread" in str(caught[0])
            assert "use it in the plain handler" in str(caught[0])

    run(main())


# -- stopping --------------------------------------------------------------------------------


@promise("P14")
@pytest.mark.parametrize("by", ["the handler", "a thread of the handler"])
def test_stop_cancels_what_a_plain_handler_awaits_and_gives_its_thread_back(
    house: House, by: str
) -> None:
    async def main() -> None:
        begun = asyncio.Event()
        ended: list[type[BaseException]] = []
        app = parlour.App()

        async def hang() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(asyncio.CancelledError)
                raise

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            if message.text != "hang":
                session.reply("ready")
                return
            try:
                if by == "the handler":
                    session.step(hang)
                else:
                    with ThreadPoolExecutor(1) as pool:
                        pool.submit(copy_context().run, session.step, hang).result()
            except BaseException as error:
                ended.append(type(error))
                raise

        house.settings = settings(threads=1)
        async with house.running(app) as running:
            session = await running.get_session()
            sending = asyncio.create_task(session.send_message("hang"))
            await begun.wait()
            await session.stop()
            assert (await sending).status == "stopped"
            assert (await session.send_message("x")).reply == "ready"
            await until(lambda: len(ended) == 2)
            assert ended == [asyncio.CancelledError, RoundStopped]

    run(main())


@promise("P14")
def test_a_step_that_is_out_of_time_records_nothing_any_more(house: House) -> None:
    async def main() -> None:
        late, ended = threading.Event(), threading.Event()
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            def slow() -> None:
                try:
                    late.wait(20)
                    session.reply("too late")
                finally:
                    ended.set()

            try:
                session.step(slow, timeout=0.01)
            except parlour.StepFailed as failed:
                session.reply(failed.type)
            late.set()
            ended.wait(20)

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).replies == ("TimeoutError",)
            assert "bot: too late" not in await said(session)

    run(main())


@promise("P13")
def test_a_plain_handler_that_never_returns_is_named_and_its_place_given_to_another(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        begun, go_on = threading.Event(), threading.Event()
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            if message.text == "hang":
                begun.set()
                go_on.wait(30)
            session.reply("ready")

        house.settings = settings(threads=1, waiting_threads=0, stop_seconds=0.05)
        async with house.running(app) as running:
            session, neighbour = await sessions_of(running, 2)
            sending = asyncio.create_task(session.send_message("hang"))
            await until(begun.is_set)
            await session.stop()
            assert (await sending).status == "stopped"
            assert (await neighbour.send_message("x")).reply == "ready"
            assert (await session.send_message("x")).reply == "ready"
            assert f"session {session.id[:8]}: the plain function" in caplog.text
            assert "talk was stopped and still runs at" in caplog.text
            line = talk.__code__.co_firstlineno + 4
            assert f"{Path(__file__)}:{line} in talk" in caplog.text
            go_on.set()

    run(main())


def test_a_plain_handler_that_raises_stop_iteration_fails_its_round(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            session.reply(next(iter(())))

        async with house.running(app) as running:
            session = await running.get_session()
            result = await session.send_message("x")
            assert result.status == "failed"
            assert "StopIteration" in result.reason

    run(main())


@promise("P14")
def test_a_stopping_engine_ends_what_plain_handlers_wait_for(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        ended: list[str] = []
        begun = asyncio.Event()
        app = parlour.App()

        async def hang() -> None:
            begun.set()
            await asyncio.Event().wait()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            try:
                session.ask("?") if message.text == "ask" else session.step(hang)
            finally:
                ended.append(message.text)

        async with house.running(app) as running:
            asking, hanging = await sessions_of(running, 2)
            assert (await asking.send_message("ask")).status == "waiting"
            sending = asyncio.create_task(hanging.send_message("hang"))
            await begun.wait()
        assert sorted(ended) == ["ask", "hang"]
        assert "left behind" not in caplog.text
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    run(main())


HUNG = """
import threading, time
import parlour

app = parlour.App()
begun = threading.Event()

@app.on_message
def talk(session, message):
    begun.set()
    while True:
        time.sleep(0.01)  # here

limits = parlour.Limits(stop_seconds=0.2)
with parlour.local(app, settings=parlour.Settings(limits=limits)) as running:
    session = running.get_session()
    threading.Thread(target=session.send_message, args=("hang",), daemon=True).start()
    begun.wait(20)
print("the end", flush=True)
"""


@promise("P13")
def test_a_hung_plain_handler_does_not_keep_the_process_and_is_named_at_the_end(
    tmp_path: Path,
) -> None:
    script = tmp_path / "hung.py"
    script.write_text(HUNG)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the end\n"
    line = HUNG.splitlines().index("        time.sleep(0.01)  # here") + 1
    assert "the plain function talk was stopped and still runs at" in done.stderr
    assert f"{script}:" in done.stderr
    assert f":{line} in talk" in done.stderr or f":{line - 1} in talk" in done.stderr
