"""The long haul: very many short rounds, and very many sessions opened, put to sleep and woken.

`make soak ROUNDS=1000000 SESSIONS=100000`. In one process, without a socket, so that what grows is
the engine's: memory, file descriptors, the work for a round, the bytes of the log. A slope is what
a straight line through the samples rises by from the first to the last of them; the first ones,
while caches fill, do not count.
"""

import argparse
import asyncio
import gc
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import parlour
from parlour.engine import Engine
from parlour.events import Say
from parlour.settings import Settings
from parlour.stores.address import files_for, open_store, secret_for

MIB = 1024 * 1024
AT_ONCE = 10
SLICES = 24
WARM = 1 / 3
TEXT = "What would you recommend for a rainy day in the old town? " + 6 * "x"
MOST_MEMORY = 0.06
"""By which part memory may rise between the first and the last sample."""
SPARE_MEMORY = 20 * MIB
"""What a short haul may add: the store's cache of pages fills while its file is small."""
MOST_COST = 0.35
LOG_BYTES = 3 * 2 * len(TEXT) + 300
"""What an echo round may take of the disk: thrice its two messages, and a little."""

app = parlour.App()


@app.on_message
async def echo(session: parlour.Session, message: parlour.Message) -> None:
    session.reply(message.text)


@dataclass
class Course:
    """What was measured after each slice of the work."""

    name: str
    done: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    log_bytes: float = 0.0

    def failures(self) -> list[str]:
        """What is not flat; an empty list if all is."""
        found: list[str] = []
        memory = rise(self.resident)
        if memory > MOST_MEMORY and memory * self.resident[-1] > SPARE_MEMORY:
            found.append(f"{self.name}: memory rises by {memory:.1%}")
        if rise(self.descriptors) * self.descriptors[-1] > 2:
            found.append(f"{self.name}: descriptors go from {self.descriptors[0]}")
        if growth(self.seconds) > MOST_COST:
            found.append(f"{self.name}: the work for each grows by {growth(self.seconds):.1%}")
        if self.log_bytes > LOG_BYTES:
            found.append(f"{self.name}: the log takes {self.log_bytes:.0f} bytes for each")
        return found

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.name:<10} {self.done[-1]:>10,}",
                f"  memory      {self.resident[-1] / MIB:.1f} MiB, {rise(self.resident):+.1%}",
                f"  descriptors {self.descriptors[-1]:.0f}",
                f"  work        {1e6 * self.seconds[-1]:.0f} µs of the processor for each, "
                f"{growth(self.seconds):+.1%}",
                f"  written     {self.written[0]:.0f} bytes for each at first, "
                f"{self.written[-1]:.0f} at last",
                f"  on disk     {self.log_bytes:.0f} bytes for each, at most {LOG_BYTES}"
                if self.log_bytes
                else "",
            ]
        ).rstrip()


def growth(samples: list[float]) -> float:
    """By which part the last third is dearer than the second, each at its cheapest.

    What else the machine has to do makes work dearer, never cheaper.
    """
    third = len(samples) // 3
    if not third:
        return 0.0
    return min(samples[-third:]) / min(samples[third : 2 * third]) - 1


def rise(samples: list[float]) -> float:
    """What a line through the later samples rises by, as a part of their mean."""
    later = samples[int(len(samples) * WARM) :]
    if len(later) < 3:
        return 0.0
    middle, mean = (len(later) - 1) / 2, sum(later) / len(later)
    above = sum((x - middle) * (y - mean) for x, y in enumerate(later))
    below = sum((x - middle) ** 2 for x in range(len(later)))
    return above / below * (len(later) - 1) / mean if mean else 0.0


def _engine(path: Path, **settings: float) -> Engine:
    address = f"sqlite:///{path}"
    return Engine(
        app,
        open_store(address),
        files=files_for(address),
        secret=secret_for(address),
        settings=Settings(**settings),  # type: ignore[arg-type]
    )


async def _measured(
    course: Course, total: int, slices: int, slice_: Callable[[int], Awaitable[None]]
) -> None:
    """Do `total` in slices and measure after each."""
    process = psutil.Process()
    for number in range(1, slices + 1):
        count = max(1, total // slices)
        began, before = time.process_time(), process.io_counters().write_chars
        await slice_(count)
        course.written.append((process.io_counters().write_chars - before) / count)
        course.seconds.append((time.process_time() - began) / count)
        gc.collect()
        course.done.append(number * count)
        course.resident.append(float(process.memory_info().rss))
        course.descriptors.append(float(process.num_fds()))


async def many_rounds(path: Path, total: int, slices: int = SLICES) -> Course:
    """`total` echo rounds in a few sessions, whose logs grow long."""
    course = Course("rounds")
    async with _engine(path, idle_after=3600) as engine:
        sessions = [(await engine.open("u", f"open{n}")).session for n in range(AT_ONCE)]
        said = [0] * AT_ONCE

        async def talk(number: int, count: int) -> None:
            for _ in range(count):
                said[number] += 1
                await engine.send(sessions[number], "u", Say(id=f"s{said[number]}", text=TEXT))

        async def slice_(count: int) -> None:
            each = max(1, count // AT_ONCE)
            await asyncio.gather(*(talk(number, each) for number in range(AT_ONCE)))

        await _measured(course, total, slices, slice_)
    course.log_bytes = _size_of(path) / sum(said)
    _check(path, sum(said))
    return course


def _size_of(path: Path) -> int:
    return path.stat().st_size


def _check(path: Path, rounds: int) -> None:
    """Every round that was counted is in the log, and done."""
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT count(*) FROM log WHERE data LIKE '%RoundFinished%'"
        (finished,) = db.execute(query).fetchone()
        query = "SELECT count(*) FROM log WHERE data LIKE '%failed%'"
        (failed,) = db.execute(query).fetchone()
    assert finished == rounds, f"{rounds} rounds, {finished} are finished"
    assert failed == 0


async def many_sessions(path: Path, total: int, slices: int = SLICES) -> Course:
    """`total` sessions, each opened, used, put out of memory, woken and put to sleep again."""
    course = Course("sessions")
    opened = 0
    async with _engine(path, idle_after=0.05) as engine:

        async def use(number: int) -> str:
            accepted = await engine.open(f"user{number}", "open")
            await engine.send(accepted.session, f"user{number}", Say(id="s1", text=TEXT))
            return accepted.session

        async def wake(number: int, session: str) -> None:
            await engine.send(session, f"user{number}", Say(id="s2", text=TEXT))

        async def slice_(count: int) -> None:
            nonlocal opened
            numbers = range(opened, opened + count)
            opened += count
            for part in range(0, count, 500):
                some = numbers[part : part + 500]
                sessions = await asyncio.gather(*(use(number) for number in some))
                await _asleep(engine)
                await asyncio.gather(
                    *(wake(n, session) for n, session in zip(some, sessions, strict=True))
                )
                await _asleep(engine)

        await _measured(course, total, slices, slice_)
    _check(path, 2 * opened)
    return course


async def _asleep(engine: Engine) -> None:
    async with asyncio.timeout(60):
        while engine.live:
            await asyncio.sleep(0.02)


def soak(folder: Path, rounds: int, sessions: int, slices: int = SLICES) -> list[Course]:
    return [
        asyncio.run(many_rounds(folder / "rounds.db", rounds, slices)),
        asyncio.run(many_sessions(folder / "sessions.db", sessions, slices)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parlour-soak-") as folder:
        courses = soak(Path(folder), options.rounds, options.sessions)
    failures = [failure for course in courses for failure in course.failures()]
    for line in [*map(str, courses), *failures]:
        print(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
