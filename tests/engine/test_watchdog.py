"""Code that keeps the event loop from turning is found and named."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from house import House, run, until

import parlour
from parlour.engine.watchdog import Watchdog

promise = pytest.mark.promise


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "event loop" in record.getMessage()
    ]


def block() -> None:
    time.sleep(0.5)  # the place


LINE = block.__code__.co_firstlineno + 1


async def blocking_step() -> None:
    block()


async def in_a_branch(session: parlour.Session) -> None:
    block()


async def straight_away(session: parlour.Session, message: parlour.Message) -> None:
    block()


async def after_a_wait(session: parlour.Session, message: parlour.Message) -> None:
    await session.sleep(0.01)
    block()


async def in_a_step(session: parlour.Session, message: parlour.Message) -> None:
    await session.step(blocking_step)


async def beside_another(session: parlour.Session, message: parlour.Message) -> None:
    await session.gather(in_a_branch(session))


def from_a_plain_handler(session: parlour.BlockingSession, message: parlour.Message) -> None:
    session.step(blocking_step)


@promise("P13")
@pytest.mark.parametrize(
    "handler", [straight_away, after_a_wait, in_a_step, beside_another, from_a_plain_handler]
)
def test_what_blocks_the_loop_is_named_with_its_line_and_session(
    house: House, caplog: pytest.LogCaptureFixture, handler: Callable[..., object]
) -> None:
    async def main() -> None:
        app = parlour.App()
        app.on_message(handler)
        house.settings = parlour.Settings(blocked_after=0.1)
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")
            await until(lambda: len(warnings_of(caplog)) == 2)
            begun, ended = warnings_of(caplog)
            assert re.search(r"stood still for 0\.\d s at ", begun)
            assert f"{Path(__file__)}:{LINE} in block, in session {session.id[:8]}; " in begun
            assert "process=True" in begun
            assert re.fullmatch(
                rf"the event loop turns again after 0\.\d s at {re.escape(__file__)}:{LINE} "
                "in block",
                ended,
            )

    run(main())


def test_a_place_is_told_of_once_a_minute_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dog = Watchdog(asyncio.get_running_loop(), 0.05, busy=lambda: True, beside=list)
        dog.rouse()

        def seen() -> int:
            return sum(place.times for place in dog._seen.values())

        for number in range(1, 5):
            if number == 4:
                monkeypatch.setattr("parlour.engine.watchdog._WARN_EVERY", 0.0)
            await asyncio.sleep(0.1)
            block()
            await until(lambda number=number: seen() == number)
        await until(lambda: len(warnings_of(caplog)) == 4)
        dog.close()

    run(main())
    told = [text for text in warnings_of(caplog) if "stood still" in text]
    assert [re.findall(r"\((\d+) times by now\)", text) for text in told] == [[], ["4"]]


def test_a_loop_that_turns_is_not_complained_about(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            for _ in range(20):
                await asyncio.sleep(0.02)

        house.settings = parlour.Settings(blocked_after=0.3)
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("x")

    run(main())
    assert warnings_of(caplog) == []


@promise("P11")
def test_a_stopped_engine_leaves_no_watchdog_behind(house: House) -> None:
    def dogs() -> int:
        return sum(thread.name == "parlour-watchdog" for thread in threading.enumerate())

    async def main() -> None:
        before = dogs()
        async with house.running(parlour.App()):
            assert dogs() > before
        await until(lambda: dogs() <= before)

    run(main())


def test_nobody_looks_when_it_is_switched_off(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = parlour.App()
        app.on_message(straight_away)
        house.settings = parlour.Settings(blocked_after=0)
        async with house.running(app) as running:
            await (await running.get_session()).send_message("x")

    run(main())
    assert warnings_of(caplog) == []


COMPUTING = """
import asyncio, re, threading
from parlour.engine.watchdog import Watchdog
import logging
logging.basicConfig(format="%(message)s")

async def main():
    dog = Watchdog(asyncio.get_running_loop(), 0.1, busy=lambda: True, beside=list)
    dog.rouse()
    await asyncio.sleep(0.05)
    re.match(r"(a|aa)+$", "a" * LENGTH + "b")  # holds the interpreter's lock all the time
    await asyncio.sleep(0.3)

asyncio.run(main())
"""


def test_what_lets_no_other_thread_run_is_named_afterwards(tmp_path: Path) -> None:
    length = 24
    while True:
        # What it computes, not what it waits for the machine: that may be less the next time.
        begun = time.thread_time()
        re.match(r"(a|aa)+$", "a" * length + "b")
        if time.thread_time() - begun > 0.6:
            break
        length += 1
    script = tmp_path / "computing.py"
    script.write_text(COMPUTING.replace("LENGTH", str(length)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"{script}:11 in main" in done.stderr


STOPPED = """
import asyncio, logging, sys
import parlour
logging.basicConfig(format="%(message)s")
app = parlour.App()

@app.on_message
async def talk(session, message):
    print("working", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for _ in range(20):
        await asyncio.sleep(0.02)

settings = parlour.Settings(blocked_after=0.2)
with parlour.local(app, settings=settings) as running:
    running.get_session().send_message("x")
print("the end", flush=True)
"""


def test_a_process_that_was_stopped_is_not_complained_about(tmp_path: Path) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        for _ in range(3):
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(1.0)
            os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate("go on\n", timeout=30)
    assert out == "the end\n"
    assert "event loop" not in err


IDLE = """
import asyncio, sys
import parlour
app = parlour.App()

@app.on_message
async def talk(session, message):
    session.reply("x")

async def main():
    settings = parlour.Settings(blocked_after=0.01)
    async with parlour.local(app, settings=settings) as running:
        session = await running.get_session()
        await session.send_message("x")
        await asyncio.sleep(0.2)
        print("idle", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(main())
"""


def test_while_nothing_is_under_way_the_watchdog_does_not_wake(tmp_path: Path) -> None:
    script = tmp_path / "idle.py"
    script.write_text(IDLE)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "idle\n"
        running = psutil.Process(process.pid)
        before = running.num_ctx_switches().voluntary
        time.sleep(1.0)
        # A watchdog that looked would wake two hundred times.
        woken = sum_of_switches(running) - before
        process.communicate("\n", timeout=30)
    assert woken < 60


def sum_of_switches(process: psutil.Process) -> int:
    return process.num_ctx_switches().voluntary
