"""What many callers want at once, done by one statement: it gathers while the one before runs.

Knows what a batch costs and how its callers are told; what is done with it is the store's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Calls `work` with all that was asked for meanwhile, one call at a time.

    `work` gives one result, or one error, for each, in their order; what it raises, all get. Who is
    cancelled does not stop the work of the others, nor its own.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], most: int
    ) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: T) -> R:
        """The result of `item`. Raises what its work raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="parlour-postgres")
        return await future

    async def finish(self) -> None:
        """Return when nothing waits."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                count = min(self._most, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
                await self._do(batch)
        finally:
            self._task = None

    async def _do(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            results = [error] * len(batch)
        except BaseException:
            for _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting.clear()
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                # Each caller raises an error of its own: a raised one grows a traceback.
                future.set_exception(_own(result))
            else:
                future.set_result(result)


def _own(error: Exception) -> Exception:
    try:
        return type(error)(*error.args)
    except TypeError:
        return error
