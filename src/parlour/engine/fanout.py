"""Listeners: who is told what a session records, and how a past is joined to the present.

Encoding is the listener's business, and cached on the commit; so is its queue, which it bounds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from parlour.engine.commit import Commit
from parlour.engine.reading import weight_of
from parlour.errors import Refused
from parlour.events import Delta, SessionClosed, decode_chunk, encode_events
from parlour.stores.store import Chunk

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_SHARE = 4
"""A page of the past, and what is held back meanwhile, may each fill this part of a listener."""
_COMMIT_WEIGHT = 300
"""What a commit weighs in memory beside its data, about."""
_RECORDS = 256
_MOST = 2**53

Pause = Callable[[], Awaitable[None]]


class Listener(Protocol):
    """Gets a session's records in order, each once, and its deltas.

    Called on the event loop; must not block nor raise. A listener that cannot keep up cuts itself
    off; nobody waits for it.
    """

    def commit(self, commit: Commit) -> None: ...

    def delta(self, session: str, delta: Delta) -> None: ...

    def live(self, session: str, seq: int) -> None:
        """The past has been told, up to `seq`; what follows happens now."""
        ...

    def ended(self, session: str, refusal: Refused) -> None:
        """Nothing more is told of this session, and `refusal` says why; it is unsubscribed."""
        ...


class Subscription:
    """One listener's place in one session's log.

    Until the past has been read, what happens live is held back, within bounds: past them it is
    forgotten and read from the store like the rest. So is what was recorded elsewhere, where the
    session was taken away from this engine for a while.
    """

    __slots__ = (
        "_engine",
        "_forgotten",
        "_held",
        "_listener",
        "_live",
        "_pause",
        "_returning",
        "_share",
        "_weight",
        "closed",
        "over",
        "place",
        "session",
    )

    def __init__(self, engine: Engine, session: str, after: int, listener: Listener) -> None:
        self._engine = engine
        self._listener = listener
        self._live = False
        self._held: list[Commit] = []
        self._weight = 0
        self._share = max(1, engine.settings.limits.listener_bytes // _SHARE)
        self._forgotten = False
        self._pause: Pause | None = None
        self._returning: asyncio.Task[None] | None = None
        self.session = session
        self.place = min(max(0, after), _MOST)
        self.closed = False
        """Whether the session's last record has been told, or lies before the place."""
        self.over = False
        """Whether nothing is told any more."""

    @property
    def live(self) -> bool:
        """Whether it is told what happens now."""
        return self._live

    # -- the present ------------------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        if self.over or commit.last <= self.place:
            return
        if not self._live:
            self._hold(commit)
        elif commit.first > self.place + 1:
            self._hold(commit)
            self._fall_back()
        else:
            self._tell(commit.after(self.place))

    def delta(self, delta: Delta) -> None:
        if self._live:
            self._listener.delta(self.session, delta)

    def reached(self, seq: int) -> None:
        """The log is known to go until `seq`; what is missing and comes not by itself is read."""
        if self._live and seq > self.place:
            self._fall_back()

    def end(self, refusal: Refused) -> None:
        """Tell the listener that nothing more comes, and why."""
        if not self.over:
            self.leave()
            self._listener.ended(self.session, refusal)

    def leave(self) -> None:
        """Nothing more is told, and what goes on for it ends."""
        self.over, self._live = True, False
        self._held.clear()
        returning, self._returning = self._returning, None
        if returning is not None and returning is not asyncio.current_task():
            returning.cancel()

    def _hold(self, commit: Commit) -> None:
        weight = len(commit.data) + _COMMIT_WEIGHT
        if self._forgotten or (self._held and self._weight + weight > self._share):
            # All after it would be told without it, so nothing more needs to be kept.
            self._forgotten = True
            return
        self._weight += weight
        self._held.append(commit)

    def _tell(self, commit: Commit) -> None:
        self.place = commit.last
        if not self.closed and SessionClosed in map(type, commit.events):
            self.closed = True
        self._listener.commit(commit)

    # -- the past ---------------------------------------------------------------------------

    async def catch_up(self, pause: Pause | None = None) -> None:
        """Tell the past after `place`, then go live.

        `pause` is awaited between pages, so that a slow listener is not flooded. Raises what the
        store raises.
        """
        self._pause = pause
        await self._read_past()
        if not self.over:
            self._live = True
            self._listener.live(self.session, self.place)
            self._show_streams()

    def _fall_back(self) -> None:
        """Something was missed: be told it by the store, then go live again."""
        self._live = False
        task = self._returning = self._engine.loop.create_task(self._return())
        self._engine.look_after(task)

    async def _return(self) -> None:
        try:
            await self._read_past()
        except Exception as failure:
            # Whatever it was, the listener has a gap.
            log.error("a listener of session %s lost its place", self.session[:8], exc_info=failure)
            self._engine.unsubscribe(self)
            self._listener.ended(self.session, lost_place())
            return
        self._returning = None
        if not self.over:
            self._live = True
            self._show_streams()

    def _show_streams(self) -> None:
        for delta in self._engine.so_far(self.session):
            self._listener.delta(self.session, delta)

    async def _read_past(self) -> None:
        # One record that is known comes first: it tells whether the log goes so far, and whether
        # it ends there.
        known = min(1, self.place)
        believed = False
        while not self.over:
            chunks = await self._engine.store.read(
                self.session, self.place - known, _RECORDS + known, limit_bytes=self._share
            )
            if known and not chunks and not believed:
                await self._doubt()
                known, believed = min(1, self.place), True
                continue
            told = await self._tell_page(chunks)
            whole = told < _RECORDS and weight_of(chunks) < self._share
            if self.over or (whole and self._join()):
                return
            known = 0
            await self._take_breath()

    async def _doubt(self) -> None:
        """A place beyond the log's end, as after a restored backup, is not believed."""
        info = await self._engine.store.find(self.session)
        self.place = min(self.place, info.head if info is not None else 0)

    async def _tell_page(self, chunks: Sequence[Chunk]) -> int:
        """Tell what is new in `chunks`, no more of it at once than a listener takes."""
        told = weight = 0
        for chunk in chunks:
            if weight and weight + len(chunk.data) > self._share:
                await self._take_breath()
                weight = 0
            commit = commit_of(self.session, chunk)
            if self.over:
                break
            if commit.last > self.place:
                told += commit.last - self.place
                weight += len(chunk.data)
                self._tell(commit.after(self.place))
            elif SessionClosed in map(type, commit.events):
                self.closed = True
        return told

    async def _take_breath(self) -> None:
        if self._pause is not None and not self.over:
            await self._pause()

    def _join(self) -> bool:
        """Tell what was held back; False if something is missing and must be read."""
        held, self._held, self._weight = self._held, [], 0
        forgotten, self._forgotten = self._forgotten, False
        for commit in held:
            if commit.last <= self.place:
                continue
            if commit.first > self.place + 1:
                return False
            self._tell(commit.after(self.place))
        return not forgotten


class Fanout:
    """Who listens to which session."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._subscriptions: dict[str, tuple[Subscription, ...]] = {}
        self._closed: Refused | None = None

    def add(self, subscription: Subscription) -> None:
        """Raises `Refused` if the session has too many listeners, or nobody is told any more."""
        if self._closed is not None:
            raise self._closed
        there = self._subscriptions.get(subscription.session, ())
        if len(there) >= self._limit:
            raise Refused("too_many", f"A session may have {self._limit} listeners.", 5.0)
        self._subscriptions[subscription.session] = (*there, subscription)

    def remove(self, subscription: Subscription) -> None:
        subscription.leave()
        there = self._subscriptions.get(subscription.session, ())
        left = tuple(other for other in there if other is not subscription)
        if left:
            self._subscriptions[subscription.session] = left
        else:
            self._subscriptions.pop(subscription.session, None)

    def of(self, session: str) -> Sequence[Subscription]:
        return self._subscriptions.get(session, ())

    def reached(self, session: str, seq: int) -> None:
        """The session's log goes until `seq`, which not every listener may have been told."""
        for subscription in self.of(session):
            subscription.reached(seq)

    def end(self, session: str, refusal: Refused) -> None:
        """Nobody is told any more of this session, and `refusal` says why."""
        for subscription in self._subscriptions.pop(session, ()):
            try:
                subscription.end(refusal)
            except Exception:
                log.exception("a listener of session %s failed at its end", session[:8])

    def close(self, refusal: Refused) -> None:
        """Nobody is told any more, of any session."""
        self._closed = refusal
        for session in tuple(self._subscriptions):
            self.end(session, refusal)


def lost_place() -> Refused:
    """What a listener is told whose past cannot be read."""
    return Refused("unavailable", "The session could not be read; attach again.", 1.0)


def commit_of(session: str, chunk: Chunk) -> Commit:
    """A stored chunk as it was published."""
    first, events = chunk.first, decode_chunk(chunk.data)
    # Encoded anew: a later version may have written what this one does not know how to hide.
    data = encode_events(events)
    return Commit(session, first, first + len(events) - 1, chunk.at, events, data)
