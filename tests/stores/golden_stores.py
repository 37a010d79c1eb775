"""Store files as a version of Parlour left them, for all later ones to open.

`python tests/stores/golden_stores.py` writes the one of this version if there is none yet. A file
that has been released is never written again: it is what the disks of the world hold.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

import parlour
from parlour.engine import Engine
from parlour.engine.reading import fold_session
from parlour.events import Close, Say, Signal
from parlour.state import State
from parlour.stores.files import Files
from parlour.stores.sqlite import SqliteStore
from parlour.stores.sqlite_file import VERSION
from parlour.stores.store import Store
from parlour.stores.sweep import sessions_of
from parlour.testing import VirtualClock

FOLDER = Path(__file__).parent / "golden"
KEY = b"golden key of thirty-two bytes.."
NOW = 1_800_000_000.0


def golden_app() -> parlour.App:
    """What talked in the golden stores, and goes on talking in them."""
    app = parlour.App()

    @app.on_open
    async def begin(session: parlour.Session) -> None:
        await session.user.set("seen", session.user.id)
        session.reply("Hello")

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text == "wait":
            name = await session.ask("Name?", name="name")
            session.reply(f"waited for {name}")
            return
        session.set("count", session.get("count", 0) + 1)
        price = await session.step(lambda: 7, name="price")
        session.reply(f"{message.text} costs {price}")

    return app


def engine_on(store: Store, folder: Path) -> Engine:
    settings = parlour.Settings(snapshot_every=8)
    return Engine(
        golden_app(),
        store,
        files=Files(folder / "files"),
        secret=KEY,
        settings=settings,
        clock=VirtualClock(NOW),
    )


async def told(store: Store) -> dict[str, Any]:
    """All that a store tells, but not what may change from one version to the next."""
    sessions: dict[str, Any] = {}
    users: dict[str, Any] = {}
    async for info in sessions_of(store, None):
        state = await fold_session(store, info.id, State())
        sessions[info.id] = {
            "info": msgspec.to_builtins(info),
            "seq": state.seq,
            "phase": state.phase,
            "said": [f"{said.role}: {said.text}" for said in state.heard.messages],
            "variables": {
                name: bytes(value.value).decode() for name, value in state.variables.items()
            },
            "questions": [] if state.round is None else list(state.round.questions.values()),
            "inbox": [posted.command for posted in await store.inbox(info.id)],
            "knows m0": await store.outcome(info.id, "m0"),
        }
        values = await store.user_values(info.user)
        users[info.user] = {value.name: value.value.decode() for value in values}
    return {"sessions": sessions, "users": users}


async def _live(path: Path, folder: Path) -> dict[str, Any]:
    """Fill a store with sessions of all kinds, and leave it as a process that is killed."""
    store = SqliteStore(folder / "store.db")
    engine = engine_on(store, folder)
    async with engine:
        for number, user in enumerate(("ann", "bob", "ann", "eve")):
            session = (await engine.open(user, f"open-{number}")).session
            for turn in range(4 * number + 1):
                await _say(engine, session, f"m{turn}", f"thing {turn}")
        waiting = (await engine.open("ann", "waits")).session
        await engine.send(waiting, "ann", Say(id="m0", text="wait"))
        while (await engine.state_of(waiting)).due is None and not await _asks(engine, waiting):
            await asyncio.sleep(0.001)
        await engine.fork(session, at=6)
        closed = (await engine.open("bob", "closes")).session
        await engine.send(closed, "bob", Close(id="bye"))
        await _rest(engine, closed)
        await store.post(waiting, "posted", msgspec.json.encode(Signal(id="posted", name="ping")))
        await store.sessions()  # indexes what was written so far
        for turn in range(3):
            await _say(engine, session, f"late{turn}", "late")
        # What came last is in the file and not indexed yet, as if the process were killed now.
        await store._between(lambda writer: writer.checkpoint())
        await store._write(lambda _: shutil.copy(folder / "store.db", path))

    async with opened_copy(path, folder / "copy.db") as copy:
        return await told(copy)


@asynccontextmanager
async def opened_copy(path: Path, place: Path) -> AsyncGenerator[SqliteStore]:
    """A store of its own with what a golden one has."""
    shutil.copy(path, place)
    store = SqliteStore(place)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _asks(engine: Engine, session: str) -> bool:
    running = (await engine.state_of(session)).round
    return running is not None and bool(running.questions)


async def _say(engine: Engine, session: str, command: str, text: str) -> None:
    user = (await engine.state_of(session)).user
    await engine.send(session, user, Say(id=command, text=text))
    await _rest(engine, session)


async def _rest(engine: Engine, session: str) -> None:
    while (await engine.state_of(session)).round is not None:
        await asyncio.sleep(0.001)
    activation = engine.find_live(session)
    while activation is not None and activation.durable < activation.state.seq:
        await asyncio.sleep(0.001)


def write_missing() -> None:
    path = FOLDER / f"v{VERSION}.db"
    if path.exists():
        return
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        said = asyncio.run(_live(path, Path(folder)))
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(said)))
    print("wrote", path.name)


if __name__ == "__main__":
    write_missing()
