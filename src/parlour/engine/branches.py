"""Branches of a handler that run side by side, each with a place of its own in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from parlour.engine.replay import diverged
from parlour.engine.scope import Scope, cancel_all, spawn
from parlour.errors import Diverged, Unwinding
from parlour.events import StepFinished

if TYPE_CHECKING:
    from parlour.engine.run import Run


async def gather(journal: Run, scope: Scope, branches: Sequence[Awaitable[Any]]) -> list[Any]:
    """The results of all; the first failure cancels the others."""
    tasks = _spawn(journal, scope, scope.path("gather"), branches)
    if not tasks:
        return []
    scope.depth += 1
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancel_all(tasks, in_order=journal.dead is None)
        scope.depth -= 1


async def race(journal: Run, scope: Scope, branches: Sequence[Awaitable[Any]]) -> Any:
    """The result of whichever is done first; the others are cancelled.

    The winner is recorded before the others end, whose endings may record something themselves.
    In a replay they all run again: they may have changed what the journal knows nothing of.
    """
    if not branches:
        raise ValueError("a race needs at least one branch")
    base = scope.path("race")
    tasks = _spawn(journal, scope, base, branches)
    scope.depth += 1
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        winner = _recorded_winner(journal, base, len(tasks))
        if winner is None:
            winner = next(number for number, task in enumerate(tasks) if task.done())
        elif not tasks[winner].done():
            await asyncio.wait([tasks[winner]])
        journal.check_alive()
        task = tasks[winner]
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not isinstance(failure, Unwinding | Diverged):
            won = StepFinished(path=base, value=Raw(b"%d" % winner))
            if journal.take(won) is None:
                journal.commit(won)
        await cancel_all(tasks, in_order=journal.dead is None)
        return task.result()
    finally:
        await cancel_all(tasks, in_order=journal.dead is None)
        scope.depth -= 1


def _recorded_winner(journal: Run, base: str, branches: int) -> int | None:
    effect = journal.peek(base)
    if effect is None:
        return None
    if not isinstance(effect.event, StepFinished):
        raise diverged(base, effect.event, "a race")
    winner = msgspec.json.decode(effect.event.value, type=int)
    if winner >= branches:
        raise Diverged(f"branch {winner} won the race {base}, which the code no longer has")
    return winner


def _spawn(
    journal: Run, scope: Scope, base: str, branches: Sequence[Awaitable[Any]]
) -> list[asyncio.Task[Any]]:
    tasks: list[asyncio.Task[Any]] = []
    for number, branch in enumerate(branches):
        task = spawn(branch, Scope(journal, f"{base}/{number}/", scope.aside))
        if not scope.aside:
            journal.branch(task)
        tasks.append(task)
    return tasks
