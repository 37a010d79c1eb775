"""What is measured inside one process, without a socket: sessions asleep, and waking one.

Run by the figures as a process of its own: `python -m bench.inside sleep|wake FILE COUNT`. Prints
JSON.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bench.apps import echo
from bench.load import run
from bench.machine import SERVER_CORE, pin, resident_bytes
from bench.talkers import TEXT
from parlour.engine import Engine
from parlour.errors import Refused
from parlour.events import Say
from parlour.settings import Settings
from parlour.stores.address import files_for, open_store, secret_for

_AT_ONCE = 200
_names: Iterator[int] = count()


def engine_on(path: Path, **settings: Any) -> Engine:
    address = f"sqlite:///{path}"
    return Engine(
        echo.app,
        open_store(address),
        files=files_for(address),
        secret=secret_for(address),
        settings=Settings(**settings),
    )


async def sleep(path: Path, wanted: int) -> dict[str, Any]:
    """Memory after each tenth of `wanted` sessions was opened, used once and put to sleep."""
    sizes: list[tuple[int, int]] = []
    async with engine_on(path, idle_after=0.2, hibernate_after=0.2) as engine:
        for tenth in range(1, 11):
            for _ in range(0, wanted // 10, _AT_ONCE):
                await asyncio.gather(*(_use(engine) for _ in range(_AT_ONCE)))
            await _until(lambda: not engine.live)
            gc.collect()
            sizes.append((tenth * wanted // 10, resident_bytes(os.getpid())))
    return {"sizes": sizes}


async def _use(engine: Engine) -> None:
    name = next(_names)
    opened = await engine.open(f"user{name // 100}", f"open{name}")
    await engine.send(opened.session, None, Say(id="m1", text=TEXT))


async def wake(path: Path, wanted: int) -> dict[str, Any]:
    """The median milliseconds from a command for a sleeping session until it is durable.

    For sessions of 100 and of `wanted` records, in turns.
    """
    times: dict[int, list[float]] = {100: [], wanted: []}
    async with engine_on(path, idle_after=3600.0) as engine:
        sessions = {size: await _session_of(engine, size) for size in times}
        for _ in range(40):
            for size, session in sessions.items():
                await _put_to_sleep(engine, session)
                began = time.perf_counter()
                await engine.send(session, None, Say(id=f"w{next(_names)}", text=TEXT))
                times[size].append(1000 * (time.perf_counter() - began))
    return {"small": statistics.median(times[100]), "large": statistics.median(times[wanted])}


async def _session_of(engine: Engine, records: int) -> str:
    """A session with at least so many records."""
    opened = await engine.open("user", f"open{records}")
    while (await engine.state_of(opened.session)).seq < records:
        await engine.send(opened.session, None, Say(id=f"m{next(_names)}", text=TEXT))
    return opened.session


async def _put_to_sleep(engine: Engine, session: str) -> None:
    def asleep() -> bool:
        activation = engine.find_live(session)
        return activation is None or activation.try_rest()

    await _until(asleep)
    # The snapshot that is kept on leaving memory.
    await _until(lambda: not engine.tasks)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - the engine tells nobody when it puts a session away
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    pin(SERVER_CORE)
    work = {"sleep": sleep, "wake": wake}[sys.argv[1]]
    try:
        found = run(work(Path(sys.argv[2]), int(sys.argv[3])))
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")
    print(msgspec.json.encode(found).decode())
