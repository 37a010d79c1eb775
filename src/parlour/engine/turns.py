"""Whose turn it is where a round has branches: one goes on at a time, in an order that is kept.

Branches may share what the journal knows nothing of: local variables, a list, an `asyncio.Event`.
A replay gives the same only if the code between the waits runs in the same order. So whoever has
waited goes on in its turn: when all the others have come to a wait of their own, and in the order
in which the ends of the waits stand in the log. That order is the same live and in a replay.

A round without branches has no turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, cast

from parlour.engine.scope import hide
from parlour.errors import Diverged

if TYPE_CHECKING:
    from parlour.engine.run import Run

T = TypeVar("T")

_STILL = 5
"""Turns of the loop in which no branch moves before all are taken to wait.

The end of a task reaches whoever waits for it after two or three, through `asyncio`'s callbacks.
"""
_PATIENCE = 1000
"""Turns of the loop after which a branch that never stands still is not waited for any more."""
_LOOK_AGAIN = 0.01


class Turn:
    """Somebody waits to go on.

    `place` is where in the log the end of its wait stands, 0 while that is not known. `ready` says
    that the wait is over; `act` is done when it goes on, `held` that it has not begun anything.
    """

    __slots__ = ("act", "future", "held", "path", "place", "ready")

    def __init__(self, future: asyncio.Future[Any], *, place: int = 0, ready: bool = True) -> None:
        self.act: Callable[[], Any] | None = None
        self.future = future
        self.held = False
        self.path = ""
        self.place = place
        self.ready = ready


class Turns:
    """The turns of one run of a round. `moves` counts how often a branch has gone on."""

    def __init__(self, journal: Run, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop
        self._waiting: list[Turn] = []
        self._looking = False
        self._still = 0
        self._looks = 0
        self._moves = 0
        self._again: asyncio.TimerHandle | None = None
        self.moves = 0
        self.tasks: set[asyncio.Task[Any]] = set()

    @property
    def crowded(self) -> bool:
        """Whether somebody else is there to be waited for."""
        return bool(self.tasks)

    @property
    def restless(self) -> bool:
        """Whether somebody is about to go on, or waits for anything but the user or the time."""
        return self._looking or any(not turn.path for turn in self._waiting)

    def add(self, task: asyncio.Task[Any]) -> None:
        """A branch begins; it is one until its task is done."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def ahead_of(self, seq: int) -> bool:
        """Whether a wait has ended after record `seq` whose branch has not gone on yet."""
        return any(self._place(turn) > seq for turn in self._waiting)

    # -- waiting ----------------------------------------------------------------------------

    async def at(self, place: int) -> None:
        """Wait for the turn of a wait whose end is recorded at `place`."""
        await self._wait(Turn(self._loop.create_future(), place=place))

    async def after(self, place: int, awaited: Coroutine[Any, Any, T]) -> T:
        """Await something of the engine's that belongs to record `place`, then the turn."""
        turn = Turn(self._loop.create_future(), place=place, ready=False)
        # It stands outside of the handler, so that what it does there is nobody's move.
        source = asyncio.Task(awaited, loop=self._loop, context=Context())
        hide(source)
        try:
            return await self._wait_for(turn, source)
        finally:
            source.cancel()

    async def outcome(self, path: str, awaited: asyncio.Future[T]) -> T:
        """Await what ends the wait at `path`, then the turn."""
        turn = Turn(self._loop.create_future(), ready=False)
        turn.path = path
        return await self._wait_for(turn, awaited)

    async def do(self, act: Callable[[], T]) -> T:
        """Record, in turn, that something has ended; nothing that ends later is before it."""
        turn = Turn(self._loop.create_future())
        turn.act = act
        return cast("T", await self._wait(turn))

    async def begin(self) -> None:
        """Wait until the journal has been gone through: only then something new begins."""
        if self._journal.gone_through:
            return
        turn = Turn(self._loop.create_future(), ready=False)
        turn.held = True
        await self._wait(turn)

    async def stand(self) -> None:
        """Wait to be cancelled, as this wait was when it was recorded."""
        await self._wait(Turn(self._loop.create_future(), ready=False))

    def end(self, reason: BaseException) -> None:
        """The run is over: whoever waits for a turn gets `reason`."""
        for turn in self._waiting:
            if not turn.future.done():
                turn.future.set_exception(reason)
                turn.future.exception()

    async def _wait_for(self, turn: Turn, source: asyncio.Future[T]) -> T:
        def over(_: object) -> None:
            failure = None if source.cancelled() else source.exception()
            if source.cancelled() or turn.future.done():
                return
            if failure is not None:
                turn.future.set_exception(failure)
                turn.future.exception()
                return
            self._place(turn)
            turn.ready, turn.path = True, ""
            self.look()

        source.add_done_callback(over)
        await self._wait(turn)
        return source.result()

    async def _wait(self, turn: Turn) -> Any:
        self._waiting.append(turn)
        self.look()
        try:
            return await turn.future
        finally:
            self._waiting.remove(turn)

    def _place(self, turn: Turn) -> int:
        """Where the end of its wait stands; 0 if it has not ended, or stands nowhere."""
        if not turn.place and turn.path:
            turn.place = self._journal.settled(turn.path)
        return 0 if turn.future.done() else turn.place

    # -- going on ---------------------------------------------------------------------------

    def look(self) -> None:
        """See who may go on, once all is still."""
        if not self._looking and self._waiting:
            self._looking = True
            self._still = self._looks = 0
            self._loop.call_soon(self._watch)

    def _watch(self) -> None:
        self._looks += 1
        self._still = self._still + 1 if self._moves == self.moves else 0
        self._moves = self.moves
        if self._still < _STILL and self._looks < _PATIENCE:
            self._loop.call_soon(self._watch)
            return
        self._looking = False
        turn = self._next()
        if turn is not None:
            self._let_go(turn)
            self.look()
        elif not self._journal.gone_through:
            self._look_for_a_way()
        else:
            self._journal.rest()

    def _next(self) -> Turn | None:
        """Whose wait ended first by the log; None if that, or anybody, is not ready."""
        placed = [turn for turn in self._waiting if self._place(turn)]
        if placed:
            first = min(placed, key=self._place)
            return first if first.ready else None
        for turn in self._waiting:
            if turn.future.done():
                continue
            if turn.act is not None or (turn.held and self._journal.gone_through):
                return turn
        return None

    def _let_go(self, turn: Turn) -> None:
        if turn.place:
            self._journal.reach(turn.place)
        try:
            result = None if turn.act is None else turn.act()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            turn.future.set_exception(error)
        else:
            turn.future.set_result(result)

    def _look_for_a_way(self) -> None:
        """Nobody may go on, and there are records that nobody has come to."""
        held = [turn for turn in self._waiting if turn.held and not turn.future.done()]
        if not held or any(turn.place and not turn.ready for turn in self._waiting):
            return
        if self._journal.elsewhere or any(map(_stands, self._waiting)):
            # Something the journal knows nothing of is awaited, and may lead on.
            if self._again is not None:
                self._again.cancel()
            self._again = self._loop.call_later(_LOOK_AGAIN, self.look)
            return
        error = f"the journal has {self._journal.unreached}, which the code no longer reaches"
        for turn in held:
            turn.future.set_exception(Diverged(error))


def _stands(turn: Turn) -> bool:
    return not (turn.ready or turn.held or turn.path or turn.place)
