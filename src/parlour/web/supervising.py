"""Several workers on one machine: processes that share a socket, and one that replaces the dead.

The socket is the supervisor's, so that no connection is refused while a worker is replaced. A
worker that outlives its supervisor ends by itself. Knows processes and signals, no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress

from parlour.errors import AppNotLoaded

log = logging.getLogger("parlour.web")

_WORKER = "from parlour.web.serving import serve_as_worker; serve_as_worker()"
_SOCKET, _LIFE, _READY = "PARLOUR_SOCKET", "PARLOUR_LIFE", "PARLOUR_READY"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Supervisor:
    """Keeps `count` workers at work on `listener`.

    SIGTERM and SIGINT end all of them in order, SIGHUP replaces them one after another: each has
    its successor at work before it is told to end.
    """

    def __init__(self, listener: socket.socket, count: int) -> None:
        self._listener = listener
        self._count = count
        self._stopping = asyncio.Event()
        self._turning = asyncio.Lock()
        self._turns: set[asyncio.Task[None]] = set()
        self._workers: dict[int, _Worker] = {}
        self._running: set[_Worker] = set()
        """All processes, those too that are to take a place or have left one."""

    async def run(self) -> None:
        """Return when a signal has ended it. Raises `AppNotLoaded` if no worker starts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._turn)
        self._life = os.pipe()
        places = [asyncio.create_task(self._keep(place)) for place in range(self._count)]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *places], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await asyncio.gather(*(worker.end() for worker in tuple(self._running)))
            stopping.cancel()
            found = await asyncio.gather(*places, *self._turns, return_exceptions=True)
            for end in self._life:
                os.close(end)
        for error in found:
            if isinstance(error, BaseException):
                raise error

    async def _keep(self, place: int) -> None:
        """One of the workers; another whenever it has died."""
        pause, proven = _PAUSE, False
        while not self._stopping.is_set():
            worker = self._workers.get(place)
            if worker is None or worker.over:
                worker = self._workers[place] = await self._start()
                ready = await worker.wait_until_ready()
                if not ready and not proven and not self._stopping.is_set():
                    raise AppNotLoaded("a worker could not start; what it said stands above")
                pause, proven = (_PAUSE if ready else min(2 * pause, _LONGEST_PAUSE)), True
            await worker.wait()
            if worker is not self._workers[place] or self._stopping.is_set():
                continue
            log.error("worker %d has died (%s); it is replaced", worker.id, worker.how)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _start(self) -> _Worker:
        worker = _Worker()
        await worker.start(self._listener, self._life)
        self._running = {other for other in self._running if not other.over} | {worker}
        if self._stopping.is_set():
            await worker.end()
        return worker

    def _turn(self) -> None:
        task = asyncio.create_task(self._replace_all())
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)

    async def _replace_all(self) -> None:
        async with self._turning:
            for place in range(self._count):
                if self._stopping.is_set():
                    return
                fresh = await self._start()
                if not await fresh.wait_until_ready():
                    if self._stopping.is_set():
                        return
                    log.error("a new worker could not start; the others stay")
                    await fresh.end()
                    return
                old, self._workers[place] = self._workers.get(place), fresh
                if old is not None:
                    await old.end()


class _Worker:
    """One process."""

    _process: asyncio.subprocess.Process
    _ready: int

    async def start(self, listener: socket.socket, life: tuple[int, int]) -> None:
        self._ready, told = os.pipe()
        kept = (listener.fileno(), life[0], told)
        names = (_SOCKET, _LIFE, _READY)
        given = {name: str(number) for name, number in zip(names, kept, strict=True)}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WORKER),
                env={**os.environ, **given},
                pass_fds=kept,
                # A terminal's Ctrl-C is for the supervisor, which ends them in order.
                start_new_session=True,
            )
        finally:
            os.close(told)

    @property
    def id(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        return self._process.returncode is not None

    @property
    def how(self) -> str:
        code = self._process.returncode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def wait(self) -> None:
        await self._process.wait()

    async def wait_until_ready(self) -> bool:
        """Whether it serves; False if it ends before, or takes too long."""
        loop = asyncio.get_running_loop()
        said: asyncio.Future[bool] = loop.create_future()

        def hear() -> None:
            heard = os.read(self._ready, 1)
            loop.remove_reader(self._ready)
            if not said.done():
                said.set_result(bool(heard))

        loop.add_reader(self._ready, hear)
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await said
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._ready)
            os.close(self._ready)

    async def end(self) -> None:
        """Have it end in order; at once, if it does not."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            log.warning("worker %d did not end in time; it is killed", self.id)
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def inherited() -> tuple[socket.socket, int]:
    """A worker's socket, and where it says that it serves. Ends it when its supervisor is gone."""
    life = int(os.environ.pop(_LIFE))
    threading.Thread(target=_outlive, args=(life,), daemon=True).start()
    listener = socket.socket(fileno=int(os.environ.pop(_SOCKET)))
    return listener, int(os.environ.pop(_READY))


def _outlive(life: int) -> None:
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def supervise(listener: socket.socket, count: int) -> None:
    """Run `count` workers until a signal says otherwise. Raises `AppNotLoaded`."""
    asyncio.run(Supervisor(listener, count).run())
