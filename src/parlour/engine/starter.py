"""Begins handlers, many in one task as long as none of them has to wait.

A handler that answers without waiting costs no task. One that waits keeps the task it was begun
in, from then on its own, and the rest is begun in another: so what a handler finds as its current
task is a real one, and nothing it does to it is felt by another handler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from parlour.engine.scope import hide

if TYPE_CHECKING:
    from parlour.engine.journal import Journal
    from parlour.engine.runner import Runner


_MOST_AT_ONCE = 64


class Starter:
    """Handlers that begin in the next turn of the loop; `warn` is called before they do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, warn: Callable[[], None]) -> None:
        self._loop = loop
        self._warn = warn
        self._ready: deque[tuple[Runner, Journal]] = deque()
        self._tasks = 0
        self._at_once = 1

    @property
    def begins(self) -> bool:
        """Whether there are handlers to begin, or one is just running until it waits."""
        return self._tasks > 0

    def add(self, runner: Runner, journal: Journal) -> None:
        self._ready.append((runner, journal))
        if not self._tasks:
            self._begin_soon(1)

    def _begin_soon(self, tasks: int) -> None:
        self._warn()
        self._tasks += tasks
        for _ in range(tasks):
            # Its context is empty, so that no handler sees what is another's.
            hide(asyncio.Task(self._begin_all(), loop=self._loop, context=Context()))

    async def _begin_all(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        known = getrefcount(task)
        # What is added meanwhile is for the next turn, or two that talk to each other never rest.
        for _ in range(len(self._ready)):
            if not self._ready:
                break
            runner, journal = self._ready.popleft()
            waiting = runner.begin(journal, task)
            if waiting is not None:
                # Where one waits others will: so that not each of them takes a turn of its own.
                self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
                self._pass_on()
                await waiting
                return
            if getrefcount(task) != known or _is_marked(task):
                # Somebody keeps this task, which was his for a moment, or has cancelled it.
                break
        else:
            self._at_once = 1
        self._pass_on()

    def _pass_on(self) -> None:
        """What is left to begin, this task does not."""
        self._tasks -= 1
        more = min(self._at_once, len(self._ready)) - self._tasks
        if more > 0:
            self._begin_soon(more)


def _is_marked(task: asyncio.Task[None]) -> bool:
    """Whether something was done to the task that would be felt by whoever is begun in it next."""
    inner: Any = task
    return bool(inner._must_cancel or inner.cancelling() or inner._callbacks)  # noqa: SLF001
