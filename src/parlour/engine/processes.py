"""Other processes for steps that compute: started when first needed, each killed by itself.

Why not a library's pool: design/0007-threads-give-way.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from msgspec import Raw

from parlour.app import app_files
from parlour.engine import child as inside
from parlour.engine.frames import name_of
from parlour.engine.places import Places
from parlour.errors import NotPicklable, NotStorable, ProcessDied, StepFailed, describe
from parlour.settings import Limits

T = TypeVar("T")

_START_SECONDS = 60.0
_IDLE_SECONDS = 60.0
_REAP_SECONDS = 5.0
_FAREWELL_SECONDS = 1.0
_GUARD = (
    "the main script and the app's file are imported in it, so what runs there must stand under "
    '`if __name__ == "__main__":`'
)
_CURE = (
    "a step with process=True wants a function that stands at the top of a module, and arguments "
    "that can be pickled"
)


class Processes:
    """A bounded number of child processes. Its methods are called on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limit = limits.value_bytes
        self._turns = Places(limits.processes or os.cpu_count() or 1)
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()

    async def run(
        self, fn: Callable[..., Any], args: tuple[Any, ...], owner: object
    ) -> tuple[Raw, str]:
        """Call `fn` in a child; its result as JSON and kind. Cancelled, it kills the child.

        Raises what `fn` raises, `NotStorable`, `NotPicklable` or `ProcessDied`.
        """
        await self._turn(owner)
        try:
            answer = await self._asked(fn, args)
        finally:
            self._turns.give_back()
        return _opened(answer, name_of(fn))

    async def _asked(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> inside.Answer:
        while True:
            child = self._idle_child()
            try:
                answer = await _in_daemon(self._loop, lambda: child.ask(fn, args, self._limit))  # noqa: B023
            except NotPicklable:
                self._keep(child)
                raise
            except _NotBegun:
                # It was dying while it was idle; another does it.
                self._kill(child)
            except BaseException:
                self._kill(child)
                raise
            else:
                self._keep(child)
                return answer

    async def _turn(self, owner: object) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()

        def go() -> bool:
            if not turn.cancelled():
                turn.set_result(None)
            return not turn.cancelled()

        self._turns.take(owner, go)
        try:
            await turn
        except asyncio.CancelledError:
            if not self._turns.withdraw(owner, go) and not turn.cancelled():
                self._turns.give_back()
            raise

    def _idle_child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.timer is not None:
                child.timer.cancel()
            if child.alive:
                return child
            self._kill(child)
        child = _Child()
        self._children.add(child)
        return child

    def _keep(self, child: _Child) -> None:
        child.timer = self._loop.call_later(_IDLE_SECONDS, self._retire, child)
        self._idle.append(child)

    def _retire(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            self._kill(child)

    def _kill(self, child: _Child) -> None:
        """End it at once; it is not forgotten before it is gone."""
        child.kill()
        gone = _in_daemon(self._loop, child.reap)
        gone.add_done_callback(lambda _: self._children.discard(child))

    async def close(self, seconds: float) -> None:
        """End all children; return when they are gone, or `seconds` have passed."""
        for child in self._idle:
            if child.timer is not None:
                child.timer.cancel()
        self._idle.clear()
        children = tuple(self._children)
        for child in children:
            child.kill()
        if children:
            await asyncio.wait(
                [_in_daemon(self._loop, child.reap) for child in children], timeout=seconds
            )
        self._children.clear()


class _NotBegun(Exception):
    """A process that had been idle died before it did anything of what it was asked."""


class _Child:
    """One process. `ask` and `reap` block, in any thread; `kill` does not."""

    starting = threading.Lock()

    def __init__(self) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._killed = False

    @property
    def alive(self) -> bool:
        """Whether one that is idle can be asked: it says nothing unasked, unless it has ended."""
        if self._process is None or self._connection is None:
            return not self._killed
        return self._process.is_alive() and not self._connection.poll()

    def ask(self, fn: Callable[..., Any], args: tuple[Any, ...], limit: int) -> inside.Answer:
        """Have `fn` called there, and wait. Raises `NotPicklable` and `ProcessDied`."""
        request = pickle.dumps(inside.Request(_pickled(fn, args), app_files(), limit))
        was_idle = self._connection is not None
        connection = self._connection or self._start()
        begun = False
        try:
            connection.send_bytes(request)
            begun = connection.recv_bytes() == inside.BEGUN
            answer: inside.Answer = pickle.loads(connection.recv_bytes())  # noqa: S301 - our child
        except (EOFError, OSError):
            if was_idle and not begun:
                raise _NotBegun from None
            raise ProcessDied(
                f"the process that ran {name_of(fn)} {self._end()} before it was done"
            ) from None
        return answer

    def _start(self) -> Connection:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=inside.serve, args=(theirs,), name="parlour-step", daemon=True
        )
        try:
            with self.starting:
                process.start()
        except (RuntimeError, OSError, AssertionError) as error:
            ours.close()
            raise ProcessDied(f"no process could be started ({error}); {_GUARD}") from None
        finally:
            theirs.close()
        with self._lock:
            self._process, self._connection = process, ours
            if self._killed:
                process.kill()
        try:
            begun = ours.poll(_START_SECONDS) and ours.recv_bytes() == inside.READY
        except (EOFError, OSError):
            begun = False
        if not begun:
            raise ProcessDied(f"the process for a step {self._end()} while it started; {_GUARD}")
        return ours

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def reap(self) -> None:
        """Wait for the end of one that was killed, and leave nothing of it."""
        with self._lock:
            process, connection = self._process, self._connection
        if process is not None:
            process.join(_REAP_SECONDS)
        if connection is not None:
            connection.close()

    def _end(self) -> str:
        """How it ended, in words; it is ended if it has only broken off the connection."""
        assert self._process is not None
        self._process.join(_FAREWELL_SECONDS)
        code = self._process.exitcode
        self.kill()
        self.reap()
        if code is None:
            return "did not answer"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"was ended by signal {-code}"
        memory = ", as when memory runs out," if name == "SIGKILL" else ""
        return f"was ended by {name}{memory}"


def _pickled(fn: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps((fn, args))
    except Exception as error:  # noqa: BLE001 - a class may do anything when it is pickled
        reason = describe(error)
    raise NotPicklable(
        f"{name_of(fn)} cannot be called in another process ({reason}); {_CURE}: no lambda, no "
        "function inside of another one, no connection"
    )


def _opened(answer: inside.Answer, name: str) -> tuple[Raw, str]:
    match answer:
        case inside.Returned():
            return Raw(answer.value), answer.kind
        case inside.Unstorable():
            raise NotStorable(answer.reason)
        case inside.Unreadable():
            raise NotPicklable(
                f"{name} cannot be called in another process ({answer.reason}); {_CURE}, in a "
                "module that can be imported there"
            )
        case inside.Raised():
            error = _error(answer, name)
            error.add_note(f"in the process of the step:\n{answer.trace}")
            raise error


def _error(answer: inside.Raised, name: str) -> Exception:
    if answer.error:
        with contextlib.suppress(Exception):
            error = pickle.loads(answer.error)  # noqa: S301 - from our child
            if isinstance(error, Exception):
                return error
    return StepFailed(name, answer.type, answer.reason)


def _in_daemon(loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> asyncio.Future[T]:
    """Run a blocking call in a thread that keeps nobody waiting at the end."""
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result = error = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001 - whoever awaits it gets it
            error = raised
        # If the loop has ended meanwhile, nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="parlour-process", daemon=True).start()
    return future
