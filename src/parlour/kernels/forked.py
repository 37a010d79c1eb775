"""Kernels forked from a warm server: there in milliseconds, sandboxed, each a process of its own.

A kernel is not trusted: what it says is bounded, read in small pieces and only as data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

import msgspec

from parlour.errors import KernelDied, KernelFailed, KernelUnavailable
from parlour.kernels.kernel import (
    Cleared,
    Displayed,
    Ended,
    Kernel,
    Output,
    Place,
    Printed,
    Raised,
    Returned,
    Saved,
    Updated,
)
from parlour.kernels.levels import Level, choose
from parlour.kernels.pipes import Pipe
from parlour.kernels.server import ForkServer, Started
from parlour.settings import KernelSettings

log = logging.getLogger("parlour.kernels")

_PIECE = 65536
_MOST_FRAME = 80 * 1024 * 1024
_WATCH_AFTER = 0.2
_START_SECONDS = 30.0
_CLOSE_SECONDS = 10.0

Said = Printed | Displayed | Updated | Returned | Raised | Cleared | Ended


class _Other(msgspec.Struct, frozen=True):
    """An answer that is no output."""

    type: str
    reason: str = ""
    found: bool = True
    names: tuple[str, ...] = ()
    lost: dict[str, str] = {}
    bytes: int = 0
    token: str = ""


_outputs: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_others = msgspec.json.Decoder(_Other)


class ForkHost:
    """Starts kernels from a fork server, which is made when first needed and anew now and then."""

    def __init__(self, settings: KernelSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._server: ForkServer | None = None
        self._retired: list[ForkServer] = []
        self._making = asyncio.Lock()
        self._level: Level = choose(settings.sandbox)

    @property
    def level(self) -> str:
        return self._level

    async def start(self, place: Place) -> Kernel:
        kernel = ForkKernel(self, place)
        await kernel.begin()
        return kernel

    async def warm_up(self) -> ForkServer:
        """The server, when it is ready. Raises `KernelUnavailable`."""
        loop = asyncio.get_running_loop()
        async with self._making:
            server = self._server
            if server is not None and server.alive:
                if loop.time() - server.born < self._settings.recycle_seconds:
                    return server
                # What all forks share, as where things lie in memory, is drawn anew.
                self._retired.append(server)
            self._folder.mkdir(parents=True, exist_ok=True)
            server = ForkServer(self._settings, self._folder.resolve(), self._level)
            try:
                await server.open()
            except BaseException:
                await server.close()
                raise
            self._server = server
            for old in [old for old in self._retired if not old.kernels]:
                self._retired.remove(old)
                await old.close()
            return server

    async def close(self) -> None:
        servers = [*self._retired, *([] if self._server is None else [self._server])]
        self._server, self._retired = None, []
        for server in servers:
            await server.close()


class ForkKernel:
    """One forked kernel (`Kernel`)."""

    def __init__(self, host: ForkHost, place: Place) -> None:
        self._host = host
        self._place = place
        self._started: Started | None = None
        self._server: ForkServer | None = None
        self._buffer = bytearray()
        self._lock = asyncio.Lock()
        self._pipes: tuple[Pipe, ...] = ()
        self._readable: asyncio.Future[None] | None = None
        self._hung_up = False
        self._runs = False

    @property
    def alive(self) -> bool:
        started = self._started
        return started is not None and not started.ended.is_set() and not self._hung_up

    @property
    def over(self) -> str:
        return "" if self._started is None else self._started.over

    async def begin(self) -> None:
        """Fork it. Raises `KernelUnavailable`."""
        server = await self._host.warm_up()
        self._buffer.clear()
        self._hung_up = False
        started = await server.start(self._place.work.resolve(), self._place.state.resolve())
        self._server, self._started = server, started
        self._pipes = (Pipe(started.out, "stdout"), Pipe(started.err, "stderr"))
        try:
            async with asyncio.timeout(_START_SECONDS):
                frame = await self._next_frame()
        except TimeoutError:
            frame = None
        if frame is None:
            words = "".join(printed.text for printed in self._pipes[1].rest()).strip()
            await self.close()
            raise KernelUnavailable(f"a kernel did not begin: {words or 'it ended at once'}")
        for pipe in self._pipes:
            pipe.token = bytes.fromhex(_others.decode(frame).token)

    # -- one thing at a time ----------------------------------------------------------------

    async def execute(self, code: str, *, silent: bool = False) -> AsyncGenerator[Output]:
        async with self._lock:
            started, server = self._alive()
            # One that comes late is not for this cell.
            await started.settled.wait()
            started.over = ""
            self._runs = True
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_WATCH_AFTER, lambda: server.tell("watch", started, on=True))
            try:
                await self._ask({"do": "execute", "code": code, "silent": silent})
                async for output in self._outputs_of(started):
                    yield output
            finally:
                self._runs = False
                timer.cancel()
                if loop.time() >= timer.when():
                    server.tell("watch", started, on=False)

    async def _outputs_of(self, started: Started) -> AsyncGenerator[Output]:
        while True:
            await self._wait(started, pipes=True)
            if not self._fill(started):
                for printed in self._printed("rest"):
                    yield printed
                yield Ended(status="killed")
                return
            for printed in self._printed("take"):
                yield printed
            while (frame := self._frame()) is not None:
                output = _output(frame)
                last = isinstance(output, Ended)
                for printed in self._printed("rest" if last else "pass_mark"):
                    yield printed
                yield output
                if last:
                    return

    async def snapshot(self) -> Saved:
        return _saved(await self._request({"do": "snapshot"}))

    async def restore(self) -> Saved | None:
        answer = await self._request({"do": "restore"})
        return _saved(answer) if answer.found else None

    async def names(self) -> tuple[str, ...]:
        """The variables there are."""
        return (await self._request({"do": "names"})).names

    async def _request(self, request: dict[str, Any]) -> _Other:
        async with self._lock:
            self._alive()
            await self._ask(request)
            while True:
                frame = await self._next_frame()
                if frame is None:
                    raise KernelDied("the kernel ended while it worked; run the cell again")
                answer = _others.decode(frame)
                if answer.type == "failed":
                    raise KernelFailed(f"the kernel could not do it: {answer.reason}")
                if answer.type.endswith("_reply") or answer.type == "names":
                    # What the user's own code has printed meanwhile belongs to no cell.
                    self._printed("rest")
                    return answer

    # -- in between -------------------------------------------------------------------------

    async def interrupt(self) -> None:
        if self._runs and self._started is not None and self._server is not None:
            self._started.interrupts += 1
            self._started.settled.clear()
            self._server.tell("interrupt", self._started)

    async def kill(self) -> None:
        """End its processes at once; what is under way ends as killed."""
        if self._started is not None and self._server is not None:
            self._server.tell("kill", self._started)

    async def restart(self) -> None:
        await self.close()
        await self.begin()

    async def close(self) -> None:
        started, server = self._started, self._server
        if started is None or server is None:
            return
        self._started = None
        server.tell("kill", started)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await started.ended.wait()
        except TimeoutError:
            log.error("a kernel did not end when it was killed")
        loop = asyncio.get_running_loop()
        for descriptor in (started.channel.fileno(), started.out, started.err):
            if descriptor >= 0:
                loop.remove_reader(descriptor)
        server.forget(started)
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _alive(self) -> tuple[Started, ForkServer]:
        if self._started is None or self._server is None or not self.alive:
            raise KernelDied("the kernel has ended; start a new one")
        return self._started, self._server

    # -- reading and writing ----------------------------------------------------------------

    async def _ask(self, request: dict[str, Any]) -> None:
        started, _ = self._alive()
        data = msgspec.json.encode(request)
        message = len(data).to_bytes(4, "little") + data
        try:
            await asyncio.get_running_loop().sock_sendall(started.channel, message)
        except OSError as error:
            self._hung_up = True
            raise KernelDied(f"the kernel has ended ({error}); start a new one") from error

    async def _next_frame(self) -> bytes | None:
        started = self._started
        while started is not None:
            frame = self._frame()
            if frame is not None:
                return frame
            await self._wait(started, pipes=False)
            if started.channel.fileno() < 0 or not self._fill(started):
                return None
        return None

    def _frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 4:  # noqa: PLR2004 - the length itself
            return None
        size = int.from_bytes(buffer[:4], "little")
        if len(buffer) < size + 4:
            return None
        frame = bytes(buffer[4 : size + 4])
        del buffer[: size + 4]
        return frame

    def _fill(self, started: Started) -> bool:
        """Take what the kernel has sent; False if it will send no more."""
        self._hung_up = not self._take(started)
        return not self._hung_up

    def _take(self, started: Started) -> bool:
        if started.channel.fileno() < 0:
            return False
        try:
            data = started.channel.recv(16 * _PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._buffer += data
        if len(self._buffer) >= 4 and int.from_bytes(self._buffer[:4], "little") > _MOST_FRAME:  # noqa: PLR2004
            return False
        return bool(data)

    def _printed(self, how: Literal["take", "pass_mark", "rest"]) -> list[Printed]:
        return [printed for pipe in self._pipes for printed in getattr(pipe, how)()]

    async def _wait(self, started: Started, *, pipes: bool) -> None:
        """Wait until the kernel has said something, or ended."""
        if started.channel.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._readable = future
        descriptors = [started.channel.fileno()]
        if pipes:
            descriptors += [pipe.descriptor for pipe in self._pipes if not pipe.waits]

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        for descriptor in descriptors:
            loop.add_reader(descriptor, wake)
        try:
            await future
        finally:
            if started.channel.fileno() >= 0:
                for descriptor in descriptors:
                    loop.remove_reader(descriptor)


def _output(frame: bytes) -> Output:
    try:
        return _outputs.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Raised(ename="OutputUnreadable", evalue=f"an output could not be read: {error}")


def _saved(answer: _Other) -> Saved:
    return Saved(names=answer.names, lost=answer.lost, bytes=answer.bytes)
