"""The engine's end of a fork server: it starts the process, asks for kernels and hears of ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any

import msgspec

from parlour.errors import KernelUnavailable
from parlour.kernels.levels import BOOT, INSIDE, NAME, Level
from parlour.settings import KernelSettings

log = logging.getLogger("parlour.kernels")

Message = dict[str, Any]

_START_SECONDS = 60.0
_MOST_MESSAGE = 65536
_KEPT_STDERR = 4096
_MAIN = f"""
from {NAME} import zygote
zygote.main(int(sys.argv[2]))
"""
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MPLBACKEND": "agg",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}


class Started:
    """A kernel of the server, as far as the server knows of it."""

    def __init__(self, number: int, channel: socket.socket, out: int, err: int) -> None:
        self.number = number
        self.channel = channel
        self.out = out
        self.err = err
        self.over = ""
        self.code: int | None = None
        self.ended = asyncio.Event()
        self.interrupts = 0
        self.settled = asyncio.Event()
        self.settled.set()


class ForkServer:
    """One fork server. `started` kernels live in it; when it ends, they all have."""

    def __init__(self, settings: KernelSettings, folder: Path, level: Level) -> None:
        self._settings = settings
        self._folder = folder
        self._level = level
        self._loop = asyncio.get_running_loop()
        self._kernels: dict[int, Started] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._count = 0
        self._stderr = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._outgoing: deque[tuple[bytes, list[int], asyncio.Future[None]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.born = self._loop.time()
        self.gone = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._control is not None

    @property
    def kernels(self) -> int:
        return len(self._kernels)

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    async def open(self) -> None:
        """Start the process and wait until it is warm. Raises `KernelUnavailable`."""
        self._launch()
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self.ready)
        except TimeoutError:
            await self.close()
            raise KernelUnavailable(
                f"the fork server was not ready within {_START_SECONDS:g} s; leave heavy libraries "
                "out of `preload`"
            ) from None

    def _launch(self) -> None:
        python = self._settings.python or sys.executable
        if shutil.which(python) is None:
            raise KernelUnavailable(f"there is no interpreter {python}; mend `python`")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        config = {
            "level": self._level,
            "workspaces": str(self._folder),
            "network": self._settings.network,
            "preload": self._settings.preload,
            "readable": [str(Path(path).resolve()) for path in self._settings.readable],
            "limits": {
                name: getattr(self._settings, name)
                for name in (
                    "memory_bytes",
                    "shared_bytes",
                    "processes",
                    "open_files",
                    "file_bytes",
                    "workspace_bytes",
                    "cpu_seconds",
                )
            },
        }
        with theirs:
            command = [python, "-E", "-P", "-c", BOOT + _MAIN, str(INSIDE), str(theirs.fileno())]
            try:
                process = subprocess.Popen(  # noqa: S603 - the interpreter that the operator chose
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env=_ENVIRONMENT,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise KernelUnavailable(f"{python} could not be started: {error}") from error
        self._process, self._control = process, ours
        ours.send(msgspec.json.encode(config))
        ours.setblocking(False)  # noqa: FBT003 - it has no name
        self._loop.add_reader(ours, self._hear)
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        self._loop.add_reader(process.stderr, self._note)

    # -- asking -----------------------------------------------------------------------------

    async def start(self, work: Path, state: Path) -> Started:
        """A fresh kernel in two folders below the server's. Raises `KernelUnavailable`."""
        self._count += 1
        number = self._count
        mine, theirs = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        mine.setblocking(False)  # noqa: FBT003 - it has no name
        for descriptor in (out, err):
            os.set_blocking(descriptor, False)
        started = Started(number, mine, out, err)
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._kernels[number], self._waiting[number] = started, waiting
        request = {
            "do": "start",
            "id": number,
            "work": str(work.relative_to(self._folder)),
            "state": str(state.relative_to(self._folder)),
        }
        try:
            try:
                await self._put(request, [theirs.fileno(), out_end, err_end])
            finally:
                theirs.close()
                os.close(out_end)
                os.close(err_end)
            await waiting
        except BaseException:
            self._waiting.pop(number, None)
            self.forget(started)
            self.tell("kill", started)
            raise
        return started

    def tell(self, what: str, started: Started, **more: Any) -> None:
        """Have something done to a kernel, without waiting."""
        if started.number in self._kernels or what == "kill":
            self._put({"do": what, "id": started.number, **more}, [])

    def forget(self, started: Started) -> None:
        """Nobody reads what the kernel says any more."""
        if started.channel.fileno() >= 0:
            started.channel.close()
            os.close(started.out)
            os.close(started.err)

    def _put(self, message: Message, descriptors: list[int]) -> asyncio.Future[None]:
        """Send in order, as soon as there is room; the future is done when it is sent."""
        sent: asyncio.Future[None] = self._loop.create_future()
        self._outgoing.append((msgspec.json.encode(message), descriptors, sent))
        if len(self._outgoing) == 1:
            self._flush()
        return sent

    def _flush(self) -> None:
        control = self._control
        while self._outgoing and control is not None:
            data, descriptors, sent = self._outgoing[0]
            try:
                socket.send_fds(control, [data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(control, self._flush)
                return
            except OSError:
                self._end()
                return
            self._outgoing.popleft()
            if not sent.done():
                sent.set_result(None)
        if control is not None:
            self._loop.remove_writer(control)
        self._drop_outgoing()

    def _drop_outgoing(self) -> None:
        while self._control is None and self._outgoing:
            _, _, sent = self._outgoing.popleft()
            if not sent.done():
                sent.set_exception(KernelUnavailable("the fork server has ended; try again"))
                # Nobody may be waiting any more.
                sent.exception()

    # -- hearing ----------------------------------------------------------------------------

    def _hear(self) -> None:
        if self._control is None:
            return
        try:
            data = self._control.recv(_MOST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._take(msgspec.json.decode(data))

    def _take(self, message: Message) -> None:
        match message["is"]:
            case "ready":
                if message["missing"]:
                    log.info("not installed, so not preloaded: %s", ", ".join(message["missing"]))
                if not self.ready.done():
                    self.ready.set_result(None)
            case "broken":
                self._fail(str(message["why"]))
            case _:
                self._take_of_kernel(message)

    def _take_of_kernel(self, message: Message) -> None:
        match message["is"]:
            case "started":
                self._settle(message["id"], None)
            case "failed":
                why = f"no kernel could be started: {message['why']}"
                self._kernels.pop(message["id"], None)
                self._settle(message["id"], KernelUnavailable(why))
            case "interrupted":
                started = self._kernels.get(message["id"])
                if started is not None:
                    started.interrupts -= 1
                    if not started.interrupts:
                        started.settled.set()
            case "over":
                started = self._kernels.get(message["id"])
                if started is not None:
                    started.over = message["what"]
            case _:
                self._ended(self._kernels.pop(message["id"], None), message["code"])

    def _settle(self, number: int, error: Exception | None) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def _ended(self, started: Started | None, code: int | None) -> None:
        if started is not None:
            started.code = code
            started.settled.set()
            started.ended.set()

    def _note(self) -> None:
        process = self._process
        if process is None or process.stderr is None:
            return
        try:
            data = os.read(process.stderr.fileno(), 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(process.stderr)
            return
        self._stderr = (self._stderr + data)[-_KEPT_STDERR:]

    def _fail(self, why: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(KernelUnavailable(f"no fork server could be started: {why}"))
            # Nobody may be waiting any more.
            self.ready.exception()

    def _end(self) -> None:
        """The server has hung up: it is gone, and so is every kernel."""
        control, self._control = self._control, None
        if control is None:
            return
        self._loop.remove_reader(control)
        self._loop.remove_writer(control)
        control.close()
        self._note()
        told = self._stderr.decode(errors="replace").strip().splitlines()
        self._fail(told[-1] if told else "its process ended")
        self._drop_outgoing()
        for number in tuple(self._waiting):
            self._settle(number, KernelUnavailable("the fork server has ended; try again"))
        for started in self._kernels.values():
            self._ended(started, None)
        self._kernels.clear()
        self._spawn(self._reap())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # In nobody's context: it is no part of what a handler does.
        task = asyncio.Task(coroutine, loop=self._loop, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reap(self) -> None:
        process = self._process
        if process is not None:
            process.kill()
            while process.poll() is None:  # noqa: ASYNC110 - it was killed, so it is soon over
                await asyncio.sleep(0.002)
            if process.stderr is not None:
                self._loop.remove_reader(process.stderr)
                process.stderr.close()
        self.gone.set()

    async def close(self) -> None:
        """End the server and its kernels; when this returns they are gone."""
        if self._process is None:
            return
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            self._end()
        await self.gone.wait()
