"""The raw tasks that handlers make: which are part of the round, and where their effects stand.

A task that the handler's own code makes belongs to the round, and so does any that uses the
session. One that a library makes for itself (a pool's keep-alive) may serve other sessions too:
stopping this round is not to end it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sysconfig
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, copy_context
from functools import partial
from pathlib import PurePath
from types import (
    BuiltinMethodType,
    CoroutineType,
    FrameType,
    GeneratorType,
    MethodType,
)
from typing import TYPE_CHECKING, Any

from parlour.engine.scope import Driven, Scope, current_scope, discard, hide

if TYPE_CHECKING:
    from parlour.engine.run import Run

_ENGINE = "parlour.engine"
_MAKERS = frozenset({"asyncio", "anyio", "contextlib"})
"""Who makes tasks for others."""
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))


class TaskScope(Scope):
    """The scope of a raw task."""

    __slots__ = ("loose", "parent", "task")

    def __init__(self, journal: Run, prefix: str, parent: Scope, *, loose: bool) -> None:
        super().__init__(journal, prefix, parent.aside or int(loose))
        self.parent = parent
        self.loose = loose
        self.task: asyncio.Task[Any] | None = None

    def path(self, kind: str, name: str = "") -> str:
        if self.loose:
            # A library's task that works for the handler after all.
            self.loose = False
            if not self.parent.aside:
                self.aside -= 1
                self.depth -= 1
            self.belong()
        return super().path(kind, name)

    def belong(self) -> None:
        """Its task is the round's from now on."""
        task, parent = self.task, self.parent
        if task is None or task.done():
            return
        self.journal.adopt(task, None if self.aside else parent)


def install_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    """Give every raw task that a handler makes a scope of its own; other tasks are as ever.

    A task factory that is there already stays in charge of making the tasks.
    """
    inner: Callable[..., Any] | None = loop.get_task_factory()
    if getattr(inner, "parlour", False):
        return
    make: Any = _plain_task if inner is None else inner

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> Any:
        scope = current_scope.get()
        context: Context | None = options.get("context")
        if scope is None or (context is not None and context.get(current_scope) is not scope):
            return make(loop, coroutine, **options)
        return _make_task(partial(make, loop), coroutine, scope, options)

    factory.parlour = True  # type: ignore[attr-defined]
    typed: Any = factory
    loop.set_task_factory(typed)


def _plain_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


def _make_task(
    make: Callable[..., Any],
    coroutine: Coroutine[Any, Any, Any],
    parent: Scope,
    options: dict[str, Any],
) -> Any:
    loose = _made_by_a_library()
    context: Context = options.get("context") or copy_context()
    prefix = parent.path("task") + "/"
    scope = TaskScope(parent.journal, prefix, parent, loose=loose)
    try:
        context.run(current_scope.set, scope)
    except RuntimeError:
        # The task shall run in the very context that its maker runs in: it stands where that is.
        task = make(coroutine, **options)
        if not loose:
            parent.journal.adopt_unseen(task)
        return task
    driven: Any = _drive(coroutine, scope)
    driven.__name__ = getattr(coroutine, "__name__", driven.__name__)
    driven.__qualname__ = getattr(coroutine, "__qualname__", driven.__qualname__)
    made: asyncio.Task[Any] = make(driven, **{**options, "context": context})
    made.add_done_callback(lambda _: discard(coroutine))
    scope.task = made
    if not loose:
        hide(made)
        scope.belong()
    return made


async def _drive(coroutine: Coroutine[Any, Any, Any], scope: Scope) -> Any:
    turns = scope.journal.turns
    if turns is not None and not scope.aside:
        turns.moves += 1
    return await Driven(coroutine, scope)


def _made_by_a_library() -> bool:
    """Whether the code that makes a task now is not the handler's own.

    Its own is what is not installed, and what is in the same package as the handler.
    """
    this = inspect.currentframe()
    frame: FrameType | None = None if this is None else this.f_back
    while frame is not None and _package(frame) in _MAKERS | {"parlour"} and not _ours(frame):
        frame = frame.f_back
    if frame is None or _ours(frame) or not _installed(frame.f_code.co_filename):
        return False
    maker = handler = _package(frame)
    while frame is not None and not _in_engine(frame):
        if _package(frame) not in _MAKERS | {"parlour"}:
            handler = _package(frame)
        frame = frame.f_back
    return maker != handler


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _in_engine(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.startswith(_ENGINE)


def _ours(frame: FrameType) -> bool:
    """Whether it is a style of agents, which makes tasks for its handlers."""
    return _package(frame) == "parlour" and not _in_engine(frame)


def _installed(file: str) -> bool:
    parts = PurePath(file).parts
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or any(file.startswith(folder) for folder in _LIBRARIES)
    )


def _wrapper_type() -> type[Any]:
    async def nothing() -> None: ...

    coroutine = nothing()
    try:
        return type(coroutine.__await__())
    finally:
        coroutine.close()


_LINKS = (
    CoroutineType,
    GeneratorType,
    MethodType,
    BuiltinMethodType,
    partial,
    tuple,
    Driven,
    _wrapper_type(),
)
"""What leads from a task to what it awaits."""


def armed_timeout(tasks: Iterable[asyncio.Task[Any]]) -> bool:
    """Whether one of the tasks is inside of an `asyncio.timeout` that runs.

    Nothing tells who waits in what, so their frames are looked through: only the links from a
    coroutine to what it awaits and what it has to leave.
    """
    seen: set[int] = set()
    links: list[Any] = [task.get_coro() for task in tasks if not task.done()]
    while links:
        link = links.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, MethodType):
            timeout: Any = link.__self__
            if isinstance(timeout, asyncio.Timeout) and timeout.when() is not None:
                return True
            continue
        links += [found for found in gc.get_referents(link) if isinstance(found, _LINKS)]
    return False
