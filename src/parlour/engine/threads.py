"""Plain functions beside the event loop: into a worker thread, and from there back to the loop.

A thread has a place while it works and gives it up while it waits for the loop, so that however
many functions wait, for a user or for one another, others go on. The threads are daemons: a
function that never returns is left behind and does not keep the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Raw

from parlour.engine.frames import Place, app_place, name_of, stack_of
from parlour.engine.places import Places
from parlour.engine.scope import Driven, current_scope, hide
from parlour.errors import LimitExceeded, RoundDropped, RoundStopped, WrongThread
from parlour.settings import Limits

if TYPE_CHECKING:
    from parlour.engine.processes import Processes

log = logging.getLogger("parlour.engine")
T = TypeVar("T")

_AGAIN = 0.02
_TOLD = 3
_WARN_EVERY = 60.0


class Owner(Protocol):
    """Whose function it is: one run of a round. Those that want threads get them in turn."""

    @property
    def session_id(self) -> str: ...


class Job(Generic[T]):
    """One call in a thread. `rest` lets a handler that only waits leave its thread, if it can."""

    __slots__ = (
        "call",
        "context",
        "error",
        "future",
        "left",
        "owner",
        "placed",
        "rest",
        "result",
        "start",
        "stopped",
        "tasks",
        "thread",
        "timer",
    )

    def __init__(
        self,
        call: Callable[[], T],
        owner: Owner,
        rest: Callable[[], bool] | None,
        future: asyncio.Future[T],
        start: Callable[[Job[Any]], bool],
    ) -> None:
        self.call = call
        self.owner = owner
        self.rest = rest
        self.future = future
        self.context = copy_context()
        self.context.run(current_job.set, self)
        self.start = partial(start, self)
        self.thread: int | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        self.placed = self.stopped = self.left = False
        self.timer: asyncio.TimerHandle | None = None
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """In its thread."""
        self.thread = threading.get_ident()
        if self.stopped:
            return
        try:
            self.result = self.context.run(self.call)
        except StopIteration as error:
            # A future cannot carry it: whoever awaits it would take it for its own end.
            self.error = RuntimeError(f"{name_of(self.call)} raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            self.error = error

    def settle(self) -> None:
        """On the loop."""
        if self.timer is not None:
            self.timer.cancel()
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


current_job: ContextVar[Job[Any] | None] = ContextVar("parlour_job", default=None)


class _Thread(threading.Thread):
    """Runs one job after another. A daemon, so that the process may end without it."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(name="parlour-plain", daemon=True)
        self.jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._bridge = bridge

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run()
            again = self._bridge.ended(self, job)
            del job
            if not again:
                return


class Bridge:
    """Threads, and the loop they serve; to be made on the loop's own thread.

    `limits.threads` work at a time, the rest waits for its turn. Beside them as many plain handlers
    as `limits.waiting_threads` may stand still in a call; when more come, those that wait for the
    user or the time leave memory at once. The context of whoever calls goes along both ways, so
    that effects find their place.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._limits = limits
        self._turns = Places(limits.threads)
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []
        self._jobs: set[Job[Any]] = set()
        self._handlers: set[Job[Any]] = set()
        self._standing: dict[Job[Any], None] = {}
        self._lobby: dict[Job[Any], None] = {}
        self._left = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._posted: set[Future[Any]] = set()
        self._relieving: asyncio.TimerHandle | None = None
        self._warned = -_WARN_EVERY
        self._closed = False
        self._empty = asyncio.Event()
        self._processes: Processes | None = None

    @property
    def waiting(self) -> int:
        """How many rounds wait for a thread."""
        return self._turns.waiting + len(self._lobby)

    @property
    def full(self) -> bool:
        """Whether so many wait that no more should be begun."""
        return self.waiting > self._limits.rounds_without_thread

    def places(self) -> list[Place]:
        """Where the plain functions that work just now stand; from any thread."""
        working = [job for job in tuple(self._jobs) if job.placed]
        found = [app_place(stack_of(job.thread)) for job in working[:_TOLD]]
        return [place for place in found if place is not None]

    # -- from the loop ----------------------------------------------------------------------

    async def into(
        self, call: Callable[[], T], owner: Owner, *, rest: Callable[[], bool] | None = None
    ) -> T:
        """Run `call` in a thread and await its result.

        `rest` makes it a handler: it is told to leave its thread, if it can, when others need it.
        If the awaiting task is cancelled, `call` ends at its next way back to the loop. Raises
        `LimitExceeded` if too many calls of this owner wait already.
        """
        if self._closed:
            raise RoundDropped("the engine stops")
        if self._turns.waiting_of(owner) >= self._limits.records_per_round:
            raise LimitExceeded(
                f"{self._limits.records_per_round:,} plain functions of this round wait for a "
                "thread; split the work into several rounds"
            )
        job: Job[T] = Job(call, owner, rest, self._loop.create_future(), self._start)
        self._jobs.add(job)
        if rest is None:
            self._place(job)
        else:
            self._lobby[job] = None
            self._admit()
        try:
            return await job.future
        except asyncio.CancelledError:
            if job in self._jobs:
                self._stop(job)
            raise

    async def in_process(
        self, fn: Callable[..., Any], args: tuple[Any, ...], owner: Owner
    ) -> tuple[Raw, str]:
        """Run a plain function in a process; its result as JSON and kind."""
        if self._closed:
            raise RoundDropped("the engine stops")
        if self._processes is None:
            from parlour.engine.processes import Processes

            self._processes = Processes(self._loop, self._limits)
        return await self._processes.run(fn, args, owner)

    def _admit(self) -> None:
        """Let handlers in while there is room for them; if there is none, make some."""
        room = self._limits.threads + self._limits.waiting_threads
        while self._lobby and len(self._handlers) < room:
            job = next(iter(self._lobby))
            del self._lobby[job]
            self._handlers.add(job)
            self._place(job)
        if self._lobby and self._relieving is None:
            self._relieving = self._loop.call_later(0, self._relieve)

    def _relieve(self) -> None:
        """Handlers wait outside: let as many that only wait for the user leave memory."""
        self._relieving = None
        wanted = len(self._lobby)
        for job in tuple(self._standing):
            if not wanted:
                break
            if job.rest is not None and not job.stopped and job.rest():
                wanted -= 1
        if self._lobby:
            self._warn()
            self._relieving = self._loop.call_later(_AGAIN, self._relieve)

    def _place(self, job: Job[Any]) -> None:
        self._turns.take(job.owner, job.start)
        if self._turns.waiting:
            self._warn()

    def _warn(self) -> None:
        now = self._loop.time()
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            log.warning(
                "%d rounds wait for a thread: %d plain functions work and %d wait in a call; "
                "make handlers `async def`, or raise limits.threads and limits.waiting_threads",
                self.waiting,
                self._limits.threads,
                len(self._standing),
            )

    def _stop(self, job: Job[Any]) -> None:
        """Nobody waits for this call any more."""
        job.stopped = True
        if job in self._lobby or self._turns.withdraw(job.owner, job.start):
            self._lobby.pop(job, None)
            self._forget(job)
            return
        for task in tuple(job.tasks):
            task.cancel()
        job.timer = self._loop.call_later(self._limits.stop_seconds, self._leave_behind, job)

    def _leave_behind(self, job: Job[Any]) -> None:
        """A stopped function still runs: tell where, and let another have its place.

        Only as many as there are threads get that, so that their number stays bounded.
        """
        if job.left or job not in self._jobs:
            return
        job.left = True
        place = app_place(stack_of(job.thread))
        log.warning(
            "session %s: the plain function %s was stopped and still runs at %s; its thread is "
            "left behind",
            job.owner.session_id[:8],
            name_of(job.call),
            place or "an unknown place",
        )
        if self._left < self._limits.threads:
            self._left += 1
            self._handlers.discard(job)
            self._give_place_back(job)
            self._admit()

    def _settle(self, job: Job[Any]) -> None:
        job.settle()
        self._forget(job)

    def _forget(self, job: Job[Any]) -> None:
        self._jobs.discard(job)
        if job.left:
            self._left = max(0, self._left - 1)
        self._handlers.discard(job)
        if self._closed:
            if not self._jobs:
                self._empty.set()
        elif self._lobby:
            self._admit()

    # -- in a thread ------------------------------------------------------------------------

    def back(self, call: Callable[[], T]) -> T:
        """From a thread: run `call` on the loop and wait for its result."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - the thread gets it
                _fail(future, error)
            else:
                _give(future, result)

        self._check_thread(current_job.get())
        return self._post(run, future)

    def back_and_wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """From a thread: await what `call` gives on the loop, and wait for its result.

        It belongs to the job of this thread: if that is stopped, it is cancelled.
        """
        job = current_job.get()
        self._check_thread(job)
        own = job if job is not None and job.thread == threading.get_ident() else None
        future: Future[T] = Future()

        async def run() -> None:
            try:
                scope = current_scope.get()
                result = await (call() if scope is None else Driven(call(), scope))
            except asyncio.CancelledError as error:
                stopped = job is not None and job.stopped
                _fail(future, RoundStopped("the function was stopped") if stopped else error)
            except BaseException as error:  # noqa: BLE001 - the thread gets it
                _fail(future, error)
            else:
                _give(future, result)

        def begin() -> None:
            if self._closed or (job is not None and job.stopped):
                _fail(future, RoundStopped("the function was stopped"))
                return
            task = asyncio.Task(run(), loop=self._loop)
            hide(task)
            tasks = self._tasks if job is None else job.tasks
            tasks.add(task)
            if own is not None:
                self._standing[own] = None
            task.add_done_callback(partial(self._awaited, tasks, own, future))

        if own is not None:
            self._give_place_back(own)
        try:
            return self._post(begin, future)
        finally:
            if own is not None:
                self._take_place_again(own)

    def _awaited(
        self,
        tasks: set[asyncio.Task[Any]],
        own: Job[Any] | None,
        future: Future[Any],
        task: asyncio.Task[Any],
    ) -> None:
        tasks.discard(task)
        if own is not None:
            self._standing.pop(own, None)
        # A task that is cancelled before its first turn has told nobody.
        _fail(future, RoundStopped("the function was stopped"))

    def _check_thread(self, job: Job[Any] | None) -> None:
        if threading.get_ident() == self._loop_thread:
            raise WrongThread(
                "a BlockingSession was used on the event loop's own thread, where waiting would "
                "stop every session; use it in the plain handler that it was given to, and in "
                "`async def` functions the Session of an `async def` handler"
            )
        if job is not None and job.stopped:
            raise RoundStopped("the function was stopped")

    def _post(self, call: Callable[[], None], future: Future[T]) -> T:
        self._posted.add(future)
        try:
            if self._closed:
                raise RoundDropped("the engine stops")
            try:
                self._loop.call_soon_threadsafe(call)
            except RuntimeError:
                raise RoundDropped("the engine stops") from None
            return future.result()
        finally:
            self._posted.discard(future)

    def ended(self, thread: _Thread, job: Job[Any]) -> bool:
        """The job is done: tell the loop, and let the next one have the place."""
        with self._lock:
            again = not self._closed and len(self._idle) < self._limits.threads
            if again:
                self._idle.append(thread)
        # If the loop has ended before the function did, nobody waits for it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, job)
        self._give_place_back(job)
        return again

    # -- places -----------------------------------------------------------------------------

    def _start(self, job: Job[Any]) -> bool:
        """Its turn has come, in whichever thread that is found."""
        if job.stopped:
            return False
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        job.placed = True
        if thread is None:
            thread = _Thread(self)
            try:
                thread.start()
            except RuntimeError as error:
                job.placed = False
                job.error = LimitExceeded(f"no thread can be started ({error})")
                self._loop.call_soon_threadsafe(self._settle, job)
                return False
        thread.jobs.put(job)
        return True

    def _give_place_back(self, job: Job[Any]) -> None:
        with self._lock:
            had, job.placed = job.placed, False
        if had:
            self._turns.give_back()

    def _take_place_again(self, job: Job[Any]) -> None:
        """In the job's thread: go on when there is a place."""
        turn = threading.Event()

        def go() -> bool:
            job.placed = True
            turn.set()
            return True

        self._turns.take(job.owner, go)
        turn.wait()

    # -- the end ----------------------------------------------------------------------------

    async def close(self, seconds: float) -> None:
        """End what still runs, in `seconds`; threads that do not end are left behind."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for thread in idle:
            thread.jobs.put(None)
        if self._relieving is not None:
            self._relieving.cancel()
        for job in tuple(self._jobs):
            if not job.stopped:
                self._stop(job)
            if job.timer is not None:
                job.timer.cancel()
            job.future.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        self._turns.open()
        ends = [] if self._processes is None else [self._processes.close(seconds)]
        await asyncio.gather(self._emptied(seconds, tasks), *ends)
        for job in tuple(self._jobs):
            self._leave_behind(job)
        for future in tuple(self._posted):
            _fail(future, RoundDropped("the engine stops"))

    async def _emptied(self, seconds: float, tasks: tuple[asyncio.Task[Any], ...]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if tasks:
                    await asyncio.wait(tasks)
                if self._jobs:
                    await self._empty.wait()


def _give(future: Future[T], result: T) -> None:
    # The bridge may have given up waiting for it.
    if not future.done():
        future.set_result(result)


def _fail(future: Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
