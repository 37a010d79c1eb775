"""Plain functions beside the event loop: into a worker thread, and from there back to the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Bridge:
    """A bounded pool of threads and the loop they serve.

    The context of whoever calls goes along both ways, so that effects find their place.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="parlour")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def into(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread and await its result."""
        context = copy_context()
        return await self._loop.run_in_executor(self._pool, lambda: context.run(call))

    def back(self, call: Callable[[], T]) -> T:
        """From a thread: run `call` on the loop and wait for its result."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the thread gets it
                future.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return future.result()

    def back_and_wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """From a thread: await what `call` gives on the loop, and wait for its result."""
        future: Future[T] = Future()

        async def run() -> None:
            try:
                future.set_result(await call())
            except BaseException as error:  # noqa: BLE001 - the thread gets it
                future.set_exception(error)

        def begin() -> None:
            task = asyncio.Task(run(), loop=self._loop)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)
        return future.result()

    async def close(self, seconds: float) -> None:
        """End what still waits on the loop; threads that do not end are left behind."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        self._pool.shutdown(wait=False, cancel_futures=True)
