"""Commands for sessions that live elsewhere: left in the store for their owner, who is woken.

The one side posts and waits for the verdict; the other takes commands out of its sessions' inboxes
as if they had come to it. The verdict comes by the bus, or is found in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

import msgspec
from msgspec import Struct

from parlour.engine.bus import Courier, Posted, Settled
from parlour.engine.outcome import Accepted, Done
from parlour.errors import Refused, StoreError
from parlour.events import Command
from parlour.state import check_command_id
from parlour.stores.shared import SharedStore, Verdict
from parlour.stores.store import Posted as Outcome

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_KINDS: dict[str, type[Command]] = {kind.__name__: kind for kind in get_args(Command)}
_OPEN = "Open"
"""A letter that only wants the session to be there."""
_PATIENCE = 30.0
_KNOWN = 100_000
_UNKNOWN = ("unknown_session", "There is no such session.")
_LATE = "The session's owner does not answer; what you said is taken as soon as it does."
_UNREACHED = "The store cannot be reached; try again."


class _Letter(Struct, array_like=True):
    """A command as it lies in an inbox; `user` None is the application itself."""

    user: str | None
    kind: str
    command: msgspec.Raw


class _Outcome(Struct, array_like=True, omit_defaults=True):
    """What its owner decided of a command: a record, or a refusal."""

    seq: int
    repeated: bool = False
    code: str = ""
    message: str = ""
    retry_after: float | None = None


class _Waiter(Struct):
    done: Done
    until: float
    repeated: bool


class Posting:
    """Both ends of the inboxes, for one engine."""

    def __init__(self, engine: Engine, store: SharedStore, courier: Courier, me: str) -> None:
        self._engine = engine
        self._store = store
        self._courier = courier
        self._me = me
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._users: OrderedDict[str, str] = OrderedDict()
        self._outgoing: dict[str, deque[tuple[str | None, Command, Done]]] = {}
        self._waiters: dict[tuple[str, str], list[_Waiter]] = {}
        self._taking: set[tuple[str, str]] = set()
        self._reading: dict[str, bool] = {}
        self._senders: OrderedDict[str, dict[str, None]] = OrderedDict()

    # -- where sessions live ----------------------------------------------------------------

    def owner(self, session: str) -> str | None:
        """Which other worker is believed to own a session."""
        return self._owners.get(session)

    def owned_by(self, session: str, worker: str | None) -> None:
        """What is known of a session's owner; a wrong belief costs a moment, no more."""
        if worker is None or worker == self._me:
            self._owners.pop(session, None)
            return
        _keep(self._owners, session, worker)

    def left(self, worker: str) -> None:
        """A worker is gone."""
        for session in [each for each, owner in self._owners.items() if owner == worker]:
            del self._owners[session]

    # -- posting ----------------------------------------------------------------------------

    def forward(self, session: str, user: str | None, command: Command, done: Done) -> None:
        """Leave a command for the session's owner, in the order of the calls."""
        try:
            check_command_id(command.id)
        except Refused as refused:
            done(refused)
            return
        queue = self._outgoing.get(session)
        if queue is None:
            queue = self._outgoing[session] = deque()
            self._engine.spawn(self._post_all(session, queue))
        if len(queue) >= self._engine.settings.limits.queued_messages:
            done(Refused("busy", "Too much is waiting in this session already.", 2.0))
            return
        queue.append((user, command, done))

    async def _post_all(self, session: str, queue: deque[tuple[str | None, Command, Done]]) -> None:
        some: list[tuple[str | None, Command, Done]] = []
        try:
            while queue:
                some = list(queue)
                queue.clear()
                await self._post(session, some)
                some = []
        finally:
            self._outgoing.pop(session, None)
            _tell((*some, *queue), Refused("unavailable", _UNREACHED, 1.0))

    async def _post(self, session: str, some: Sequence[tuple[str | None, Command, Done]]) -> None:
        unavailable = Refused("unavailable", _UNREACHED, 1.0)
        try:
            owner = await self._user_of(session)
        except Exception as error:
            if not isinstance(error, StoreError):
                log.exception("commands could not be posted")
            _tell(some, unavailable)
            return
        letters = [each for each in some if owner and each[0] in (None, owner)]
        _tell([each for each in some if each not in letters], Refused(*_UNKNOWN))
        posted = await asyncio.gather(
            *(self._post_one(session, user, command) for user, command, _ in letters),
            return_exceptions=True,
        )
        worker: str | None = None
        for (_, command, done), found in zip(letters, posted, strict=True):
            match found:
                case BaseException():
                    if not isinstance(found, StoreError):
                        log.error("a command could not be posted", exc_info=found)
                    done(unavailable)
                case None:
                    done(Refused(*_UNKNOWN))
                case (outcome, _) if outcome.seq is not None:
                    done(Accepted(session, outcome.seq, repeated=True))
                case (outcome, worker):
                    until = self._engine.monotonic() + _PATIENCE
                    waiter = _Waiter(done, until, not outcome.fresh)
                    self._waiters.setdefault((session, command.id), []).append(waiter)
        self._rouse(session, worker)

    async def _post_one(
        self, session: str, user: str | None, command: Command
    ) -> tuple[Outcome, str | None] | None:
        data = msgspec.json.encode(
            _Letter(user, type(command).__name__, msgspec.Raw(msgspec.json.encode(command)))
        )
        return await self._store.post_for(session, command.id, data)

    async def ask_to_open(self, session: str, command: str) -> None:
        """Have the owner of a session begin it, if it has forgotten that it made it.

        Raises `StoreError`.
        """
        letter = _Letter(None, _OPEN, msgspec.Raw(b"null"))
        posted = await self._store.post_for(session, command, msgspec.json.encode(letter))
        if posted is not None:
            self._rouse(session, posted[1])

    def _rouse(self, session: str, worker: str | None) -> None:
        """Have the owner look; where there is none, own it."""
        if worker is None or worker == self._me:
            self._owners.pop(session, None)
            self.look(session)
        else:
            self.owned_by(session, worker)
            self._courier.send(worker, Posted(session, self._me))

    async def _user_of(self, session: str) -> str:
        """Whose a session is, "" if there is none; that never changes but by erasing it."""
        user = self._users.get(session)
        if user is None:
            info = await self._store.find(session)
            if info is None:
                return ""
            user = info.user
            _keep(self._users, session, user)
        return user

    def forget(self, session: str) -> None:
        """The session was erased."""
        self._users.pop(session, None)
        self._owners.pop(session, None)

    # -- verdicts ---------------------------------------------------------------------------

    def settled(self, message: Settled) -> None:
        """Its owner says what became of a command."""
        try:
            outcome = msgspec.json.decode(message.verdict, type=_Outcome)
        except msgspec.DecodeError:
            return
        self._settle(message.session, message.command, outcome)

    def _settle(self, session: str, command: str, outcome: _Outcome) -> None:
        for waiter in self._waiters.pop((session, command), ()):
            if outcome.code:
                waiter.done(Refused(outcome.code, outcome.message, outcome.retry_after))
            else:
                repeated = outcome.repeated or waiter.repeated
                waiter.done(Accepted(session, outcome.seq, repeated))

    async def look_for_verdicts(self) -> None:
        """Find in the store what the bus has not told. Raises `StoreError`."""
        commands = list(self._waiters)
        if not commands:
            return
        verdicts = await self._store.verdicts(commands)
        for (session, command), verdict in zip(commands, verdicts, strict=True):
            self._judge(session, command, verdict)

    def _judge(self, session: str, command: str, verdict: Verdict) -> None:
        if verdict.seq is not None:
            self._settle(session, command, _Outcome(verdict.seq))
        elif verdict.refusal is not None:
            raw = msgspec.Raw(verdict.refusal)
            self.settled(Settled(session, command, raw))
        elif not verdict.waits:
            outcome = _Outcome(0, code="unavailable", message=_UNREACHED, retry_after=1.0)
            self._settle(session, command, outcome)
        else:
            now = self._engine.monotonic()
            waiters = self._waiters.get((session, command), [])
            late = [waiter for waiter in waiters if waiter.until <= now]
            for waiter in late:
                waiters.remove(waiter)
                waiter.done(Refused("unavailable", _LATE, 2.0))
            if late and not waiters:
                del self._waiters[session, command]

    def close(self) -> None:
        """Tell all who still wait to ask elsewhere: what they said is not lost."""
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            for waiter in waiters:
                waiter.done(Refused("unavailable", "The server restarts; connect again.", 1.0))

    # -- the owner's side -------------------------------------------------------------------

    def posted(self, message: Posted) -> None:
        """Somebody has left a command in the inbox of one of ours, as far as he knows."""
        self._senders.setdefault(message.session, {})[message.sender] = None
        while len(self._senders) > _KNOWN:
            self._senders.popitem(last=False)
        self.look(message.session)

    def look(self, session: str) -> None:
        """Take what waits in a session's inbox, as soon as it lives here."""
        if self._engine.stopping:
            return
        if self._engine.find_live(session) is None:
            self._engine.spawn(self._wake(session))
        elif session in self._reading:
            self._reading[session] = True
        else:
            self._reading[session] = False
            self._engine.spawn(self._read(session))

    async def _wake(self, session: str) -> None:
        await self._engine.wake(session)
        if self._engine.find_live(session) is not None:
            self.look(session)

    async def _read(self, session: str) -> None:
        """One after another, and once more for what came meanwhile."""
        try:
            while True:
                self._reading[session] = False
                for item in await self._store.inbox(session):
                    self._take(session, item.command, item.data)
                if not self._reading[session]:
                    return
        except StoreError as error:
            log.error("the inbox of session %s cannot be read: %s", session[:8], error)
        finally:
            del self._reading[session]

    def _take(self, session: str, id_: str, data: bytes) -> None:
        if (session, id_) in self._taking or self._engine.find_live(session) is None:
            return
        self._taking.add((session, id_))
        done = partial(self._decided, session, id_)
        try:
            letter = msgspec.json.decode(data, type=_Letter)
            if letter.kind == _OPEN:
                done(Accepted(session, 1, repeated=True))
                return
            command = msgspec.json.decode(letter.command, type=_KINDS[letter.kind])
        except (msgspec.DecodeError, KeyError):
            done(Refused("invalid", "That command is of another version; try again later.", 5.0))
            return
        self._engine.submit(session, letter.user, command, done)

    def _decided(self, session: str, command: str, outcome: Accepted | Refused) -> None:
        if isinstance(outcome, Refused) and outcome.code == "unavailable":
            # It still lies there, for whoever owns the session next.
            self._taking.discard((session, command))
            return
        if isinstance(outcome, Refused):
            told = _Outcome(
                0, code=outcome.code, message=outcome.message, retry_after=outcome.retry_after
            )
        else:
            told = _Outcome(outcome.seq, outcome.repeated)
        self._engine.spawn(self._answer(session, command, told))

    async def _answer(self, session: str, command: str, outcome: _Outcome) -> None:
        verdict = msgspec.json.encode(outcome)
        held = self._engine.find_live(session)
        recorded = held is not None and held.state.recent.seq(command) is not None
        try:
            if outcome.code or not recorded:
                # What caused no record still lies in the inbox.
                await self._store.refuse(session, command, verdict)
        except StoreError as error:
            log.error("session %s: %s", session[:8], error)
        finally:
            self._taking.discard((session, command))
        self._settle(session, command, outcome)
        for sender in self._senders.get(session, {}):
            if sender != self._me:
                self._courier.send(sender, Settled(session, command, msgspec.Raw(verdict)))

    async def look_for_posts(self) -> None:
        """Find in the store what the bus has not told. Raises `StoreError`."""
        for session in await self._store.posted():
            self.look(session)


def _tell(some: Iterable[tuple[str | None, Command, Done]], refused: Refused) -> None:
    for _, _, done in some:
        done(refused)


def _keep(known: OrderedDict[str, str], session: str, value: str) -> None:
    known[session] = value
    known.move_to_end(session)
    while len(known) > _KNOWN:
        known.popitem(last=False)
