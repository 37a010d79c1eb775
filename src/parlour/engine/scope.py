"""Where in a handler a call stands: paths for the journal, and whether the handler really waits.

A scope belongs to one task of one round: the handler itself, a branch of `gather` or `race`, a
step, or a raw task the handler made, which gets one from the loop's task factory. It travels in a
context variable, because tasks and threads inherit that by themselves; sessions are not found
through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from parlour.engine.journal import Journal

T = TypeVar("T")


class Scope:
    """Counts the effects below one prefix. `depth` is the engine's own waits that are under way."""

    __slots__ = ("counts", "depth", "journal", "prefix")

    def __init__(self, journal: Journal, prefix: str = "") -> None:
        self.journal = journal
        self.prefix = prefix
        self.counts: dict[str, int] = {}
        self.depth = 0

    def path(self, kind: str, name: str = "") -> str:
        """The path of the next effect of this kind and name: `ask:city#1`."""
        key = f"{kind}:{name}" if name else kind
        number = self.counts.get(key, 0) + 1
        self.counts[key] = number
        return f"{self.prefix}{key}#{number}"


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
        coroutine, scope = self._coroutine, self._scope
        throw: BaseException | None = None
        while True:
            try:
                if throw is None:
                    waited_for = next(coroutine)
                else:
                    error, throw = throw, None
                    waited_for = coroutine.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            if scope.depth:
                try:
                    yield waited_for
                except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                    throw = error
                continue
            refusal = scope.journal.foreign_wait()
            if refusal is not None:
                throw = refusal
                _forget(waited_for)
                continue
            scope.journal.foreign += 1
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                throw = error
            finally:
                scope.journal.foreign -= 1


def _forget(waited_for: object) -> None:
    """Take back a suspension that will not happen, as a cancelled task would."""
    if isinstance(waited_for, asyncio.Future):
        waited_for._asyncio_future_blocking = False  # noqa: SLF001 - the protocol of futures
        waited_for.cancel()


def spawn(awaitable: Awaitable[T], scope: Scope) -> asyncio.Task[T]:
    """A task of a handler that has its own scope."""
    context = copy_context()
    context.run(current_scope.set, scope)

    async def run() -> T:
        return await Driven(awaitable, scope)

    return asyncio.Task(run(), loop=asyncio.get_running_loop(), context=context)


def install_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    """Give every raw task that a handler makes a scope of its own; other tasks are as ever.

    A task factory that is there already stays in charge of making the tasks.
    """
    inner: Callable[..., Any] | None = loop.get_task_factory()
    if getattr(inner, "parlour", False):
        return

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> Any:
        scope = current_scope.get()
        if scope is not None:
            context = options.pop("context", None) or copy_context()
            if context.run(current_scope.get) is scope:
                child = Scope(scope.journal, scope.path("task") + "/")
                context.run(current_scope.set, child)
            options["context"] = context
            make: Any = asyncio.Task if inner is None else inner
            task = (
                make(coroutine, loop=loop, **options)
                if inner is None
                else make(loop, coroutine, **options)
            )
            scope.journal.adopt(task)
            return task
        if inner is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        return inner(loop, coroutine, **options)

    factory.parlour = True  # type: ignore[attr-defined]
    typed: Any = factory
    loop.set_task_factory(typed)


def discard(awaitable: Awaitable[Any]) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()


async def cancel_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
