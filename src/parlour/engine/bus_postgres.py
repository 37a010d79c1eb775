"""The bus that needs no other server: PostgreSQL's LISTEN and NOTIFY, on two connections.

What one turn of the loop has to say is one statement, after the commit it tells of: a NOTIFY within
a commit would make all commits of all workers wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from parlour.stores.postgres.server import FAILURES, Connection, connect, shown

log = logging.getLogger("parlour.engine")

_SECONDS = 5.0
_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LOOK_SECONDS = 10.0
_NOTIFY = "SELECT pg_notify(n.channel, n.text) FROM unnest($1::text[], $2::text[]) n(channel, text)"


class PostgresBus:
    """NOTIFY on the server at `address`, which need not be that of the store."""

    most = 7900

    def __init__(self, address: str) -> None:
        self._address = address
        self._channels: Sequence[str] = ()
        self._receive: Callable[[str], None] | None = None
        self._listening: Connection = None
        self._speaking: Connection = None
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self.up = False

    async def open(self, channels: Sequence[str], receive: Callable[[str], None]) -> None:
        self._channels, self._receive = channels, receive
        with contextlib.suppress(*FAILURES):
            await self._connect()
        self._task = asyncio.create_task(self._keep(), name="parlour-bus")

    async def publish(self, notes: Sequence[tuple[str, str]]) -> None:
        connection = self._speaking
        if connection is None:
            return
        try:
            await connection.execute(
                _NOTIFY, [channel for channel, _ in notes], [text for _, text in notes]
            )
        except FAILURES as error:
            self._fail(error)

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._disconnect()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, and look whether it is."""
        pause = _PAUSE
        while True:
            if not self.up:
                try:
                    await self._connect()
                    pause = _PAUSE
                except FAILURES as error:
                    log.debug("the bus cannot be reached: %s", type(error).__name__)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                try:
                    await self._listening.execute("SELECT 1")
                except FAILURES as error:
                    self._fail(error)

    async def _connect(self) -> None:
        await self._disconnect()
        self._lost.clear()
        self._listening = await self._dial()
        self._listening.add_termination_listener(self._terminated)
        for channel in self._channels:
            await self._listening.add_listener(channel, self._notified)
        self._speaking = await self._dial()
        self.up = True

    async def _dial(self) -> Connection:
        # What it says is not kept, so nobody waits for the disk.
        return await connect(self._address, _SECONDS, synchronous_commit="off")

    async def _disconnect(self) -> None:
        self.up = False
        for connection in (self._listening, self._speaking):
            if connection is not None:
                connection.terminate()
        self._listening = self._speaking = None

    def _notified(self, _: object, __: int, ___: str, text: str) -> None:
        if self._receive is not None:
            self._receive(text)

    def _terminated(self, connection: object) -> None:
        if connection is self._listening:
            self._fail(ConnectionResetError())

    def _fail(self, error: BaseException) -> None:
        if self.up:
            log.warning(
                "the bus %s is lost (%s); until it is back workers look into the store each second",
                shown(self._address),
                type(error).__name__,
            )
        self.up = False
        self._lost.set()
