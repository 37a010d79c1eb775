"""One engine among several on the same store: what it owns, what it asks of others, what it tells.

Where the store is not shared none of this is there. The truth is the store's; the bus makes it
quick. While the bus is silent, the store is asked every second instead of every few.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from parlour.engine.activation import Activation
from parlour.engine.bus import (
    Bus,
    Claimed,
    Courier,
    Erased,
    Left,
    Message,
    NoBus,
    Posted,
    Reached,
    Settled,
    Shown,
    Told,
    Watching,
)
from parlour.engine.commit import Commit
from parlour.engine.leases import Leases, StoreClock, about_here
from parlour.engine.outcome import Accepted, Done
from parlour.engine.posting import Posting
from parlour.engine.tails import Tails, pause
from parlour.errors import Refused, StoreError
from parlour.events import Command, Delta
from parlour.stores.shared import Elsewhere, SharedStore
from parlour.stores.store import Claim, SessionInfo

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_POLL_SECONDS = 1.0
_POLL_SELDOM = 5.0
_OPEN_SECONDS = 10.0
_OPEN_PAUSE = 0.05


class Workers:
    """What an engine does because it is not alone."""

    def __init__(
        self,
        engine: Engine,
        store: SharedStore,
        clock: StoreClock,
        *,
        key: bytes,
        bus: Bus | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self.id = secrets.token_hex(16)
        self._courier = Courier(bus or NoBus(), self.id, key, self._take)
        self._leases = Leases(engine, store, self.id, clock, self._about)
        self._posting = Posting(engine, store, self._courier, self.id)
        self._tails = Tails(engine, store, self._courier, self._posting, self.id)
        self._posted: set[str] = set()
        self._poll = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Live, and hear the others. Raises `StoreError`."""
        await self._leases.start()
        await self._courier.open()
        self._polling = asyncio.create_task(self._run(), name="parlour-workers")

    async def leave(self) -> None:
        """Hand over all sessions at once, and say so."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self._leases.leave()
        self._posting.close()
        self._courier.send_all(Left(self.id))
        await self._courier.close()

    async def _run(self) -> None:
        """Look in the store for what the bus may have lost."""
        while True:
            await pause(self._poll, _POLL_SELDOM if self._courier.up else _POLL_SECONDS)
            self._poll.clear()
            try:
                await self._posting.look_for_verdicts()
                await self._posting.look_for_posts()
                await self._tails.look()
            except StoreError as error:
                log.debug("the store was not asked: %s", error)
            except Exception:
                log.exception("looking for what others did has failed; it goes on")

    @property
    def heard(self) -> bool:
        """Whether the store has heard of this worker lately."""
        return self._leases.heard

    def _about(self) -> dict[str, object]:
        return {
            **about_here(),
            "version": version("parlour"),
            "live": self._engine.live,
            "followed": self._tails.count,
            "lag": round(self._leases.lag, 3),
            "bus": self._courier.up,
        }

    # -- what the engine asks ---------------------------------------------------------------

    async def claim(self, session: str) -> Claim | Elsewhere | None:
        """Own a session, unless another living worker does. Raises `StoreError`."""
        claim = await self._leases.claim(session)
        if isinstance(claim, Claim) and claim.posted:
            self._posted.add(session)
        return claim

    async def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """What is due in sessions that nobody alive owns, and soon in ours. Raises `StoreError`."""
        return await self._store.due_free(before, limit)

    def forward(self, session: str, user: str | None, command: Command, done: Done) -> bool:
        """Post a command if its session is believed to live elsewhere."""
        if self._posting.owner(session) is None:
            return False
        self._posting.forward(session, user, command, done)
        return True

    def pass_on(
        self,
        session: str,
        worker: str,
        waiting: Sequence[tuple[str | None, Command, Done]],
    ) -> None:
        """It was to be woken, but lives elsewhere."""
        self._posting.owned_by(session, worker)
        for user, command, done in waiting:
            self._posting.forward(session, user, command, done)
        if self._engine.listeners(session):
            self._tails.follow(session)

    async def opened_elsewhere(self, session: str, command: str) -> Accepted:
        """Wait until whoever makes a session has begun it. Raises `Refused` and `StoreError`."""
        deadline = self._engine.monotonic() + _OPEN_SECONDS
        asked = False
        while self._engine.monotonic() < deadline and not self._engine.stopping:
            info: SessionInfo | None = await self._store.find(session)
            if info is not None and info.head:
                return Accepted(session, 1, repeated=True)
            await asyncio.sleep(_OPEN_PAUSE)
            if not asked and self._posting.owner(session) is not None:
                # Its answer to the making may have been lost, and with it all it knew of that.
                await self._posting.ask_to_open(session, command)
                asked = True
            await self._engine.wake(session, opened_by=command)
        raise Refused("unavailable", "The session could not be opened; try again.", 1.0)

    # -- what the engine tells --------------------------------------------------------------

    def lives_here(self, activation: Activation) -> None:
        """A session was claimed, and is in memory."""
        session = activation.id
        self._posting.owned_by(session, None)
        self._tails.stays(session)
        self._courier.send_all(Claimed(self.id, [session]))
        if session in self._posted:
            self._posted.discard(session)
            self._posting.look(session)

    def has_left(self, session: str) -> None:
        """A session is not in memory any more."""
        if self._engine.listeners(session):
            self._tails.follow(session)

    def listens(self, session: str) -> None:
        """There is a new listener."""
        self._tails.follow(session)

    def so_far(self, session: str) -> list[Delta]:
        """A listener of a session that lives elsewhere has come to the present: it is told soon."""
        self._tails.catch_up(session)
        return []

    def told(self, commit: Commit) -> None:
        """Records are durable."""
        self._tails.tell(commit)

    def shown(self, session: str, delta: Delta) -> None:
        """A delta is shown."""
        self._tails.show(session, delta)

    def erased(self, session: str) -> None:
        """Nothing is left of a session."""
        self._posting.forget(session)
        self._courier.send_all(Erased(session))

    # -- what others tell -------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        match message:
            case Posted():
                self._posting.posted(message)
            case Settled():
                self._posting.settled(message)
            case Watching():
                self._tails.watching(message)
            case Told():
                self._tails.told(message)
            case Reached():
                self._tails.reached(message)
            case Shown():
                self._tails.shown(message)
            case Claimed() if message.sender != self.id:
                self._tails.claimed(message.sender, message.sessions)
            case Left() if message.sender != self.id:
                self._posting.left(message.sender)
                self._leases.hurry()
                self._poll.set()
            case Erased():
                self._tails.erased(message.session)
            case _:
                pass
