"""The way into an event loop of its own thread, for code that blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from parlour.errors import Refused

T = TypeVar("T")


def _ended() -> Refused:
    return Refused("unavailable", "This app has ended; enter `parlour.local` again.")


class Portal:
    """An event loop in a thread, and the way into it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="parlour-local", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError(
                "this call would wait for itself: an EventHandler runs on the engine's loop; "
                "return the answer from `question`, or call the session from another thread"
            )
        if self._loop.is_closed():
            coroutine.close()
            raise _ended()
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(
            coroutine, self._loop
        )
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _ended() from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # Threads that still wait for a call of theirs would wait for ever.
        calls = asyncio.all_tasks(self._loop)
        for call in calls:
            call.cancel()
        if calls:
            self._loop.run_until_complete(asyncio.wait(calls))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
