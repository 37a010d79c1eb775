"""A session in memory: the only one who appends to its log.

A command is decided and applied in one go on the event loop, so there is no race to lose; the
records go to the next batch and are published when that is durable. What the handler does is its
`Runner`'s business.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections import deque
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from parlour.engine.commit import Commit
from parlour.engine.outcome import SMALL, Accepted, Done, command_size
from parlour.engine.runner import Runner
from parlour.engine.works import OWED, Works
from parlour.errors import Refused, RoundDropped, SessionOver, StoreError, StoreUnavailable
from parlour.events import (
    Close,
    Command,
    Delta,
    Event,
    FileRef,
    ProgressShown,
    QuestionClosed,
    RoundFinished,
    UserVariableSet,
    encode_chunk,
    encode_events,
)
from parlour.state import (
    Phase,
    State,
    check_command_id,
    decide,
    encode_snapshot,
    evolve_all,
    next_round,
    overdue,
)
from parlour.stores.store import Append, Appended, Entry, Outcome, Repeated, Snapshot, UserValue

if TYPE_CHECKING:
    from parlour.engine.engine import Engine


Parcel = tuple[FileRef, bytes | Path]
"""A file that a session is to have, and where its bytes are."""


log = logging.getLogger("parlour.engine")

_IDLE, _CLOSED = Phase.IDLE, Phase.CLOSED
_DOUBT_SECONDS = 5.0
"""How long a store may take to say whether it knows a command."""
_UNAVAILABLE = "The message could not be stored and was not accepted; try again in a moment."


class _Waiter(Struct, frozen=True):
    """Somebody waits until a record is durable."""

    seq: int
    call: Done
    command: str
    repeated: bool


class Activation:
    """One session of one engine, between waking and sleeping."""

    __slots__ = (
        "_at",
        "_deltas",
        "_doubtful",
        "_entries",
        "_held",
        "_inflight",
        "_inflight_size",
        "_name",
        "_size",
        "_snapshot_seq",
        "_timed",
        "_user_values",
        "_waiters",
        "durable",
        "engine",
        "epoch",
        "gone",
        "id",
        "local",
        "owed",
        "rest_at",
        "runner",
        "state",
        "told_work",
        "works",
    )

    def __init__(
        self, engine: Engine, session: str, epoch: int, state: State, snapshot_seq: int
    ) -> None:
        self.engine = engine
        self.id = session
        self.state = state
        self.durable = state.seq
        self.local: dict[str, Any] = {}
        self.gone = False
        self.owed = False
        """Whether its round was at work when its last owner ended."""
        self.told_work = False
        """Whether the store was told at the last batch that its handler works."""
        self.rest_at = math.inf
        """When the keeper looks whether it may leave memory."""
        self._name = state.name
        self._at = 0.0
        self._size = 0
        self._inflight_size = 0
        self.epoch = epoch
        self._snapshot_seq = snapshot_seq
        self._entries: list[tuple[str, list[Event]]] = []
        self._inflight: Commit | None = None
        self._held = 0
        self._waiters: list[_Waiter] = []
        self._deltas: list[tuple[int, Delta]] = []
        self._user_values: list[UserValue] = []
        self._timed: float | None = None
        self._doubtful: deque[tuple[Command, Done]] = deque()
        self.runner = Runner(self)
        self.works = Works(self)

    # -- commands ---------------------------------------------------------------------------

    def submit(self, user: str | None, command: Command, done: Done) -> None:
        """Decide a command of `user` (None: the application itself) and tell `done`."""
        state = self.state
        if user is not None and user != state.user:
            done(Refused("unknown_session", "There is no such session."))
            return
        known = state.recent.seq(command.id)
        if known is not None:
            self.when_durable(known, done, command.id, repeated=True)
            return
        if self._doubtful or (state.round is not None and state.recent.old):
            # To be refused as repeated at its commit would cost the round its handler.
            self._ask_store(command, done)
            return
        self._take_up(command, done)

    def _ask_store(self, command: Command, done: Done) -> None:
        """Take a command whose id may be older than what is remembered, if the log has it not."""
        doubtful = self._doubtful
        try:
            check_command_id(command.id)
        except Refused as refused:
            done(refused)
            return
        if len(doubtful) >= self.engine.settings.limits.queued_messages:
            done(Refused("busy", "Too much is waiting in this session already.", 2.0))
            return
        doubtful.append((command, done))
        if len(doubtful) == 1:
            self.engine.spawn(self._clear_doubts())

    async def _clear_doubts(self) -> None:
        while self._doubtful:
            command, done = self._doubtful[0]
            outcome: Refused | None = Refused("unavailable", _UNAVAILABLE, 1.0)
            try:
                async with asyncio.timeout(_DOUBT_SECONDS):
                    found = await self.engine.store.outcome(self.id, command.id)
                found = found or self.state.recent.seq(command.id)
                if not self.gone:
                    outcome = None
                    if found:
                        self.when_durable(found, done, command.id, repeated=True)
                    else:
                        self._take_up(command, done)
            except StoreError as error:
                log.error("session %s: %s", self.id[:8], error)
            except TimeoutError:
                # Whoever waits behind it is not to wait as long, one after another.
                log.error("session %s: the store does not answer", self.id[:8])
                while len(self._doubtful) > 1:
                    self._doubtful.pop()[1](Refused("unavailable", _UNAVAILABLE, 1.0))
            except Exception:
                log.exception("session %s could not take a command", self.id[:8])
                self.drop("the session could not follow what was recorded", again=True)
            finally:
                self._doubtful.popleft()
                if outcome is not None:
                    done(outcome)

    def _take_up(self, command: Command, done: Done) -> None:
        """Decide a command that is not in the log."""
        state, engine = self.state, self.engine
        if (
            engine.stopping
            or engine.committer.uncommitted > engine.most_uncommitted
            or engine.bridge.full
        ):
            refusal = engine.overload(command)
            if refusal is not None:
                done(refusal)
                return
        try:
            events = decide(
                state, command, engine.beginnings.rules_for(state.profile), engine.time()
            )
        except Refused as refused:
            done(refused)
            return
        if not events:
            done(Accepted(self.id, state.seq))
            return
        if state.round is None:
            seq = self.commit(events, command.id, size=command_size(command))
            self._waiters.append(_Waiter(seq, done, command.id, False))  # noqa: FBT003
            self.runner.go_on()
            return
        if any(type(event) is RoundFinished for event in events):
            events = [*self.runner.cut_streams(), *events]
        caused = tuple(events)
        self.commit(events, command.id, size=command_size(command))
        # A stop may be preceded by what was cut off; a repetition is told the same record.
        seq = self.state.recent.seq(command.id) or self.state.seq
        self._waiters.append(_Waiter(seq, done, command.id, False))  # noqa: FBT003
        self.runner.follow(caused)

    def advance(self) -> None:
        """Record what the passing of time has caused."""
        events = overdue(self.state, self.engine.time())
        if events and not self.gone:
            caused = tuple(events)
            self.commit(events)
            self.runner.follow(caused)

    def wake(self) -> None:
        """Take up what was left: what is overdue, messages that wait, a round that was working.

        A round that only waits needs its handler when there is something new.
        """
        self.runner.ready = self.owed and self.state.round is not None
        self.runner.parked = not self.owed
        self._timed = self.state.due
        if self._timed is not None:
            self.engine.keeper.wake_at(self.id, self._timed)
        if self.state.queue and self.state.phase is Phase.IDLE:
            self.commit([])
        self.advance()
        self.runner.go_on()
        self.works.look()

    def expire(self) -> None:
        """End a session that nobody has used for long, unless it is at work. Raises `Refused`."""
        if self.gone or self._entries or self._inflight is not None or self.runner.works:
            return
        rules = self.engine.beginnings.rules_for(self.state.profile)
        close = Close(id=f"expired-{secrets.token_hex(16)}", reason="expired")
        caused = tuple(decide(self.state, close, rules, self.engine.time()))
        self.commit(list(caused), close.id)
        self.runner.follow(caused)

    def begin(self, events: list[Event], command: str, done: Done) -> None:
        """The first records of a new session."""
        first = self.commit(events, command)
        self.when_durable(first, done, command, repeated=False)
        self.runner.go_on()

    # -- recording --------------------------------------------------------------------------

    def commit(self, events: list[Event], command: str = "", *, size: int = SMALL) -> int:
        """Apply events and hand them to the next batch; the seq of the first.

        If that leaves the session idle and something waits, its round starts with them. `size` is
        about how many bytes they have; the list of them is the activation's from now on.
        """
        if self.gone:
            raise SessionOver("this session has moved; attach to it again")
        engine, entries = self.engine, self._entries
        if not entries:
            # Whole milliseconds, which every store keeps: a fold of the log gives this very state.
            self._at = round(engine.time(), 3)
        first = self.state.seq + 1
        state = evolve_all(self.state, events, self._at)
        if state.queue and state.phase is _IDLE:
            # What waits gets its round in the same breath, and so in the same batch.
            begun = next_round(state)
            state = evolve_all(state, begun, self._at)
            events += begun
        self.state = state
        self._size += size
        engine.committer.uncommitted += size
        if not entries:
            entries.append((command, events))
            if self._inflight is None and not self._held:
                engine.committer.touch(self)
        elif command:
            entries.append((command, events))
        else:
            entries[-1][1].extend(events)
        return first

    def keep_user_value(self, event: UserVariableSet) -> None:
        """A variable of the user goes to the store with the next batch."""
        self._user_values.append(UserValue(event.name, bytes(event.value), event.kind))

    def keep_files(self, parcels: Sequence[Parcel]) -> None:
        """Write files that the newest record names: it goes to the store when they are durable."""
        self._held += 1
        self.engine.spawn(self._keep_files(parcels))

    async def _keep_files(self, parcels: Sequence[Parcel]) -> None:
        keep = self.engine.files.keep
        try:
            for ref, content in parcels:
                await asyncio.to_thread(keep, self.id, ref, content)
        except Exception as error:
            if isinstance(error, StoreError):
                log.error("session %s: %s", self.id[:8], error)
            else:
                log.exception("session %s could not keep a file", self.id[:8])
            if not self.gone:
                self._refused(StoreUnavailable("a file of the session could not be written"))
        finally:
            self._held -= 1
            if self.gone and await self.engine.store.find(self.id) is None:
                # It was erased meanwhile.
                await asyncio.to_thread(self.engine.files.erase, self.id)
            if not self._held and self._entries and self._inflight is None and not self.gone:
                self.engine.committer.touch(self)

    def take(self) -> Append | None:
        """What is to be written now; the committer calls `written` with its outcome."""
        if not self._entries or self._inflight is not None or self._held or self.gone:
            return None
        entries, self._entries = self._entries, []
        state, at = self.state, self._at
        last = state.seq
        if len(entries) == 1:
            command, events = entries[0]
            data = encode_events(events)
            kept: tuple[Entry, ...] = (Entry(command, data, len(events)),)
        else:
            kept = tuple([Entry(c, encode_events(some), len(some)) for c, some in entries])
            events = list(chain.from_iterable([some for _, some in entries]))
            data = encode_chunk(entry.data[1:-1] for entry in kept)
        after = last - len(events)
        self._inflight_size, self._size = self._size, 0
        self._inflight = Commit(self.id, after + 1, last, at, events, data)
        snapshot = None
        if last - self._snapshot_seq >= self.engine.settings.snapshot_every:
            snapshot = Snapshot(last, encode_snapshot(state))
            self._snapshot_seq = last
        user_values: tuple[UserValue, ...] = ()
        if self._user_values:
            user_values = tuple(self._user_values)
            self._user_values.clear()
        return Append(
            session=self.id,
            epoch=self.epoch,
            after=after,
            at=at,
            entries=kept,
            snapshot=snapshot,
            user_values=user_values,
            title=None if state.name is self._name else self._new_title(state),
            due=(
                None
                if state.round is None
                and self._timed is None
                and not state.reminders
                and not state.work
                else self._due()
            ),
            closed=state.phase is _CLOSED,
        )

    def _new_title(self, state: State) -> str | None:
        before, self._name = self._name.text, state.name
        return None if state.name.text == before else state.name.text

    def _due(self) -> float | None:
        """When the session has something to do without being asked: 0 while its handler works."""
        due = self.state.due
        if due != self._timed:
            self.engine.keeper.wake_at(self.id, due)
            self._timed = due
        self.told_work = self.runner.works
        if self.told_work:
            return 0.0
        return OWED if self.state.work else due

    def tell_rest(self) -> None:
        """The handler only waits: tell the store, if that was told that it works."""
        if self.told_work and not self.gone and self.resting and not self.runner.works:
            self.told_work = False
            self.engine.spawn(self.engine.tell_due(self))

    def written(self, outcome: Outcome | StoreError) -> None:
        """The batch is through: publish, or drop everything that is not in the log."""
        commit, self._inflight = self._inflight, None
        engine = self.engine
        engine.committer.uncommitted -= self._inflight_size
        self._inflight_size = 0
        if commit is None or self.gone:
            return
        if type(outcome) is not Appended:
            self._refused(outcome)
            return
        self.durable = last = commit.last
        engine.publish(commit)
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if waiter.seq <= last:
                    waiter.call(Accepted(self.id, waiter.seq, waiter.repeated))
                else:
                    self._waiters.append(waiter)
        if self._deltas:
            self._show_deltas()
        if self._entries:
            # It is looked at again when files it names are there.
            engine.committer.touch(self)
        elif self.told_work:
            self.tell_rest()
        elif self.state.phase is _CLOSED and self.runner.idle:
            self.works.end()
            self.release()

    def when_durable(self, seq: int, done: Done, command: str, *, repeated: bool) -> None:
        """Tell `done` when record `seq` is durable, or that it will never be."""
        if seq <= self.durable:
            done(Accepted(self.id, seq, repeated))
        else:
            self._waiters.append(_Waiter(seq, done, command, repeated))

    async def until_durable(self, seq: int) -> None:
        """Return when record `seq` is durable. Raises `RoundDropped` if it will never be."""
        if seq <= self.durable:
            return
        future: asyncio.Future[None] = self.engine.loop.create_future()

        def tell(outcome: Accepted | Refused) -> None:
            if future.done():
                return
            if isinstance(outcome, Refused):
                future.set_exception(RoundDropped(outcome.message))
            else:
                future.set_result(None)

        self.when_durable(seq, tell, "", repeated=False)
        await future

    def _refused(self, outcome: Outcome | StoreError) -> None:
        """The store kept nothing: this activation knows things that never were, so it goes."""
        waiters, self._waiters = self._waiters, []
        self.drop("the store did not accept what the session recorded", again=True)
        for waiter in waiters:
            if isinstance(outcome, Repeated) and waiter.command == outcome.command:
                waiter.call(Accepted(self.id, outcome.seq, repeated=True))
            else:
                waiter.call(Refused("unavailable", _UNAVAILABLE, 1.0))

    def drop(self, reason: str, *, again: bool = False) -> None:
        """Leave memory at once; what is not durable never happened.

        `again`: what is left undone so is taken up in a moment.
        """
        if self.gone:
            return
        self.runner.unwind(RoundDropped(reason))
        self.gone = True
        self.works.end()
        self.engine.committer.uncommitted -= self._size
        self._size = 0
        self._entries.clear()
        self._deltas.clear()
        self.engine.forget(self)
        if again:
            self.engine.look_again(self.id)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.call(Refused("unavailable", _UNAVAILABLE, 1.0))

    # -- showing ----------------------------------------------------------------------------

    def show(self, delta: Delta) -> None:
        """Show a delta, behind the records that came before it."""
        if self.gone:
            return
        if self.durable >= self.state.seq and not self._deltas:
            self.engine.show(self.id, delta)
        else:
            self._deltas.append((self.state.seq, delta))

    def forget_deltas(self, path: str) -> None:
        """The message at `path` is complete: what has not been shown of it would be a ghost."""
        if self._deltas:
            self._deltas = [(seq, delta) for seq, delta in self._deltas if delta.path != path]

    def held_back(self, path: str) -> int | None:
        """From where on the message at `path` waits for records before it to be durable."""
        waiting = [delta for _, delta in self._deltas if delta.path == path]
        offsets = [delta.offset for delta in waiting if not isinstance(delta, ProgressShown)]
        return min(offsets, default=None)

    def _show_deltas(self) -> None:
        deltas, self._deltas = self._deltas, []
        for seq, delta in deltas:
            if seq <= self.durable:
                self.engine.show(self.id, delta)
            else:
                self._deltas.append((seq, delta))

    def withdraw(self, event: QuestionClosed) -> None:
        """A branch that asked was cancelled; nobody may answer any more."""
        running = self.state.round
        if running is not None and event.question in running.questions and not self.gone:
            self.commit([event])

    # -- rest -------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Whether everything is durable and the round, if one runs, only waits."""
        return not self._entries and self._inflight is None and self.runner.rests

    def try_rest(self) -> bool:
        """Leave memory if nothing goes on; True if it does or has."""
        if self.gone:
            return True
        if self.runner.idle:
            return self.state.phase is not Phase.NEW and self.release()
        self.runner.hibernate()
        return False

    def release(self) -> bool:
        """Leave memory, if everything is durable."""
        if self._inflight is not None or self._entries or self._waiters or self._doubtful:
            return False
        if self.works.busy:
            return False
        self.gone = True
        self.engine.forget(self)
        return True

    def snapshot_to_keep(self) -> Append | None:
        """A snapshot worth keeping when the session leaves memory."""
        if self.state.seq - self._snapshot_seq < self.engine.settings.snapshot_every // 32:
            return None
        return Append(
            session=self.id,
            epoch=self.epoch,
            after=self.state.seq,
            at=self.engine.time(),
            snapshot=Snapshot(self.state.seq, encode_snapshot(self.state)),
            due=0.0 if self.runner.works else self.state.due,
            closed=self.state.phase is Phase.CLOSED,
        )
