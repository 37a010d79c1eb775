"""The kernels of all sessions of an engine: one each, brought up when wanted, put to rest when not.

What a session's variables are outlives its kernel: they are kept on the disk and brought back into
a fresh one. Whatever a cell does to its kernel, the next cell has one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from parlour.errors import KernelDied, KernelError, KernelFailed, KernelUnavailable
from parlour.kernels.cell import Collector, Run
from parlour.kernels.kernel import Ended, Kernel, KernelFactory, KernelHost, Place, Saved, Status
from parlour.kernels.workspace import Mark, changed, marks, put
from parlour.settings import KernelSettings

log = logging.getLogger("parlour.kernels")

_FLOOD_PAUSE = 0.02
_SAVE_SECONDS = 60.0
_OVER: dict[str, tuple[Status, str]] = {
    "memory": (
        "out_of_memory",
        "it used more memory than a kernel may have ({memory_bytes:,} bytes)",
    ),
    "cpu": ("out_of_cpu", "it used more processor time than a cell may have ({cpu_seconds:g} s)"),
    "processes": (
        "too_many_processes",
        "it started more processes than a kernel may have ({processes})",
    ),
    "workspace": (
        "workspace_full",
        "its files take more room than a workspace has ({workspace_bytes:,} bytes); remove some",
    ),
}


class Input(Struct, frozen=True):
    """A file to lie in the workspace when a cell begins."""

    name: str
    path: Path


class _Seat:
    """One session's kernel, or its place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.kernel: Kernel | None = None
        self.turn = asyncio.Lock()
        self.used = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.running: asyncio.Task[Run] | None = None
        self.lost: dict[str, str] = {}
        self.kept: Mark | None = None
        """What is kept of its variables, as this engine knows it."""


class _Wanted(NamedTuple):
    """A cell to run. `stop` is set when nobody wants its end any more."""

    code: str
    files: Sequence[Input]
    seconds: float
    live: Callable[[str], None]
    stop: asyncio.Event


class Kernels:
    """One kernel for each session that wants one. `folder` is where the sessions' folders are."""

    def __init__(
        self,
        factory: KernelFactory,
        settings: KernelSettings,
        place_of: Callable[[str], Place],
        folder: Callable[[], Path],
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._place_of = place_of
        self._folder = folder
        self._host: KernelHost | None = None
        self._making = asyncio.Lock()
        self._seats: dict[str, _Seat] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def live(self) -> int:
        """How many kernels there are."""
        return sum(seat.kernel is not None for seat in self._seats.values())

    def place(self, session: str) -> Place:
        """A session's folders, which exist when this returns."""
        place = self._place_of(session)
        for folder in (place.work, place.state):
            folder.mkdir(parents=True, exist_ok=True)
        return place

    # -- cells ------------------------------------------------------------------------------

    async def run(
        self,
        session: str,
        code: str,
        *,
        files: Sequence[Input] = (),
        seconds: float | None = None,
        live: Callable[[str], None] = lambda _: None,
    ) -> Run:
        """Run a cell; cancelled, it ends the cell and leaves the session's kernel usable.

        Raises `KernelUnavailable` where no kernel can be had.
        """
        seat = await self._seat(session)
        stop = asyncio.Event()
        wanted = _Wanted(code, files, seconds or self._settings.cell_seconds, live, stop)
        # In nobody's context: it outlives whoever wants it, until its kernel is free again.
        task = asyncio.create_task(self._run(seat, wanted), context=Context())
        seat.running = task
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The cell's own task goes on until the kernel is free again; the next one waits.
            stop.set()
            raise

    async def _seat(self, session: str) -> _Seat:
        if self._closed:
            raise KernelUnavailable("the engine stops; run the cell again later")
        seat = self._seats.get(session)
        if seat is None:
            seat = self._seats[session] = _Seat(await asyncio.to_thread(self.place, session))
        return seat

    async def _run(self, seat: _Seat, wanted: _Wanted) -> Run:
        async with seat.turn:
            if wanted.stop.is_set():
                return _nothing("interrupted")
            self._busy(seat)
            try:
                kernel, fresh, restored = await self._ready(seat)
                for file in wanted.files:
                    await asyncio.to_thread(put, seat.place.work, file.name, file.path)
                before = await asyncio.to_thread(marks, seat.place.work)
                loop = asyncio.get_running_loop()
                began = loop.time()
                collector = Collector(
                    most_printed=self._settings.output_bytes,
                    most_displayed=self._settings.display_bytes,
                    live=wanted.live,
                )
                ended = await self._watched(kernel, collector, wanted)
                took = loop.time() - began
                await self._after(seat, kernel)
                written = await self._written(seat, before)
            finally:
                self._rest_later(seat)
            lost, seat.lost = seat.lost, {}
            return Run(
                ended=ended,
                outputs=collector.outputs(),
                cut=collector.cut,
                seconds=round(took, 3),
                fresh=fresh,
                restored=restored,
                lost=lost,
                written=written,
            )

    async def _written(self, seat: _Seat, before: dict[str, Mark]) -> list[str]:
        return changed(before, await asyncio.to_thread(marks, seat.place.work))

    async def _ready(self, seat: _Seat) -> tuple[Kernel, bool, tuple[str, ...]]:
        """The seat's kernel, whether it is fresh, and the variables that were brought back."""
        kept = await asyncio.to_thread(_kept_in, seat.place)
        if seat.kernel is not None and seat.kernel.alive and kept == seat.kept:
            return seat.kernel, False, ()
        # Where another worker has had the session meanwhile, its variables are the newer ones.
        seat.kept = kept
        if seat.kernel is not None:
            await seat.kernel.close()
            seat.kernel = None
        await self._make_room(seat)
        kernel = await (await self._get_host()).start(seat.place)
        try:
            found = await self._restored(kernel)
        except KernelDied:
            # What it had kept kills it: it is left as it is, and the kernel begins with nothing.
            await kernel.restart()
            found = Saved(lost={"*": "the saved variables could not be loaded"})
        except BaseException:
            await kernel.close()
            raise
        seat.kernel = kernel
        if found is None:
            return kernel, True, ()
        seat.lost.update(found.lost)
        return kernel, True, found.names

    async def _restored(self, kernel: Kernel) -> Saved | None:
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                return await kernel.restore()
        except TimeoutError:
            raise KernelDied("the saved variables took too long to load") from None
        except KernelFailed as error:
            return Saved(lost={"*": str(error)})

    async def _watched(self, kernel: Kernel, collector: Collector, wanted: _Wanted) -> Ended:
        """Run a cell and see that it ends: it is interrupted, and killed if that does not help."""
        why: list[tuple[Status, str]] = []

        async def see_to_the_end() -> None:
            why.append(await self._reason_to_end(kernel, wanted))
            await kernel.interrupt()
            await asyncio.sleep(self._settings.interrupt_seconds)
            await self._kill(kernel)

        watcher = asyncio.create_task(see_to_the_end())
        try:
            ended = await self._collect(kernel, wanted.code, collector)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        over = kernel.over
        if over in _OVER and (ended.status != "ok" or why):
            status, reason = _OVER[over]
            settings = self._settings
            why[:0] = [(status, reason.format(**{n: getattr(settings, n) for n in _NAMES}))]
        return _ended(ended, why)

    async def _collect(self, kernel: Kernel, code: str, collector: Collector) -> Ended:
        ended = Ended(status="killed")
        async for output in kernel.execute(code):
            if isinstance(output, Ended):
                ended = output
                continue
            collector.take(output)
            if collector.flooded:
                # Nobody reads this much: whoever writes it is slowed down.
                await asyncio.sleep(_FLOOD_PAUSE)
        return ended

    async def _reason_to_end(self, kernel: Kernel, wanted: _Wanted) -> tuple[Status, str]:
        loop, seconds = asyncio.get_running_loop(), wanted.seconds
        end = loop.time() + seconds
        while loop.time() < end:
            if kernel.over:
                return "interrupted", ""
            try:
                async with asyncio.timeout(min(0.25, max(0.0, end - loop.time()))):
                    await wanted.stop.wait()
            except TimeoutError:
                continue
            return "interrupted", "it was stopped"
        return "timeout", f"it ran longer than a cell may ({seconds:g} s)"

    async def _kill(self, kernel: Kernel) -> None:
        kill = getattr(kernel, "kill", kernel.close)
        await kill()

    async def _after(self, seat: _Seat, kernel: Kernel) -> None:
        """Keep the variables, or account for a kernel that is gone."""
        if not kernel.alive:
            await kernel.close()
            seat.kernel = None
            seat.lost["*"] = "the kernel has ended; what was changed since the last cell is gone"
            return
        if self._settings.checkpoint == "cell":
            await self._save(seat, kernel)

    async def _save(self, seat: _Seat, kernel: Kernel) -> None:
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                saved = await kernel.snapshot()
        except TimeoutError:
            await self._kill(kernel)
            seat.lost["*"] = "the variables took too long to be saved; the kernel was ended"
        except KernelError as error:
            seat.lost["*"] = str(error)
        else:
            seat.lost.update(saved.lost)
            seat.kept = await asyncio.to_thread(_kept_in, seat.place)

    # -- coming and going -------------------------------------------------------------------

    async def warm_up(self) -> None:
        """Have everything ready for the first kernel. Raises `KernelUnavailable`."""
        host = await self._get_host()
        warm = getattr(host, "warm_up", None)
        if warm is not None:
            await warm()

    async def _get_host(self) -> KernelHost:
        async with self._making:
            if self._host is None:
                self._host = await asyncio.to_thread(self._factory, self._settings, self._folder())
            return self._host

    async def _make_room(self, seat: _Seat) -> None:
        """Put the kernel to rest that was used longest ago, if there are too many."""
        while self.live >= self._settings.live:
            others = [
                other
                for other in self._seats.values()
                if other is not seat and other.kernel is not None and not other.turn.locked()
            ]
            if not others:
                raise KernelUnavailable(
                    f"all {self._settings.live} kernels are at work; try again in a moment"
                )
            await self._rest(min(others, key=lambda other: other.used))

    def _busy(self, seat: _Seat) -> None:
        seat.used = asyncio.get_running_loop().time()
        if seat.timer is not None:
            seat.timer.cancel()
            seat.timer = None

    def _rest_later(self, seat: _Seat) -> None:
        loop = asyncio.get_running_loop()
        seat.used = loop.time()
        if seat.timer is not None:
            seat.timer.cancel()
        seat.timer = loop.call_later(
            self._settings.idle_seconds, lambda: self._spawn(self._rest(seat))
        )

    async def _rest(self, seat: _Seat) -> None:
        """End a kernel that does nothing; its variables are kept."""
        async with seat.turn:
            kernel = seat.kernel
            if kernel is None:
                return
            if kernel.alive and self._settings.checkpoint == "rest":
                await self._save(seat, kernel)
            seat.kernel = None
            await kernel.close()

    async def restart(self, session: str) -> None:
        """Forget a session's variables; its files stay."""
        seat = await self._seat(session)
        async with seat.turn:
            if seat.kernel is not None:
                await seat.kernel.close()
                seat.kernel = None
            saved = seat.place.state / "variables"
            await asyncio.to_thread(saved.unlink, missing_ok=True)
            seat.kept = None
            seat.lost.clear()

    async def release(self, session: str) -> None:
        """End a session's kernel, whatever it does; its files stay."""
        seat = self._seats.pop(session, None)
        if seat is None:
            return
        if seat.timer is not None:
            seat.timer.cancel()
        if seat.kernel is not None:
            await self._kill(seat.kernel)
        async with seat.turn:
            if seat.kernel is not None:
                await seat.kernel.close()
                seat.kernel = None
            if seat.timer is not None:
                seat.timer.cancel()

    async def close(self) -> None:
        """End all kernels; those that do nothing keep their variables."""
        self._closed = True
        for seat in tuple(self._seats.values()):
            if self._settings.checkpoint == "rest" and not seat.turn.locked():
                await self._rest(seat)
        await asyncio.gather(*(self.release(session) for session in tuple(self._seats)))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._host is not None:
            await self._host.close()
            self._host = None

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._keep(asyncio.create_task(coroutine, context=Context()))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(task.exception(), Exception):
            log.debug("a kernel's task ended: %s", task.exception())


def _kept_in(place: Place) -> Mark | None:
    try:
        about = (place.state / "variables").lstat()
    except OSError:
        return None
    return Mark(about.st_size, about.st_mtime_ns, about.st_ino)


_NAMES = ("memory_bytes", "cpu_seconds", "processes", "workspace_bytes")


def _nothing(status: Status) -> Run:
    return Run(
        ended=Ended(status=status),
        outputs=[],
        cut=0,
        seconds=0.0,
        fresh=False,
        restored=(),
        lost={},
        written=[],
    )


def _ended(ended: Ended, why: Sequence[tuple[Status, str]]) -> Ended:
    """How a cell ended, in the words of who ended it."""
    if why and ended.status in ("interrupted", "killed", "error", "out_of_memory"):
        status, reason = why[0]
    elif ended.status == "killed":
        status, reason = "killed", "its kernel ended before it did"
    elif ended.status == "out_of_memory":
        status, reason = ended.status, f"memory ran out. {ended.reason}".strip()
    else:
        status, reason = ended.status, ended.reason
    return Ended(status=status, reason=reason, execution_count=ended.execution_count)
