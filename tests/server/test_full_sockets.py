"""A socket that is full for a while: what waits for it, and whose task waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

import parlour
from parlour.engine import Engine
from parlour.events import Say, Stop
from parlour.settings import Limits
from parlour.stores.files import Files
from parlour.stores.memory import MemoryStore
from parlour.transports.identity import Identity
from parlour.transports.websocket import Connection, Flusher

promise = pytest.mark.promise
LIMITS = Limits(listener_bytes=400_000)


class Socket:
    """A client whose socket takes nothing while `room` is not set."""

    def __init__(self, engine: Engine) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.waits = asyncio.Event()
        self.text = ""
        self.served: asyncio.Future[None] | None = None
        self._in: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.connection = Connection(
            engine, cast("Identity", None), self._in.get, self._send, user="u", flusher=Flusher()
        )
        self.connection._greeted = True

    def put(self, frame: str) -> None:
        self._in.put_nowait({"type": "websocket.receive", "text": frame})

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if not self.room.is_set():
            self.waits.set()
        await self.room.wait()
        self.text += message.get("text", "") + "\n"

    async def got(self, part: str) -> None:
        while part not in self.text:
            await asyncio.sleep(0.001)


@asynccontextmanager
async def connected(
    folder: Path, app: parlour.App, limits: Limits = LIMITS
) -> AsyncGenerator[tuple[Engine, str, Socket]]:
    files = Files(folder / "files")
    settings = parlour.Settings(limits=limits)
    engine = Engine(app, MemoryStore(), files=files, secret=b"k" * 32, settings=settings)
    async with engine:
        session = (await engine.open("u", "o1")).session
        socket = Socket(engine)
        reader = socket.served = asyncio.create_task(socket.connection.run())
        yield engine, session, socket
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await coroutine

    asyncio.run(bounded())


@promise("P6")
def test_a_past_is_told_to_its_end_whatever_else_leaves_a_socket_that_was_full(
    tmp_path: Path,
) -> None:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.reply("x" * 90_000)

    async def main() -> None:
        async with connected(tmp_path, app) as (engine, session, socket):
            for number in range(6):
                await engine.send(session, "u", Say(id=f"m{number}", text="more"))
                while (await engine.state_of(session)).round is not None:
                    await asyncio.sleep(0)
            socket.room.clear()
            socket.put(f'{{"t":"attach","session":"{session}"}}')
            await socket.waits.wait()
            socket.put('{"t":"ping"}')
            while not any("pong" in frame for frame in socket.connection._outbox):
                await asyncio.sleep(0)
            socket.room.set()
            await socket.got('"t":"live"')

    run(main())


@promise("P2")
def test_what_a_full_socket_waits_for_is_not_ended_with_the_round_that_streams_to_it(
    tmp_path: Path,
) -> None:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        async with session.stream() as out:
            while True:
                out.write("token ")
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with connected(tmp_path, app) as (engine, session, socket):
            socket.put(f'{{"t":"attach","session":"{session}"}}')
            await socket.got('"t":"live"')
            await engine.send(session, "u", Say(id="m1", text="go"))
            await socket.got('"t":"delta"')
            socket.room.clear()
            await socket.waits.wait()
            sending = socket.connection._sending
            await engine.send(session, "u", Stop(id="s1"))
            while (await engine.state_of(session)).round is not None:
                await asyncio.sleep(0)
            socket.room.set()
            await socket.got('"status":"stopped"')
            assert sending is not None
            assert not sending.cancelled()

    run(main())


@promise("P12")
def test_a_client_that_is_told_to_go_and_does_not_read_is_left(tmp_path: Path) -> None:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.reply("x" * 90_000)

    async def main() -> None:
        limits = Limits(listener_bytes=400_000, farewell_seconds=0.05)
        async with connected(tmp_path, app, limits) as (engine, session, socket):
            socket.put(f'{{"t":"attach","session":"{session}"}}')
            await socket.got('"t":"live"')
            socket.room.clear()
            for number in range(10):
                await engine.send(session, "u", Say(id=f"m{number}", text="more"))
                while (await engine.state_of(session)).round is not None:
                    await asyncio.sleep(0)
            assert socket.served is not None
            await socket.served
            assert socket.connection._sending is None
            assert not engine._fanout.of(session)

    run(main())


def test_a_server_may_bound_its_sending_by_a_timeout(tmp_path: Path) -> None:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.reply(f"you said {message.text}")

    async def main() -> None:
        async with connected(tmp_path, app) as (engine, session, socket):
            plain = socket.connection._send

            async def bounded(message: MutableMapping[str, Any]) -> None:
                async with asyncio.timeout(10):
                    await plain(message)

            socket.connection._send = bounded
            socket.put(f'{{"t":"attach","session":"{session}"}}')
            await socket.got('"t":"live"')
            socket.room.clear()
            await engine.send(session, "u", Say(id="m1", text="one"))
            await socket.waits.wait()
            await engine.send(session, "u", Say(id="m2", text="two"))
            socket.room.set()
            await socket.got("you said two")

    run(main())
