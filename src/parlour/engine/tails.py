"""Listeners of sessions that live elsewhere: their owner tells this worker, and this one them.

Records come with the message if they are short, else they are read from the store; whatever is
missing is read there too, because each listener knows its place. A delta is shown only to those
that have just been told what was recorded when it was shown first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from parlour.engine.bus import Courier, Reached, Shown, Told, Watching
from parlour.engine.commit import Commit
from parlour.engine.fanout import Subscription, commit_of
from parlour.engine.posting import Posting
from parlour.errors import Refused, StoreError
from parlour.events import Delta, PartStreamed, ProgressShown, TextStreamed
from parlour.stores.shared import SharedStore
from parlour.stores.store import Chunk

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_DELTAS: dict[str, type[Delta]] = {
    kind.__name__: kind for kind in (TextStreamed, PartStreamed, ProgressShown)
}
_Lengths = dict[tuple[type[Delta], int, str], int]
"""How much a listener was shown of each message that is being written."""
_SECONDS = 20.0
"""So long an owner tells a worker of a session without being asked again."""
_AT_ONCE = 1000
_IDS_IN_A_MESSAGE = 100


class Tails:
    """Both ends of what is told between workers, for one engine."""

    def __init__(
        self, engine: Engine, store: SharedStore, courier: Courier, posting: Posting, me: str
    ) -> None:
        self._engine = engine
        self._store = store
        self._courier = courier
        self._posting = posting
        self._me = me
        self._tails: dict[str, dict[Subscription, _Lengths]] = {}
        self._new: dict[str, None] = {}
        self._looking = False
        self._watchers: dict[str, dict[str, float]] = {}

    # -- the listeners' side ----------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many sessions are followed from elsewhere."""
        return len(self._tails)

    def follow(self, session: str) -> None:
        """There is a listener here of a session that may live elsewhere."""
        if self._engine.find_live(session) is not None:
            return
        self._tails.setdefault(session, {})
        self._look_soon(session)

    def stays(self, session: str) -> None:
        """The session lives here now."""
        self._tails.pop(session, None)
        self._new.pop(session, None)

    def claimed(self, worker: str, sessions: Sequence[str]) -> None:
        """Another worker owns these now; it does not know who listens here."""
        mine = [session for session in sessions if session in self._tails]
        for session in mine:
            self._posting.owned_by(session, worker)
        self._ask(worker, mine)

    def _look_soon(self, session: str) -> None:
        self._new[session] = None
        if not self._looking:
            self._looking = True
            self._engine.spawn(self._look_at_new())

    async def _look_at_new(self) -> None:
        try:
            while self._new:
                new, self._new = list(self._new), {}
                await self._look_at(new)
        except StoreError as error:
            log.error("sessions that live elsewhere cannot be followed now: %s", error)
        finally:
            self._looking = False

    async def look(self) -> None:
        """Find in the store what the bus has not told, and say again what is followed.

        Raises `StoreError`.
        """
        now = self._engine.monotonic()
        for session, watchers in tuple(self._watchers.items()):
            self._watchers[session] = {w: until for w, until in watchers.items() if until > now}
            if not self._watchers[session]:
                del self._watchers[session]
        for session in tuple(self._tails):
            if not self._engine.listeners(session):
                del self._tails[session]
        sessions = list(self._tails)
        for start in range(0, len(sessions), _AT_ONCE):
            await self._look_at(sessions[start : start + _AT_ONCE])

    async def _look_at(self, sessions: Sequence[str]) -> None:
        places = await self._store.places(sessions)
        owners: dict[str, list[str]] = {}
        for session in sessions:
            if session not in self._tails or self._engine.find_live(session) is not None:
                continue
            place = places.get(session)
            if place is None:
                self.erased(session)
                continue
            self._engine.reached(session, place.head)
            self._posting.owned_by(session, place.worker)
            if place.worker is not None and place.worker != self._me:
                owners.setdefault(place.worker, []).append(session)
        for worker, some in owners.items():
            self._ask(worker, some)

    def _ask(self, worker: str, sessions: Sequence[str]) -> None:
        for start in range(0, len(sessions), _IDS_IN_A_MESSAGE):
            some = list(sessions[start : start + _IDS_IN_A_MESSAGE])
            self._courier.send(worker, Watching(self._me, some))

    def told(self, message: Told) -> None:
        """Records of a session that is followed here."""
        if message.session not in self._tails:
            return
        chunk = Chunk(message.first, message.count, message.at, bytes(message.data))
        try:
            commit = commit_of(message.session, chunk)
        except msgspec.DecodeError:
            return  # the store has it, and says so if that is no better
        self._engine.publish(commit)

    def reached(self, message: Reached) -> None:
        if message.session in self._tails:
            self._engine.reached(message.session, message.seq)

    def shown(self, message: Shown) -> None:
        """Deltas of a session that is followed here."""
        tail = self._tails.get(message.session)
        if tail is None:
            return
        listeners = self._engine.listeners(message.session)
        for gone in [each for each in tail if each not in listeners]:
            del tail[gone]
        missing = False
        for kind, raw in message.deltas:
            try:
                delta = msgspec.json.decode(raw, type=_DELTAS[kind])
            except (KeyError, msgspec.DecodeError):
                continue
            for listener in listeners:
                if listener.place == message.seq:
                    missing = not _show(listener, tail, delta) or missing
        owner = self._posting.owner(message.session)
        if missing and owner is not None:
            self._ask(owner, [message.session])

    def catch_up(self, session: str) -> None:
        """A listener here has just been told the past, and wants the text so far."""
        owner = self._posting.owner(session)
        if owner is not None and session in self._tails:
            self._ask(owner, [session])

    def erased(self, session: str) -> None:
        """Nothing is left of a session, whoever owned it."""
        self.stays(session)
        self._posting.forget(session)
        held = self._engine.find_live(session)
        if held is not None:
            held.drop("the session is erased")
        self._engine.end_listeners(session, Refused("unknown_session", "There is no such session."))

    # -- the owner's side -------------------------------------------------------------------

    def watching(self, message: Watching) -> None:
        """Another worker has listeners of ours: from now on it is told, beginning with where."""
        until = self._engine.monotonic() + _SECONDS
        for session in message.sessions:
            held = self._engine.find_live(session)
            if held is None:
                continue
            self._watchers.setdefault(session, {})[message.sender] = until
            self._courier.send(message.sender, Reached(session, held.durable))
            deltas = self._engine.so_far(session)
            if deltas:
                self._send_deltas([message.sender], session, held.durable, deltas)

    def is_watched(self, session: str) -> bool:
        """Whether another worker has listeners of a session of ours."""
        return session in self._watchers

    def tell(self, commit: Commit) -> None:
        """Records of ours are durable."""
        watchers = self._watchers.get(commit.session)
        if watchers is None:
            return
        count = commit.last - commit.first + 1
        told = Told(commit.session, commit.first, count, commit.at, Raw(commit.data))
        short = len(commit.data) + 200 < self._courier.room
        for worker in watchers:
            self._courier.send(worker, told if short else Reached(commit.session, commit.last))

    def show(self, session: str, delta: Delta) -> None:
        """A delta of ours was shown."""
        watchers = self._watchers.get(session)
        held = self._engine.find_live(session)
        if watchers is not None and held is not None:
            self._send_deltas(list(watchers), session, held.durable, [delta])

    def _send_deltas(
        self, workers: Sequence[str], session: str, seq: int, deltas: Sequence[Delta]
    ) -> None:
        for delta in deltas:
            for piece in _pieces(delta, self._courier.room // 8):
                raw = Raw(msgspec.json.encode(piece))
                for worker in workers:
                    shown = Shown(session, seq, [(type(piece).__name__, raw)])
                    self._courier.send(worker, shown)


def _show(listener: Subscription, tail: dict[Subscription, _Lengths], delta: Delta) -> bool:
    """Show a delta to a listener who knows what comes before it; False if this one does not."""
    if not listener.live:
        return True
    if isinstance(delta, ProgressShown):
        listener.delta(delta)
        return True
    lengths = tail.setdefault(listener, {})
    key = type(delta), delta.round, delta.path
    if delta.offset > lengths.get(key, 0):
        return False
    # Few are written at once: what has ended is forgotten with the round before.
    for other in [each for each in lengths if each[1] != delta.round]:
        del lengths[other]
    lengths[key] = delta.offset + len(delta.text)
    listener.delta(delta)
    return True


def _pieces(delta: Delta, most: int) -> list[Delta]:
    """A delta in pieces of at most so many characters, each of which the bus carries."""
    if isinstance(delta, ProgressShown) or len(delta.text) <= most:
        return [delta]
    return [
        msgspec.structs.replace(
            delta, offset=delta.offset + start, text=delta.text[start : start + most]
        )
        for start in range(0, len(delta.text), most)
    ]


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Return after so many seconds, or when the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
