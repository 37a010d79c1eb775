"""A session in memory: the only one who appends to its log.

A command is decided and applied in one go on the event loop, so there is no race to lose; the
records go to the next batch and are published when that is durable. What the handler does is its
`Runner`'s business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from parlour.engine.commit import Commit
from parlour.engine.runner import Runner
from parlour.errors import Refused, RoundDropped, SessionOver, StoreError
from parlour.events import (
    Command,
    Event,
    QuestionClosed,
    RoundFinished,
    TextStreamed,
    UserVariableSet,
    encode_event,
)
from parlour.state import (
    Phase,
    State,
    decide,
    encode_snapshot,
    evolve_all,
    next_round,
    overdue,
)
from parlour.stores.store import Append, Appended, Entry, Outcome, Repeated, Snapshot, UserValue

if TYPE_CHECKING:
    from parlour.engine.engine import Engine


class Accepted(Struct, frozen=True):
    """A command is durable; `seq` is its first record, `repeated` tells that it was known."""

    session: str
    seq: int
    repeated: bool = False


Done = Callable[[Accepted | Refused], None]
"""Gets the outcome of a command, on the event loop, when it is durable."""

_UNAVAILABLE = "The message could not be stored and was not accepted; try again in a moment."


class _Waiter:
    """Somebody waits until a record is durable."""

    __slots__ = ("call", "command", "repeated", "seq")

    def __init__(self, seq: int, call: Done, command: str, *, repeated: bool) -> None:
        self.seq = seq
        self.call = call
        self.command = command
        self.repeated = repeated


class Activation:
    """One session of one engine, between waking and sleeping."""

    __slots__ = (
        "_at",
        "_deltas",
        "_entries",
        "_events",
        "_inflight",
        "_inflight_size",
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
        "in_rest_queue",
        "local",
        "owed",
        "runner",
        "state",
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
        self.in_rest_queue = False
        self._at = 0.0
        self._size = 0
        self._inflight_size = 0
        self.epoch = epoch
        self._snapshot_seq = snapshot_seq
        self._entries: list[tuple[str, list[bytes]]] = []
        self._events: list[Event] = []
        self._inflight: Commit | None = None
        self._waiters: list[_Waiter] = []
        self._deltas: list[tuple[int, TextStreamed]] = []
        self._user_values: list[UserValue] = []
        self._timed: float | None = None
        self.runner = Runner(self)

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
        refusal = self.engine.overload()
        if refusal is not None:
            done(refusal)
            return
        try:
            events = decide(state, command, self.engine.rules, self.engine.clock.time())
        except Refused as refused:
            done(refused)
            return
        if not events:
            done(Accepted(self.id, state.seq))
            return
        if any(type(event) is RoundFinished for event in events):
            events = [*self.runner.cut_streams(), *events]
        first = self.commit(events, command.id)
        # A stop may be preceded by what was cut off; a repetition is told the same record.
        named = self.state.recent.seq(command.id) or first
        self.when_durable(named, done, command.id, repeated=False)
        self.runner.follow(events)

    def advance(self) -> None:
        """Record what the passing of time has caused."""
        events = overdue(self.state, self.engine.clock.time())
        if events and not self.gone:
            self.commit(events)
            self.runner.follow(events)

    def wake(self, *, resume: bool) -> None:
        """Take up what was left: what is overdue, messages that wait, a round that was working.

        A round that only waits needs its handler when there is something new; `resume` says that
        it was working when its last worker ended.
        """
        self.runner.ready = resume and self.state.round is not None
        self.runner.parked = not resume
        if self.state.queue and self.state.phase is Phase.IDLE:
            self.commit([])
        self.advance()
        self.runner.go_on()

    def begin(self, events: Sequence[Event], command: str, done: Done) -> None:
        """The first records of a new session."""
        first = self.commit(events, command)
        self.when_durable(first, done, command, repeated=False)
        self.runner.follow(events)

    # -- recording --------------------------------------------------------------------------

    def commit(self, events: Sequence[Event], command: str = "") -> int:
        """Apply events and hand them to the next batch; the seq of the first.

        If that leaves the session idle and something waits, its round starts with them.
        """
        if self.gone:
            raise SessionOver("this session has moved; attach to it again")
        state = self.state
        first = state.seq + 1
        entries = self._entries
        if not entries:
            # Whole milliseconds, which every store keeps: a fold of the log gives this very state.
            self._at = round(self.engine.clock.time(), 3)
        state = evolve_all(state, events, self._at)
        if state.queue and state.phase is Phase.IDLE:
            # What waits gets its round in the same breath, and so in the same batch.
            begun = next_round(state)
            state = evolve_all(state, begun, self._at)
            events = [*events, *begun]
        records = [encode_event(event) for event in events]
        size = sum(map(len, records))
        self.state = state
        self._events += events
        self._size += size
        committer = self.engine.committer
        committer.uncommitted += size
        if not entries:
            entries.append((command, records))
            if self._inflight is None:
                committer.touch(self)
        elif command:
            entries.append((command, records))
        else:
            entries[-1][1].extend(records)
        return first

    def keep_user_value(self, event: UserVariableSet) -> None:
        """A variable of the user goes to the store with the next batch."""
        self._user_values.append(UserValue(event.name, bytes(event.value), event.kind))

    def take(self) -> Append | None:
        """What is to be written now; the committer calls `written` with its outcome."""
        if not self._entries or self._inflight is not None or self.gone:
            return None
        if self.runner.fresh:
            # Its handler starts in this turn of the loop: what that records joins the batch.
            self.runner.fresh = False
            self.engine.committer.touch(self)
            return None
        entries, self._entries = self._entries, []
        events, self._events = self._events, []
        state = self.state
        after = state.seq - len(events)
        at = self._at
        data = entries[0][1] if len(entries) == 1 else [r for _, rs in entries for r in rs]
        self._inflight_size, self._size = self._size, 0
        self._inflight = Commit(self.id, after + 1, at, events, data)
        snapshot = None
        if state.seq - self._snapshot_seq >= self.engine.settings.snapshot_every:
            snapshot = Snapshot(state.seq, encode_snapshot(state))
            self._snapshot_seq = state.seq
        user_values, self._user_values = tuple(self._user_values), []
        due = self._due()
        return Append(
            session=self.id,
            epoch=self.epoch,
            after=after,
            at=at,
            entries=tuple([Entry(command, tuple(records)) for command, records in entries]),
            snapshot=snapshot,
            user_values=user_values,
            due=due,
            closed=state.phase is Phase.CLOSED,
        )

    def _due(self) -> float | None:
        """When the session has something to do without being asked: 0 while its handler works."""
        due = self.state.due
        if due is not None and due != self._timed:
            self.engine.timer(self.id, due)
        self._timed = due
        return 0.0 if self.runner.works else due

    def written(self, outcome: Outcome | StoreError) -> None:
        """The batch is through: publish, or drop everything that is not in the log."""
        commit, self._inflight = self._inflight, None
        self.engine.committer.uncommitted -= self._inflight_size
        self._inflight_size = 0
        if commit is None or self.gone:
            return
        if not isinstance(outcome, Appended):
            self._refused(outcome)
            return
        self.durable = commit.last
        self.engine.publish(commit)
        if self._waiters:
            self._tell_waiters()
        if self._deltas:
            self._show_deltas()
        if self._entries:
            self.engine.committer.touch(self)
        elif self.state.phase is Phase.CLOSED and self.runner.idle:
            self.release()

    def _tell_waiters(self) -> None:
        waiting: list[_Waiter] = []
        for waiter in self._waiters:
            if waiter.seq <= self.durable:
                waiter.call(Accepted(self.id, waiter.seq, waiter.repeated))
            else:
                waiting.append(waiter)
        self._waiters = waiting

    def when_durable(self, seq: int, done: Done, command: str, *, repeated: bool) -> None:
        """Tell `done` when record `seq` is durable, or that it will never be."""
        if seq <= self.durable:
            done(Accepted(self.id, seq, repeated))
        else:
            self._waiters.append(_Waiter(seq, done, command, repeated=repeated))

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
        self.drop("the store did not accept what the session recorded")
        self.engine.look_again(self.id)
        for waiter in waiters:
            if isinstance(outcome, Repeated) and waiter.command == outcome.command:
                waiter.call(Accepted(self.id, outcome.seq, repeated=True))
            else:
                waiter.call(Refused("unavailable", _UNAVAILABLE, 1.0))

    def drop(self, reason: str) -> None:
        """Leave memory at once; what is not durable never happened."""
        if self.gone:
            return
        self.runner.unwind(RoundDropped(reason))
        self.gone = True
        self.engine.committer.uncommitted -= self._size
        self._size = 0
        self._entries.clear()
        self._events.clear()
        self._deltas.clear()
        self.engine.forget(self)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.call(Refused("unavailable", _UNAVAILABLE, 1.0))

    # -- showing ----------------------------------------------------------------------------

    def show(self, delta: TextStreamed) -> None:
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
        if self._inflight is not None or self._entries or self._waiters:
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
            at=self.engine.clock.time(),
            snapshot=Snapshot(self.state.seq, encode_snapshot(self.state)),
            due=0.0 if self.runner.works else self.state.due,
            closed=self.state.phase is Phase.CLOSED,
        )
