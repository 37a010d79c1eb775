"""Functions for steps in another process: a module that can be imported there."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import parlour


@dataclass
class Point:
    x: int
    y: int


class Choosy(Exception):
    """Cannot be pickled as it is: its `__init__` wants other things than it hands on."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


class Nasty(Exception):
    """Cannot be pickled at all."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("not me")


def whereabouts(number: int) -> dict[str, int]:
    return {"pid": os.getpid(), "number": number}


def mirrored(point: Point) -> Point:
    return Point(point.y, point.x)


def burn(seconds: float) -> int:
    end, turns = time.process_time() + seconds, 0
    while time.process_time() < end:
        turns += 1
    return turns


def hang(folder: str) -> None:
    (Path(folder) / f"pid-{os.getpid()}").touch()
    while True:
        time.sleep(0.01)


def fail_until(folder: str, times: int) -> int:
    """Raise so many times, then say how often it was called."""
    calls = Path(folder) / "calls"
    with calls.open("a") as file:
        file.write("x")
    count = len(calls.read_text())
    if count <= times:
        raise Choosy(count, why="not yet")
    return count


def choosy() -> None:
    raise Choosy(7, why="on principle")


def nasty() -> None:
    raise Nasty("very")


def leave(code: int) -> None:
    os._exit(code)


def leave_politely() -> None:
    sys.exit("bye")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unstorable(folder: str) -> object:
    with (Path(folder) / "calls").open("a") as file:
        file.write("x")
    return object()


def large() -> str:
    return "x" * 300_000


async def asynchronous() -> None:
    """Not for another process."""


app = parlour.App()


@app.on_message
async def unused(session: parlour.Session, message: parlour.Message) -> None:
    """Makes this file an app."""
