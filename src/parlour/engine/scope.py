"""Where in a handler a call stands: paths for the journal, and whether the handler really waits.

A scope belongs to one task of one round: the handler itself, a branch of `gather` or `race`, a
step, or a raw task the handler made, which gets one from the loop's task factory. It travels in a
context variable, because tasks and threads inherit that by themselves; sessions are not found
through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import ContextVar, copy_context
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    from parlour.engine.run import Run

T = TypeVar("T")


class Place(NamedTuple):
    """Where a scope stood before it entered a part of the work."""

    prefix: str
    counts: dict[str, int]
    part: str


class Scope:
    """Counts the effects below one prefix, for one task or one step of it.

    `depth` is the engine's own waits that are under way, `aside` the steps among them: what goes
    on inside of a step is not the handler's doing. `blocked` says that it waits for something
    foreign, `children` how many tasks of its own making are not done.
    """

    __slots__ = ("aside", "blocked", "children", "counts", "depth", "journal", "part", "prefix")

    def __init__(
        self, journal: Run, prefix: str = "", aside: int = 0, part: str | None = None
    ) -> None:
        self.journal = journal
        if part is None:
            # It goes on in whatever part of the work it was begun in.
            around = current_scope.get()
            part = around.part if around is not None and around.journal is journal else ""
        self.part: str = part
        self.prefix = prefix
        self.counts: dict[str, int] = {}
        self.depth = aside
        self.aside = aside
        self.blocked = False
        self.children = 0

    def path(self, kind: str, name: str = "") -> str:
        """The path of the next effect of this kind and name: `ask:city#1`."""
        key = f"{kind}:{name}" if name else kind
        number = self.counts.get(key, 0) + 1
        self.counts[key] = number
        return f"{self.prefix}{key}#{number}"

    def enter(self, path: str) -> Place:
        """What comes next stands below the part at `path`; what is returned leads back."""
        before = Place(self.prefix, self.counts, self.part)
        self.prefix, self.counts, self.part = f"{path}/", {}, path
        return before

    def leave(self, before: Place) -> None:
        self.prefix, self.counts, self.part = before


current_scope: ContextVar[Scope | None] = ContextVar("parlour_scope", default=None)


class Driven(Awaitable[T]):
    """Awaits a handler's coroutine and tells its journal when it waits for something foreign.

    While the journal is replayed no engine operation suspends, so a coroutine that does has
    awaited something that is not journaled.
    """

    __slots__ = ("_coroutine", "_scope")

    def __init__(self, awaitable: Awaitable[T], scope: Scope) -> None:
        self._coroutine = awaitable.__await__()
        self._scope = scope

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            waited_for = next(self._coroutine)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        go_on = partial(next, self._coroutine)
        driven: Any = drive(go_on, self._coroutine.throw, self._scope, waited_for)
        return cast("T", (yield from driven))


@coroutine
def drive(
    go_on: Callable[[], Any], throw: Callable[[Any], Any], scope: Scope, waited_for: Any
) -> Generator[Any, Any, Any]:
    """Take a coroutine that waits for something to its end, for whoever awaits this."""
    journal = scope.journal
    while True:
        error: BaseException | None = None
        refusal = None if scope.depth else journal.foreign_wait()
        if refusal is not None:
            _forget(waited_for)
            error = refusal
        else:
            foreign = scope.blocked = not scope.depth
            journal.foreign += foreign
            try:
                yield waited_for
            except BaseException as raised:  # noqa: BLE001 - it belongs to the coroutine
                error = raised
            finally:
                journal.foreign -= foreign
                scope.blocked = False
        if journal.turns is not None and not scope.aside:
            journal.turns.moves += 1
        try:
            waited_for = go_on() if error is None else throw(error)
        except StopIteration as end:
            return end.value
        except GeneratorExit as raised:
            if isinstance(error, GeneratorExit):
                raise  # we are closed
            raise RuntimeError("the handler raised GeneratorExit") from raised


def _forget(waited_for: object) -> None:
    """Take back a suspension that will not happen, as a cancelled task would."""
    if isinstance(waited_for, asyncio.Future):
        waited_for._asyncio_future_blocking = False  # noqa: SLF001 - the protocol of futures
        waited_for.cancel()


def hide(task: asyncio.Task[Any] | None) -> None:
    """Leave a task out of `asyncio.all_tasks()`; whoever made it ends it.

    A handler that cancels what it finds there ends neither the engine nor other sessions.
    """
    if task is not None:
        asyncio.tasks._unregister_task(task)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def spawn(awaitable: Awaitable[T], scope: Scope) -> asyncio.Task[T]:
    """A branch of a handler: a task that has its own scope."""
    context = copy_context()
    context.run(current_scope.set, scope)
    task = asyncio.Task(_run(awaitable, scope), loop=asyncio.get_running_loop(), context=context)
    hide(task)
    # One that is cancelled before it begins leaves nothing that was never awaited.
    task.add_done_callback(lambda _: discard(awaitable))
    return task


async def _run(awaitable: Awaitable[T], scope: Scope) -> T:
    journal = scope.journal
    if journal.turns is not None and not scope.aside:
        journal.turns.moves += 1
    return await Driven(awaitable, scope)


def discard(awaitable: Awaitable[Any]) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


async def cancel_all(tasks: Sequence[asyncio.Task[Any]], *, in_order: bool) -> None:
    """End these tasks. `in_order`: one after another, so that a replay ends them in that order.

    How long each of them takes to end is nothing that a replay could repeat.
    """
    stopped: asyncio.CancelledError | None = None
    for task in tasks:
        if task.done():
            continue
        for ending in [task] if in_order else tasks:
            ending.cancel()
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                stopped = error
                task.cancel()
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if stopped is not None:
        raise stopped
