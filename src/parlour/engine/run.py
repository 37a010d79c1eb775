"""One run of a round's handler: how far it has come in the journal, and who of it goes on next.

`journal` says what each effect is; here is what they have in common. In a replay an effect is
looked up and its wait ends where it did; live there is nothing to look up.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypeVar

from parlour.engine.parts import Parts
from parlour.engine.readback import read_back
from parlour.engine.replay import Replay
from parlour.engine.scope import Scope, current_scope
from parlour.engine.streams import Streams
from parlour.engine.tasks import armed_timeout
from parlour.engine.turns import Turns
from parlour.errors import LimitExceeded, SessionOver, UnjournaledAwait, Unwinding
from parlour.events import (
    AnyEvent,
    Delta,
    FileRef,
    MessageAdded,
    PartBegun,
    PartEnded,
    PlaceTaken,
    QuestionAsked,
    ReminderSet,
    StepFinished,
    StepStarted,
    UserVariableSet,
    VariableSet,
    WorkStarted,
)
from parlour.session.agent import File
from parlour.session.attachments import Attachment, Packed, named
from parlour.settings import Limits
from parlour.state import (
    Effect,
    RoundState,
    State,
    View,
    check_value,
    check_variable,
    view_at,
)
from parlour.storable import text_size

if TYPE_CHECKING:
    from parlour.engine.activation import Activation, Parcel

log = logging.getLogger("parlour.engine")
T = TypeVar("T")

_AROUND = 100
"""About how many bytes of an event are not what its author wrote."""
_NONE: frozenset[Any] = frozenset()


class Run:
    """One run of a round's handler.

    `dead` is what session calls raise once the run is over; `waits` are the paths where it waits
    for the user or the time, `busy` and `foreign` count the steps under way and the waits for
    things the journal knows nothing of. `turns` is there once the handler has had branches.
    """

    __slots__ = (
        "_activation",
        "_first",
        "_parents",
        "_parts",
        "_past",
        "_reached",
        "_replay",
        "_steps",
        "_streams",
        "_tasks",
        "_unseen",
        "_warned",
        "busy",
        "closing",
        "dead",
        "foreign",
        "number",
        "turns",
        "waits",
    )

    def __init__(
        self, activation: Activation, running: RoundState | None, *, replay: bool = False
    ) -> None:
        self._activation = activation
        self.number = 0 if running is None else running.number
        self.dead: BaseException | None = None
        self.waits: set[str] = set()
        self.busy = 0
        self.foreign = 0
        self.closing = False
        self._streams: Streams | None = None
        self._parts: Parts | None = None
        self.turns: Turns | None = None
        self._first = 0 if running is None else running.started
        self._reached = self._first
        self._past: tuple[int, int, View] | None = None
        # Most rounds have none of these, and make no sets for them.
        self._steps: set[str] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unseen: AbstractSet[asyncio.Task[Any]] = _NONE
        self._parents: AbstractSet[Scope] = _NONE
        self._warned = False
        self._replay: Replay | None = None
        if replay and running is not None and running.journal:
            self._replay = Replay(running, activation.state.window)

    # -- what the activation asks ---------------------------------------------------------

    @property
    def session_id(self) -> str:
        return self._activation.id

    @property
    def rests(self) -> bool:
        """Whether the handler waits only for the user or the time, so that it may leave memory."""
        return bool(
            self.waits
            and not self.busy
            and not self.elsewhere
            and not self._unseen
            and (self.turns is None or not self.turns.restless)
        )

    @property
    def elsewhere(self) -> bool:
        """Whether some task of the handler waits for what the journal knows nothing of.

        One that has made tasks which are not done is taken to wait for those.
        """
        joining = sum(scope.blocked and scope.children > 0 for scope in self._parents)
        return self.foreign > joining

    @property
    def unreached(self) -> str:
        """A recorded effect that this run has not come to; "" if there is none."""
        return self._replay.next if self._replay is not None else ""

    @property
    def ended_by(self) -> Unwinding | None:
        """Why its handler is to end, if it is."""
        return self.dead if isinstance(self.dead, Unwinding) else None

    @property
    def gone_through(self) -> bool:
        """Whether the run has come to all that is recorded."""
        return self._replay is None or self._replay.gone_through

    def rest(self) -> None:
        """All is still."""
        if self.dead is None and self.rests:
            self._activation.tell_rest()

    def may_hibernate(self, main: asyncio.Task[Any] | None) -> bool:
        """Whether it may leave memory: not while a clock runs that only memory knows of."""
        tasks = {*self._tasks, *(() if self.turns is None else self.turns.tasks)}
        if not armed_timeout(tasks if main is None else {*tasks, main}):
            return True
        if not self._warned:
            self._warned = True
            log.warning(
                "session %s waits inside of asyncio.timeout, which a restart forgets, so it stays "
                "in memory; say `timeout=` to `session.ask` instead, or race it with "
                "`session.sleep`",
                self._activation.id[:8],
            )
        return False

    def kill(self, reason: BaseException) -> None:
        """Nothing is recorded any more; calls raise `reason`."""
        if self.dead is None or isinstance(reason, Unwinding):
            self.dead = reason
        if self.turns is not None:
            self.turns.end(reason)

    def foreign_wait(self) -> Exception | None:
        """The handler suspends outside of the engine: fine when live, an error in a replay."""
        if self._replay is None or self.dead is not None or self._tasks:
            # Tasks of the handler's own may be what it waits for, and are replayed themselves.
            return None
        if self.turns is not None and self.turns.crowded:
            # So may other branches.
            return None
        message = (
            "the handler awaited something that is not journaled while its round was replayed; "
            "wrap it in `await session.step(...)`, so that it runs once and its result is kept"
        )
        if self._activation.engine.settings.development:
            return UnjournaledAwait(message)
        if not self._warned:
            self._warned = True
            log.warning("session %s: %s", self._activation.id[:8], message)
        return None

    def check_alive(self) -> None:
        if self.dead is not None:
            raise self.dead

    def check_reply(self, size: int) -> None:
        limit = self._activation.engine.settings.limits.reply_bytes
        if size > limit:
            raise LimitExceeded(
                f"a message may have {limit:,} bytes; send a long text in several messages or as "
                "a file"
            )

    @property
    def streams(self) -> Streams:
        """The messages that are being written."""
        if self._streams is None:
            self._streams = Streams(self, self._activation)
        return self._streams

    @property
    def parts(self) -> Parts:
        """The parts of the work that are shown."""
        if self._parts is None:
            self._parts = Parts(self, self._activation)
        return self._parts

    def so_far(self) -> list[Delta]:
        """What is being written, and how far the work is, for whoever comes in the middle."""
        found: list[Delta | None] = []
        if self._streams is not None:
            held_back = self._activation.held_back
            found += [stream.so_far(held_back(stream.path)) for stream in self._streams.values()]
        if self._parts is not None:
            found += self._parts.so_far()
        return [delta for delta in found if delta is not None]

    # -- tasks ----------------------------------------------------------------------------

    def branch(self, task: asyncio.Task[Any]) -> None:
        """Something goes on beside the handler: from now on there are turns."""
        if self.turns is None:
            self.turns = Turns(self, self._activation.engine.loop)
        self.turns.add(task)

    def adopt(self, task: asyncio.Task[Any], parent: Scope | None) -> None:
        """A task that the handler made and that ends with the round if it is stopped.

        Without `parent` it is part of a step.
        """
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if parent is None:
            return
        self.branch(task)
        self._parents = {*self._parents, parent}
        parent.children += 1

        def done(_: object) -> None:
            parent.children -= 1
            if not parent.children:
                self._parents = self._parents - {parent}

        task.add_done_callback(done)

    def adopt_unseen(self, task: asyncio.Task[Any]) -> None:
        """The same for a task of which nobody can tell what it waits for."""
        self._tasks.add(task)
        self._unseen = {*self._unseen, task}

        def done(_: object) -> None:
            self._tasks.discard(task)
            self._unseen = self._unseen - {task}

        task.add_done_callback(done)

    def cancel_tasks(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    def crowd(self, scope: Scope) -> Turns | None:
        """The turns, if what stands in `scope` has to wait for its own."""
        turns = self.turns
        return None if turns is None or scope.aside or not turns.crowded else turns

    # -- reading --------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """What was recorded before the run's newest effect or the end of its newest wait.

        What others do after that is read after the next one: so a replay can tell.
        """
        state = self._activation.state
        running = state.round
        if self._replay is None and (
            running is None
            or running.number != self.number
            or not (running.outside or self.turns is not None)
        ):
            return state.view
        scope = current_scope.get()
        if running is None or (scope is not None and scope.aside):
            # A step runs once or is repeated as a whole: it reads what there is.
            return state.view
        if self._replay is not None:
            return self._replay.view
        return self._view_of(state, running)

    def _view_of(self, state: State, running: RoundState) -> View:
        seen, newest = self._reached, 0
        for path, effect in reversed(running.journal.items()):
            newest = newest or effect.seq
            if effect.seq <= seen:
                break
            if not self._inside(path):
                seen = effect.seq
                break
        if running.outside:
            newest = max(newest, running.outside[-1].seq)
        if newest <= seen and not (self.turns is not None and self.turns.ahead_of(seen)):
            return state.view
        if self._past is None or self._past[:2] != (seen, state.seq):
            self._past = (seen, state.seq, view_at(running, seen, state.window))
        return self._past[2]

    def _inside(self, path: str) -> bool:
        """Whether that is an effect of a step of this run."""
        end = path.rfind("/")
        while end > 0:
            if self._steps is not None and path[:end] in self._steps:
                return True
            end = path.rfind("/", 0, end)
        return False

    def settled(self, path: str) -> int:
        """Where the end of the wait at `path` is recorded; 0 if it is not."""
        running = self._activation.state.round
        effect = None if running is None else running.journal.get(path)
        return 0 if effect is None else effect.settled

    def reach(self, seq: int) -> None:
        """A wait has ended whose end is record `seq`: all that was before can be read."""
        self._reached = max(self._reached, seq)
        running = self._activation.state.round
        if self._replay is not None and running is not None:
            self._replay.reach(seq, running)

    # -- recording ------------------------------------------------------------------------

    def _scope(self) -> Scope:
        scope = current_scope.get()
        if scope is None or scope.journal is not self:
            raise SessionOver(
                "this session belongs to another round; use the session your handler was given, "
                "in the handler's own task or in tasks it makes"
            )
        return scope

    def commit(self, event: AnyEvent) -> int:
        self.check_alive()
        limit = self._activation.engine.settings.limits.records_per_round
        if self._activation.state.seq - self._first >= limit:
            self.dead = LimitExceeded(
                f"a round may record {limit:,} effects; split the work into several rounds"
            )
            raise self.dead
        # Of the most frequent one, whose path is ours, the text is all there is to look at.
        size = -1
        if type(event) is MessageAdded and not event.files and not event.actions:
            size = text_size(event.text)
        if size < 0:
            size = read_back(event)
        self._check_size(event, size)
        seq = self._activation.commit([event], size=size + _AROUND)
        if self._replay is not None:
            self._note(event)
        return seq

    def send(
        self,
        files: Sequence[Attachment | File],
        build: Callable[[tuple[FileRef, ...]], MessageAdded],
    ) -> int:
        """Record a message with files, which become durable before it; its seq."""
        self.check_alive()
        limits = self._activation.engine.settings.limits
        known = self._activation.state.files
        refs: list[FileRef] = []
        parcels: list[Parcel] = []
        for file in files:
            if not isinstance(file, Attachment):
                refs.append(_stored(file, known))
                continue
            packed = file.packed
            ref = ref_of(file.name, packed)
            refs.append(ref)
            parcels.append((ref, packed.content))
        check_files(refs, len(known) + len(parcels), limits)
        seq = self.commit(build(tuple(refs)))
        if parcels:
            self._activation.keep_files(parcels)
        return seq

    def _check_size(self, event: AnyEvent, size: int) -> None:
        activation = self._activation
        match event:
            case MessageAdded() | QuestionAsked() | PartBegun() | PartEnded():
                self.check_reply(size)
            case VariableSet():
                limits = activation.engine.settings.limits
                check_variable(activation.state, event.name, event.value, limits)
            case UserVariableSet():
                check_value(event.name, event.value, activation.engine.settings.limits)
            case ReminderSet() | WorkStarted():
                limits = activation.engine.settings.limits
                state = activation.state
                known = event.name in state.reminders
                if len(state.reminders) + len(state.work) - known >= limits.reminders:
                    raise LimitExceeded(
                        f"a session may have {limits.reminders:,} reminders and works at a time; "
                        "cancel some, or use a name again"
                    )
                check_value(event.name, event.data, limits)
            case PlaceTaken():
                check_value("place", event.place, activation.engine.settings.limits)
            case _:
                pass

    def _note(self, event: Any) -> None:
        """Something new in the middle of a replay: an edit, or a step that runs again."""
        running = self._activation.state.round
        if self._replay is not None and running is not None:
            effect = running.journal[event.path]
            if self._inside(event.path):
                self._replay.add_inside(effect)
            else:
                self._replay.add(effect)

    # -- waiting --------------------------------------------------------------------------

    async def parked(self, awaited: Awaitable[T], scope: Scope) -> T:
        """Await something of the engine's own."""
        scope.depth += 1
        try:
            return await awaited
        finally:
            scope.depth -= 1

    async def stand(self, scope: Scope) -> None:
        """Wait to be cancelled, as this place was when it was recorded."""
        turns = self.turns = self.turns or Turns(self, self._activation.engine.loop)
        await self.parked(turns.stand(), scope)

    async def hold(self, scope: Scope) -> None:
        """What begins now is not recorded: it waits for what is, if that is others'."""
        turns = self.crowd(scope)
        if turns is not None:
            await self.parked(turns.begin(), scope)
            self.check_alive()

    # -- repeating ------------------------------------------------------------------------

    def peek(self, path: str) -> Effect | None:
        """What is recorded at `path`; the run is about to come to it."""
        return None if self._replay is None else self._replay.peek(path)

    def take(self, event: StepFinished | MessageAdded) -> Effect | None:
        """The recorded effect at the path of `event`, which the run has come to."""
        return self._recall(event.path)

    def _recall(self, path: str) -> Effect | None:
        """What is recorded at `path`, if this run repeats another one that came so far."""
        replay = self._replay
        if replay is None:
            return None
        effect = replay.take(path)
        self._end_replay(replay)
        return effect

    async def _recall_wait(self, path: str, scope: Scope) -> Effect | None:
        """What is recorded at `path`; if nothing is, something new may begin there."""
        effect = self._recall(path)
        if effect is None:
            await self.hold(scope)
        return effect

    async def _recall_step(self, path: str, scope: Scope) -> Effect | None:
        """What is recorded of the step at `path`, when it is its turn."""
        replay = self._replay
        effect = None if replay is None else replay.peek(path)
        if replay is None or effect is None:
            if replay is not None:
                replay.enclose(path, finished=False)
            try:
                await self.hold(scope)
            except asyncio.CancelledError:
                self._abandon(path)
                raise
            return None
        begun = isinstance(effect.event, StepStarted)
        place = effect.settled if begun else effect.seq
        replay.enclose(path, finished=bool(place))
        if begun:
            self._recall(path)
        turns = self.crowd(scope)
        if not place:
            await self.hold(scope)
        elif turns is not None:
            await self.parked(turns.at(place), scope)
        elif begun:
            self.reach(place)
        if not begun:
            self._recall(path)
        return effect

    def _abandon(self, path: str) -> None:
        """The step at `path` is cancelled: nobody comes to what it has recorded."""
        replay = self._replay
        if replay is not None and self.dead is None:
            replay.abandon(path)
            self._end_replay(replay)

    def _end_replay(self, replay: Replay) -> None:
        if replay.over:
            self._reached = max(self._reached, replay.reached)
            self._replay = None
        if self.turns is not None and replay.gone_through:
            self.turns.look()


def ref_of(name: str, packed: Packed) -> FileRef:
    """A new file of the session."""
    return FileRef(
        id=secrets.token_hex(16),
        name=named(name, packed),
        type=packed.type,
        size=packed.size,
        alt=packed.alt,
        width=packed.width,
        height=packed.height,
        view=packed.view,
        rows=packed.rows,
    )


def _stored(file: File, known: Sequence[FileRef]) -> FileRef:
    for ref in known:
        if ref.id == file.id:
            return ref
    # It was stored by `attach` and has not been said yet.
    return file.ref or FileRef(id=file.id, name=file.name, type=file.type, size=file.size)


def check_files(refs: Sequence[FileRef], total: int, limits: Limits) -> None:
    """Raises `LimitExceeded` where these are too many or too large."""
    if len(refs) > limits.files_per_message:
        raise LimitExceeded(f"a message may bring {limits.files_per_message} files; send several")
    if total > limits.files_per_session:
        raise LimitExceeded(f"a session may have {limits.files_per_session:,} files")
    for ref in refs:
        if ref.size > limits.upload_bytes:
            raise LimitExceeded(
                f"the file {ref.name!r} has {ref.size:,} bytes, at most {limits.upload_bytes:,} "
                "are kept; give less, or raise limits.upload_bytes"
            )
