"""Steps in other processes: journaled like any, bounded, and killed when they are not wanted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import stepping
from house import House, run, until

import parlour
from parlour.engine.local import AsyncLocalSession

promise = pytest.mark.promise


def children(of: int | None = None) -> list[psutil.Process]:
    """The processes for steps; the tracker that Python starts beside them is not one."""
    found: list[psutil.Process] = []
    for process in psutil.Process(of).children(recursive=True):
        try:
            if any("spawn_main" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def ended(pid: int) -> bool:
    """Whether it runs no more, if perhaps nobody has taken notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pids_in(folder: Path) -> list[int]:
    return [int(path.name[4:]) for path in folder.glob("pid-*")]


def app_for(handler: Callable[[parlour.Session], Awaitable[object]]) -> parlour.App:
    """An app whose handler's result, or the failure of its step, is the reply."""
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "hello":
            session.reply("hello")
            return
        try:
            session.reply(str(await handler(session)))
        except parlour.StepFailed as failed:
            session.reply(f"{failed.type}: {failed.reason}")

    return app


async def reply_to(house: House, handler: Callable[[parlour.Session], Awaitable[object]]) -> str:
    async with house.running(app_for(handler)) as running:
        return (await (await running.get_session()).send_message("go")).reply


@promise("P8")
def test_a_step_runs_in_another_process_and_its_result_is_journaled(house: House) -> None:
    async def main() -> None:
        pids: list[int] = []

        async def work(session: parlour.Session) -> str:
            found = await session.step(stepping.whereabouts, 5, process=True)
            pids.append(found["pid"])
            return await session.ask(f"{found['number']}?")

        async with house.running(app_for(work)) as running:
            session = await running.get_session()
            assert (await session.send_message("go")).status == "waiting"
            await house.crash(running)
        async with house.running(app_for(work)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("fine")).reply.endswith("fine")
            assert children() == []
        assert len(pids) == 2
        assert pids[0] == pids[1] != os.getpid()

    run(main())


def test_values_go_there_and_come_back_typed_and_a_process_is_used_again(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            first = await session.step(stepping.whereabouts, 1, process=True)
            second = await session.step(stepping.whereabouts, 2, process=True)
            point = await session.step(stepping.mirrored, stepping.Point(1, 2), process=True)
            return first["pid"] == second["pid"] and point

        assert await reply_to(house, work) == str(stepping.Point(2, 1))

    run(main())


def test_a_plain_handler_has_it_too(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            found = session.step(stepping.whereabouts, 5, process=True)
            session.reply(str(found["pid"] != os.getpid()))

        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("x")).reply == "True"

    run(main())


@promise("P1")
def test_neighbours_do_not_wait_for_a_step_that_computes_in_another_process(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            return await session.step(stepping.burn, 1.0, process=True) > 0

        async with house.running(app_for(work)) as running:
            busy = await running.get_session(user="busy")
            neighbour = await running.get_session(user="neighbour")
            sending = asyncio.create_task(busy.send_message("go"))
            rounds = 0
            while not sending.done():
                assert (await neighbour.send_message("hello")).reply == "hello"
                rounds += 1
            assert (await sending).reply == "True"
            # The second of computing is one round's worth where it holds up the others.
            assert rounds >= 5

    run(main())


# -- what cannot be done there ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["function", "argument"])
def test_what_cannot_be_sent_there_is_a_failure_that_says_the_cure(
    house: House, where: str
) -> None:
    async def main() -> None:
        calls: list[Any] = [(lambda: 1,), (stepping.mirrored, threading.Lock())]
        fn, *args = calls[where == "argument"]

        async def work(session: parlour.Session) -> object:
            policy = parlour.Retry(attempts=3, delay=60)
            return await session.step(fn, *args, process=True, retry=policy, name="sent")

        said = await reply_to(house, work)
        assert said.startswith("NotPicklable: ")
        assert "cannot be called in another process" in said
        assert "a function that stands at the top of a module" in said

    run(main())


def test_an_async_function_is_refused_at_once(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            try:
                return await session.step(stepping.asynchronous, process=True)  # type: ignore[call-overload]
            except TypeError as error:
                return error

        assert "process=True wants a plain function, and asynchronous is" in await reply_to(
            house, work
        )

    run(main())


def test_a_result_that_cannot_be_stored_is_not_computed_again(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            folder = str(tmp_path)
            return await session.step(stepping.unstorable, folder, process=True, retry=3)

        assert "NotStorable: a value of type object cannot be stored" in await reply_to(house, work)
        assert (tmp_path / "calls").read_text() == "x"

    run(main())


@promise("P12")
def test_a_result_that_is_too_large_is_refused_there(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            return await session.step(stepping.large, process=True)

        assert "NotStorable: the result has 300,002 bytes, at most" in await reply_to(house, work)

    run(main())


# -- what goes wrong there -------------------------------------------------------------------


@promise("P8")
@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (stepping.choosy, "Choosy: on principle (7)"),
        (stepping.nasty, "Nasty: very"),
        (stepping.leave_politely, "SystemExit: bye"),
    ],
)
def test_what_a_function_raises_there_it_raises_here(
    house: House, fn: Callable[[], None], said: str
) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            return await session.step(fn, process=True)

        assert await reply_to(house, work) == said

    run(main())


def test_a_failed_step_keeps_the_exception_and_where_it_was_raised(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            try:
                return await session.step(stepping.choosy, process=True)
            except parlour.StepFailed as failed:
                cause = failed.__cause__
                assert isinstance(cause, stepping.Choosy)
                assert cause.code == 7
                assert "stepping.py" in cause.__notes__[0]
                return "seen"

        assert await reply_to(house, work) == "seen"

    run(main())


def test_it_is_tried_again_on_errors_that_cannot_be_pickled_as_they_are(
    house: House, tmp_path: Path
) -> None:
    async def main() -> None:
        policy = parlour.Retry(attempts=3, delay=0.01, on=(stepping.Choosy,))

        async def work(session: parlour.Session) -> object:
            folder = str(tmp_path)
            return await session.step(stepping.fail_until, folder, 2, process=True, retry=policy)

        assert await reply_to(house, work) == "3"

    run(main())


@promise("P13")
@pytest.mark.parametrize(
    ("fn", "args", "how"),
    [
        (stepping.leave, (3,), "ended with exit code 3"),
        (stepping.leave, (0,), "ended with exit code 0"),
        (stepping.be_killed, (), "was ended by SIGKILL, as when memory runs out,"),
    ],
)
def test_a_process_that_dies_fails_its_step_and_the_next_step_has_another(
    house: House, fn: Callable[..., None], args: tuple[Any, ...], how: str
) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            try:
                await session.step(fn, *args, process=True)
            except parlour.StepFailed as failed:
                session.reply(f"{failed.type}: {failed.reason}")
            return (await session.step(stepping.whereabouts, 5, process=True))["number"]

        name = fn.__name__
        assert await reply_to(house, work) == (
            f"ProcessDied: the process that ran {name} {how} before it was done\n5"
        )

    run(main())


def test_a_process_that_died_while_it_was_idle_is_replaced(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            first = await session.step(stepping.whereabouts, 1, process=True)
            os.kill(first["pid"], signal.SIGKILL)
            await until(lambda: ended(first["pid"]))
            return (await session.step(stepping.whereabouts, 2, process=True))["number"]

        assert await reply_to(house, work) == "2"

    run(main())


# -- what is not wanted any more -------------------------------------------------------------


async def hanging(session: AsyncLocalSession, folder: Path) -> asyncio.Task[Any]:
    sending = asyncio.create_task(session.send_message("go"))
    await until(lambda: bool(pids_in(folder)))
    return sending


async def gone(pids: list[int]) -> None:
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


@promise("P14")
def test_stop_kills_the_process(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            return await session.step(stepping.hang, str(tmp_path), process=True)

        async with house.running(app_for(work)) as running:
            session = await running.get_session()
            sending = await hanging(session, tmp_path)
            await session.stop()
            assert (await sending).status == "stopped"
            await gone(pids_in(tmp_path))
            assert (await session.send_message("hello")).reply == "hello"

    run(main())


@promise("P14")
def test_a_plain_handler_that_is_stopped_has_its_process_killed(
    house: House, tmp_path: Path
) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            session.step(stepping.hang, str(tmp_path), process=True)

        async with house.running(app) as running:
            session = await running.get_session()
            sending = await hanging(session, tmp_path)
            await session.stop()
            assert (await sending).status == "stopped"
            await gone(pids_in(tmp_path))

    run(main())


@promise("P14")
def test_a_step_that_is_out_of_time_has_its_process_killed(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            # The process starts before the time of the hanging step begins to count.
            await session.step(stepping.whereabouts, 1, process=True)
            return await session.step(stepping.hang, str(tmp_path), process=True, timeout=0.5)

        async with house.running(app_for(work)) as running:
            session = await running.get_session()
            assert (await session.send_message("go")).reply == "TimeoutError: "
            assert len(pids_in(tmp_path)) == 1
            await gone(pids_in(tmp_path))

    run(main())


@promise("P11")
def test_a_stopped_engine_leaves_no_process_behind(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            await session.step(stepping.whereabouts, 1, process=True)
            return await session.step(stepping.hang, str(tmp_path), process=True)

        async with house.running(app_for(work)) as running:
            sessions = [await running.get_session(user=f"{n}") for n in range(2)]
            sending = [asyncio.create_task(s.send_message("go")) for s in sessions]
            await until(lambda: bool(pids_in(tmp_path)))
        assert not any(psutil.pid_exists(pid) for pid in pids_in(tmp_path))
        assert children() == []
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    run(main())


@promise("P12")
def test_there_are_never_more_processes_than_allowed(house: House) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            steps = [session.step(stepping.whereabouts, n, process=True) for n in range(6)]
            found = await session.gather(*steps)
            return len({item["pid"] for item in found})

        house.settings = parlour.Settings(limits=parlour.Limits(processes=2))
        assert await reply_to(house, work) in {"1", "2"}

    run(main())


@promise("P14")
def test_a_step_that_waits_for_a_process_can_be_stopped(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        async def work(session: parlour.Session) -> object:
            return await session.step(stepping.hang, str(tmp_path), process=True)

        house.settings = parlour.Settings(limits=parlour.Limits(processes=1))
        async with house.running(app_for(work)) as running:
            first, second = [await running.get_session(user=f"{n}") for n in range(2)]
            hangs = await hanging(first, tmp_path)
            waits = asyncio.create_task(second.send_message("go"))
            engine = running.engine
            await until(lambda: engine.bridge._processes._turns.waiting == 1)  # type: ignore[union-attr]
            await second.stop()
            assert (await waits).status == "stopped"
            await first.stop()
            assert (await hangs).status == "stopped"
            assert len(pids_in(tmp_path)) == 1

    run(main())


# -- other programs --------------------------------------------------------------------------

APP = """
import os
import parlour

app = parlour.App()


class Broken(Exception):
    pass


def compute(number: int) -> int:
    if number < 0:
        raise Broken("below zero")
    return number * number


@app.on_message
async def talk(session: parlour.Session, message: parlour.Message) -> None:
    try:
        session.reply(str(await session.step(compute, int(message.text), process=True)))
    except parlour.StepFailed as failed:
        session.reply(f"{failed.type}, {type(failed.__cause__).__name__}")
"""

MAIN = """
import sys
import parlour

if __name__ == "__main__":
    with parlour.local(sys.argv[1]) as running:
        session = running.get_session()
        print(session.send_message("12").reply, session.send_message("-1").reply)
"""


def script(folder: Path, name: str, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-W", "error", name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["hello.py", "my-bot.py"])
def test_functions_of_the_apps_own_file_run_there_whatever_it_is_called(
    tmp_path: Path, name: str
) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / name).write_text(APP)
    done = script(tmp_path, "main.py", MAIN, str(apps / name))
    assert (done.stdout, done.stderr) == ("144 Broken, Broken\n", "")


def test_functions_of_the_main_script_run_there(tmp_path: Path) -> None:
    main = (
        APP
        + """
if __name__ == "__main__":
    with parlour.local(app) as running:
        print(running.get_session().send_message("12").reply)
"""
    )
    done = script(tmp_path, "main.py", main)
    assert (done.stdout, done.stderr) == ("144\n", "")


def test_a_main_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    main = (
        APP.replace("{failed.type}", "{failed.reason}")
        + """
with parlour.local(app) as running:
    print(running.get_session().send_message("12").reply)
"""
    )
    done = script(tmp_path, "main.py", main)
    assert 'must stand under `if __name__ == "__main__":`' in done.stdout


def test_a_killed_program_takes_its_processes_with_it(tmp_path: Path) -> None:
    main = """
import sys
import parlour, stepping

app = parlour.App()

@app.on_message
async def talk(session, message):
    await session.step(stepping.whereabouts, 1, process=True)
    await session.gather(
        session.step(stepping.hang, sys.argv[1], process=True),
        session.step(stepping.burn, 1000.0, process=True),
    )

if __name__ == "__main__":
    with parlour.local(app, settings=parlour.Settings(limits=parlour.Limits(processes=2))) as r:
        r.get_session().send_message("x")
"""
    (tmp_path / "main.py").write_text(main)
    with subprocess.Popen(
        [sys.executable, "main.py", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    ) as process:
        deadline = time.monotonic() + 30
        while not pids_in(tmp_path) or len(children(process.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        left = children(process.pid)
        process.kill()
        process.wait(10)
        assert psutil.wait_procs(left, timeout=20)[1] == []


JSON_APP = """
import json
import parlour

app = parlour.App()

def add(first, second):
    return json.loads(json.dumps(first + second))

@app.on_message
async def talk(session, message):
    session.reply(str(await session.step(add, 2, 3, process=True)))
"""

ASKING = """
import parlour

if __name__ == "__main__":
    with parlour.local("json.py") as running:
        print(running.get_session().send_message("go").reply)
"""


def test_an_app_file_that_is_called_like_a_module_of_pythons_own_works(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "json.py").write_text(JSON_APP)
    script = tmp_path / "asking.py"
    script.write_text(ASKING)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "5\n", done.stderr
