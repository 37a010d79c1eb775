"""A listener that is read by `async for`: what `Engine.events` gives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING

from parlour.engine.commit import Commit
from parlour.engine.fanout import Subscription, lost_place
from parlour.errors import Refused, StoreError
from parlour.events import Delta, Record, SessionClosed

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

_ITEM_WEIGHT = 200
"""What an item weighs in memory beside its text, about: many small ones are not for nothing."""


async def read_events(
    engine: Engine, session: str, after: int, user: str | None
) -> AsyncGenerator[Record | Delta]:
    """Every record after `after`, then what happens live; see `Engine.events`."""
    await engine.authorise(session, user)
    reader = Reader(engine.settings.limits.listener_bytes)
    subscription = engine.subscribe(session, after, reader)
    reader.leave = partial(engine.unsubscribe, subscription)
    catching = asyncio.create_task(reader.catch_up(subscription))
    try:
        while (item := await reader.take()) is not None:
            if not isinstance(item, Commit):
                yield item
                continue
            for seq, event in enumerate(item.events, item.first):
                yield Record(seq=seq, at=item.at, event=event)  # type: ignore[arg-type]
                if isinstance(event, SessionClosed):
                    return
    finally:
        engine.unsubscribe(subscription)
        if not catching.done():
            catching.cancel()
            await asyncio.gather(catching, return_exceptions=True)


class Reader:
    """A queue of commits and deltas; bounded by what they weigh, and cut off when it is full.

    One item fits always, however large: else nobody could ever get past it.
    """

    __slots__ = (
        "_drained",
        "_failure",
        "_hand",
        "_items",
        "_limit",
        "_over",
        "_taker",
        "leave",
        "weight",
    )

    def __init__(self, limit: int) -> None:
        self._items: deque[tuple[Commit | Delta, int]] = deque()
        self._limit = limit
        self._hand = 0
        self._over = False
        self._failure: Exception | None = None
        self._taker: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self.leave: Callable[[], None] | None = None
        """Called at the end: who has ended takes no listener's place."""
        self.weight = 0
        """What waits now, with the item that was taken last."""

    # -- the engine's listener --------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        self._put(commit, len(commit.data))
        if SessionClosed in map(type, commit.events):
            self._end(None)

    def delta(self, session: str, delta: Delta) -> None:
        del session
        self._put(delta, len(delta.text))

    def live(self, session: str, seq: int) -> None:
        """Nothing to tell: a reader of events sees no seam."""

    def ended(self, session: str, refusal: Refused) -> None:
        del session
        self._end(refusal)

    # -- the past ---------------------------------------------------------------------------

    async def catch_up(self, subscription: Subscription) -> None:
        """Be told the past; end where it cannot be read, or has ended."""
        try:
            await subscription.catch_up(self._pause)
        except StoreError:
            self._end(lost_place())
        except Exception as failure:  # noqa: BLE001 - whoever reads is told
            self._end(failure)
        else:
            if subscription.closed:
                self._end(None)

    async def _pause(self) -> None:
        """Wait until what has been told so far is taken."""
        if (self._items or self._hand) and not self._over:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    # -- the queue --------------------------------------------------------------------------

    async def take(self) -> Commit | Delta | None:
        """The next item, None at the end. Raises why it ended, if that was not the session's."""
        self.weight -= self._hand
        self._hand = 0
        while not self._items:
            if self._over:
                if self._failure is not None:
                    raise self._failure
                return None
            _wake(self._drained)
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
        item, self._hand = self._items.popleft()
        return item

    def _put(self, item: Commit | Delta, weight: int) -> None:
        if self._over:
            return
        weight += _ITEM_WEIGHT
        if self._items and self.weight + weight > self._limit:
            self._end(Refused("too_slow", "This reader is too slow; start after its place."))
            return
        self.weight += weight
        self._items.append((item, weight))
        _wake(self._taker)

    def _end(self, failure: Exception | None) -> None:
        """What waits may still be taken; nothing more comes."""
        if not self._over:
            self._over, self._failure = True, failure
            _wake(self._taker)
            _wake(self._drained)
            if self.leave is not None:
                self.leave()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
