"""Listeners: who is told what a session records, and how a past is joined to the present.

Encoding is the listener's business, and cached on the commit; so is its queue, which it bounds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from parlour.engine.commit import Commit
from parlour.errors import Refused
from parlour.events import Record, SessionClosed, TextStreamed, decode_chunk, encode_event
from parlour.stores.store import Chunk

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

_PAGE = 500


class Listener(Protocol):
    """Gets a session's records in order, each once, and its deltas.

    Called on the event loop; must not block nor raise. A listener that cannot keep up cuts itself
    off; nobody waits for it.
    """

    def commit(self, commit: Commit) -> None: ...

    def delta(self, session: str, delta: TextStreamed) -> None: ...

    def live(self, session: str, seq: int) -> None:
        """The past has been told, up to `seq`; what follows happens now."""
        ...


class Subscription:
    """One listener's place in one session's log.

    Until the past has been read, what happens live is held back, within bounds: past them it is
    forgotten and read from the store like the rest.
    """

    def __init__(self, engine: Engine, session: str, after: int, listener: Listener) -> None:
        self._engine = engine
        self._listener = listener
        self._live = False
        self._held: deque[Commit] = deque()
        self._forgotten = False
        self.session = session
        self.place = after

    def commit(self, commit: Commit) -> None:
        if self._live:
            if commit.first <= self.place:
                commit = commit.after(self.place)
                if not commit.data:
                    return
            self.place = commit.last
            self._listener.commit(commit)
        elif len(self._held) < _PAGE:
            self._held.append(commit)
        else:
            self._forgotten = True

    def delta(self, delta: TextStreamed) -> None:
        if self._live:
            self._listener.delta(self.session, delta)

    async def catch_up(self, pause: Callable[[], Awaitable[None]] | None = None) -> None:
        """Tell the past after `place`, then go live.

        `pause` is awaited between pages, so that a slow listener is not flooded. Raises what the
        store raises.
        """
        first = True
        while True:
            chunks = await self._engine.store.read(self.session, self.place, _PAGE)
            if first and not chunks:
                await self._doubt()
            first = False
            told = sum(self._tell(chunk) for chunk in chunks)
            if told < _PAGE and self._join():
                break
            if pause is not None:
                await pause()
        self._live = True
        self._listener.live(self.session, self.place)
        for delta in self._engine.streams_so_far(self.session):
            self._listener.delta(self.session, delta)

    async def _doubt(self) -> None:
        """A place beyond the log's end, as after a restored backup, is not believed."""
        info = await self._engine.store.find(self.session)
        self.place = min(self.place, info.head if info is not None else 0)

    def _tell(self, chunk: Chunk) -> int:
        commit = commit_of(self.session, chunk).after(self.place)
        if commit.data:
            self.place = commit.last
            self._listener.commit(commit)
        return len(commit.data)

    def _join(self) -> bool:
        """Tell what was held back; False if something is missing and must be read."""
        held, self._held = self._held, deque()
        forgotten, self._forgotten = self._forgotten, False
        for commit in held:
            rest = commit.after(self.place)
            if not rest.data:
                continue
            if rest.first != self.place + 1:
                return False
            self.place = rest.last
            self._listener.commit(rest)
        return not forgotten


class Fanout:
    """Who listens to which session."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._subscriptions: dict[str, list[Subscription]] = {}

    def add(self, subscription: Subscription) -> None:
        """Raises `Refused` if the session has too many listeners."""
        there = self._subscriptions.setdefault(subscription.session, [])
        if len(there) >= self._limit:
            raise Refused("too_many", f"A session may have {self._limit} listeners.", 5.0)
        there.append(subscription)

    def remove(self, subscription: Subscription) -> None:
        there = self._subscriptions.get(subscription.session)
        if there is not None and subscription in there:
            there.remove(subscription)
            if not there:
                del self._subscriptions[subscription.session]

    def of(self, session: str) -> Sequence[Subscription]:
        return self._subscriptions.get(session, ())


def commit_of(session: str, chunk: Chunk) -> Commit:
    """A stored chunk as it was published."""
    events = decode_chunk(chunk.data)
    data = [encode_event(event) for event in events]
    return Commit(session, chunk.first, chunk.at, events, data)


class Reader:
    """A listener that is read by `async for`; bounded, and cut off when it is full."""

    def __init__(self, limit: int) -> None:
        self._items: deque[Record | TextStreamed | None] = deque()
        self._size = 0
        self._limit = limit
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._failure: BaseException | None = None

    def commit(self, commit: Commit) -> None:
        for seq, event in enumerate(commit.events, commit.first):
            self._put(Record(seq=seq, at=commit.at, event=event), len(commit.data[0]))  # type: ignore[arg-type]
            if isinstance(event, SessionClosed):
                self._put(None, 0)

    def delta(self, session: str, delta: TextStreamed) -> None:
        del session
        self._put(delta, len(delta.text))

    def live(self, session: str, seq: int) -> None:
        """Nothing to tell: a reader of events sees no seam."""

    async def pause(self) -> None:
        """Wait until what has been read so far is taken."""
        self._drained.clear()
        if self._items:
            await self._drained.wait()

    def end_on_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._put(None, 0)

    def _put(self, item: Record | TextStreamed | None, size: int) -> None:
        self._size += size
        if self._size > self._limit and item is not None:
            self._failure = Refused("too_slow", "This reader is too slow; start after its place.")
            item = None
        self._items.append(item)
        self._wake.set()

    async def __aiter__(self) -> AsyncGenerator[Record | TextStreamed]:
        while True:
            while not self._items:
                self._size = 0
                self._drained.set()
                self._wake.clear()
                await self._wake.wait()
            item = self._items.popleft()
            if item is None:
                if self._failure is not None:
                    raise self._failure
                return
            yield item
