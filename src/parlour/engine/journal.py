"""The journal of one round: each effect once, however often its handler runs.

Live, an effect is recorded under its path and happens. In a replay it is looked up: what is
recorded returns at once, and the first effect that is not recorded goes on live. Only the running
round is ever replayed. The rules of what a log may hold are `state`'s; where bytes go is the
activation's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec import Raw

from parlour.engine.replay import Replay, brief, diverged
from parlour.engine.scope import Scope, cancel_all, current_scope, discard, spawn
from parlour.engine.streams import OpenStream
from parlour.errors import (
    Diverged,
    LimitExceeded,
    NotStorable,
    SessionOver,
    StepFailed,
    StepInterrupted,
    UnjournaledAwait,
    describe,
)
from parlour.events import (
    AnyEvent,
    Event,
    FileRef,
    MessageAdded,
    MessagesTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    StepFinished,
    StepRaised,
    StepStarted,
    TextStreamed,
    TimerSet,
    UserVariableSet,
    VariableSet,
)
from parlour.questions import Question
from parlour.session.effects import Receipt, StreamSink
from parlour.state import (
    Effect,
    RoundState,
    Said,
    Stored,
    View,
    check_variable,
)

if TYPE_CHECKING:
    from parlour.engine.activation import Activation

log = logging.getLogger("parlour.engine")
T = TypeVar("T")


class Written:
    """The receipt of an effect."""

    __slots__ = ("_activation", "seq")

    def __init__(self, activation: Activation, seq: int) -> None:
        self._activation = activation
        self.seq = seq

    def __await__(self) -> Any:
        scope = current_scope.get()
        if scope is not None:
            scope.depth += 1
        try:
            yield from self._activation.until_durable(self.seq).__await__()
        finally:
            if scope is not None:
                scope.depth -= 1
        return self.seq


class Journal:
    """The effects of one run of a round's handler (`Effects` of `session`).

    `dead` is what session calls raise once the run is over; `waits` are the paths where it waits
    for the user or the time, `busy` and `foreign` count the steps under way and the waits for
    things the journal knows nothing of.
    """

    __slots__ = (
        "_activation",
        "_first",
        "_replay",
        "_tasks",
        "_warned",
        "busy",
        "closing",
        "dead",
        "foreign",
        "number",
        "streams",
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
        self.streams: dict[str, OpenStream] = {}
        self._first = 0 if running is None else running.started
        self._tasks: set[asyncio.Task[Any]] = set()
        self._warned = False
        self._replay: Replay | None = None
        if replay and running is not None and running.journal:
            self._replay = Replay(running)

    # -- what the activation asks -----------------------------------------------------------

    @property
    def rests(self) -> bool:
        """Whether the handler waits only for the user or the time, so that it may leave memory."""
        return bool(
            self.waits
            and not self.busy
            and not self.foreign
            and not any(not task.done() for task in self._tasks)
        )

    @property
    def unreached(self) -> str:
        """A recorded effect that this run has not come to; "" if there is none."""
        return self._replay.next if self._replay is not None else ""

    def kill(self, reason: BaseException) -> None:
        """Nothing is recorded any more; calls raise `reason`."""
        if self.dead is None:
            self.dead = reason

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task that the handler made and that ends with the round if it is stopped."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel_tasks(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    def foreign_wait(self) -> Exception | None:
        """The handler suspends outside of the engine: fine when live, an error in a replay."""
        if self._replay is None or self.dead is not None or self._tasks:
            # Tasks of the handler's own may be what it waits for, and are replayed themselves.
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

    # -- Effects: reading -------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        return self._activation.id

    @property
    def user(self) -> str:
        return self._activation.state.user

    @property
    def view(self) -> View:
        return self._activation.state.view if self._replay is None else self._replay.view

    @property
    def local(self) -> dict[str, Any]:
        return self._activation.local

    def workspace(self) -> Path:
        return self._activation.engine.files.workspace(self._activation.id)

    def file_path(self, file: FileRef) -> Path:
        return self._activation.engine.files.workspace(self._activation.id) / file.id

    # -- Effects: recording -----------------------------------------------------------------

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

    def record(self, kind: str, name: str, build: Callable[[str], Event]) -> Receipt:
        self.check_alive()
        path = self._scope().path(kind, name)
        event = cast("AnyEvent", build(path))
        effect = self._recall(path)
        if effect is not None:
            if effect.event != event:
                raise diverged(path, effect.event, brief(event))
            return Written(self._activation, effect.seq)
        self._check_size(event)
        seq = self._commit(event)
        if isinstance(event, UserVariableSet):
            self._activation.keep_user_value(event)
        return Written(self._activation, seq)

    def draw(self, kind: str, make: Callable[[], Raw]) -> Raw:
        self.check_alive()
        path = self._scope().path(kind)
        effect = self._recall(path)
        if effect is not None:
            if not isinstance(effect.event, StepFinished):
                raise diverged(path, effect.event, kind)
            return effect.event.value
        value = make()
        self._commit(StepFinished(path=path, value=value))
        return value

    async def ask(
        self, name: str, text: str, question: Question, timeout: float | None, note: str
    ) -> QuestionAnswered | None:
        self.check_alive()
        path = self._scope().path("ask", name)
        effect = self._recall(path)
        if effect is None:
            deadline = None if timeout is None else self._activation.engine.clock.time() + timeout
            asked = QuestionAsked(
                path=path, text=text, question=question, deadline=deadline, note=note
            )
            self.check_reply(len(text))
            seq = self._commit(asked)
        else:
            recorded = effect.event
            if not isinstance(recorded, QuestionAsked) or (
                recorded.text,
                recorded.question,
            ) != (text, question):
                raise diverged(path, recorded, f"the question {text!r}")
            seq = effect.seq
        outcome = effect.outcome if effect is not None else None
        if outcome is None:
            outcome = await self._wait_for(path, QuestionClosed(question=seq, reason="withdrawn"))
        return outcome if isinstance(outcome, QuestionAnswered) else None

    async def sleep(self, seconds: float) -> None:
        self.check_alive()
        path = self._scope().path("sleep")
        effect = self._recall(path)
        if effect is None:
            due = self._activation.engine.clock.time() + seconds
            self._commit(TimerSet(path=path, due=due))
        elif not isinstance(effect.event, TimerSet):
            raise diverged(path, effect.event, "a sleep")
        if effect is None or effect.outcome is None:
            await self._wait_for(path, None)

    async def perform(
        self,
        kind: str,
        name: str,
        digest: str,
        run: Callable[[], Awaitable[tuple[Raw, str]]],
        *,
        at_most_once: bool = False,
    ) -> tuple[Raw, str]:
        self.check_alive()
        scope = self._scope()
        path = scope.path(kind, name)
        effect = self._recall(path)
        if effect is not None:
            return self._performed(path, name, digest, effect)
        if at_most_once:
            self._commit(StepStarted(path=path, digest=digest))
        self.busy += 1
        scope.depth += 1
        try:
            await self._activation.until_durable(self._activation.state.seq)
            self.check_alive()
            value, value_kind = await self._run_step(path, run)
        except Exception as error:  # noqa: BLE001 - a step may raise anything; it is recorded
            return self._step_raised(path, name, digest, error)
        finally:
            scope.depth -= 1
            self.busy -= 1
        self.check_alive()
        self._commit(StepFinished(path=path, digest=digest, value=value, kind=value_kind))
        return value, value_kind

    async def _run_step(
        self, path: str, run: Callable[[], Awaitable[tuple[Raw, str]]]
    ) -> tuple[Raw, str]:
        token = current_scope.set(Scope(self, path + "/"))
        try:
            value, kind = await run()
        finally:
            current_scope.reset(token)
        limit = self._activation.engine.settings.limits.value_bytes
        if len(bytes(value)) > limit:
            raise NotStorable(
                f"the result has {len(bytes(value)):,} bytes, at most {limit:,} are kept; write "
                "large data to a file in session.workspace and return its name"
            )
        return value, kind

    def _step_raised(self, path: str, name: str, digest: str, error: Exception) -> tuple[Raw, str]:
        self.check_alive()
        if isinstance(error, StepFailed):
            kind, reason = error.type, error.reason
        else:
            kind, reason = type(error).__qualname__, describe(error)
        self._commit(StepRaised(path=path, digest=digest, error=kind, reason=reason))
        raise StepFailed(name, kind, reason) from error

    def _performed(self, path: str, name: str, digest: str, effect: Effect) -> tuple[Raw, str]:
        event = effect.event
        if not isinstance(event, StepStarted | StepFinished | StepRaised):
            raise diverged(path, event, f"the step {name!r}")
        if event.digest != digest:
            raise Diverged(
                f"the journal has the step {path} with other arguments than the code calls it with "
                f"(recorded {event.digest}, now {digest})"
            )
        outcome = effect.outcome if isinstance(event, StepStarted) else event
        if outcome is None:
            self._commit(
                StepRaised(path=path, digest=digest, error="StepInterrupted", reason="interrupted")
            )
            raise StepInterrupted(name)
        if isinstance(outcome, StepFinished):
            return outcome.value, outcome.kind
        raised = cast("StepRaised", outcome)
        if raised.error == "StepInterrupted":
            raise StepInterrupted(name)
        raise StepFailed(name, raised.error, raised.reason)

    # -- Effects: streams -------------------------------------------------------------------

    def stream(self, name: str) -> OpenStream:
        self.check_alive()
        path = self._scope().path("stream", name)
        effect = self._recall(path)
        if effect is None:
            stream = OpenStream(self, path, None)
            self.streams[path] = stream
            return stream
        if not isinstance(effect.event, MessageAdded):
            raise diverged(path, effect.event, "a stream")
        return OpenStream(self, path, effect.event.text)

    def end_stream(self, sink: StreamSink) -> Receipt | None:
        stream = cast("OpenStream", sink)
        if stream.recorded:
            return None
        self.check_alive()
        stream.done = True
        self.streams.pop(stream.path, None)
        self._activation.forget_deltas(stream.path)
        if not stream.text:
            return None
        event = MessageAdded(role="bot", text=stream.text, path=stream.path)
        return Written(self._activation, self._commit(event))

    def streamed(self, sink: StreamSink) -> bool:
        return cast("OpenStream", sink).recorded

    def cut_streams(self) -> list[Event]:
        """The messages that were being written, as far as they came."""
        cut: list[Event] = []
        for stream in self.streams.values():
            stream.done = True
            self._activation.forget_deltas(stream.path)
            if stream.text:
                cut.append(MessageAdded(role="bot", text=stream.text, path=stream.path))
        self.streams.clear()
        return cut

    def flush_soon(self, stream: OpenStream) -> None:
        self._activation.engine.loop.call_soon(stream.flush)

    def show(self, delta: TextStreamed) -> None:
        if self.dead is None:
            self._activation.show(delta)

    # -- Effects: branches ------------------------------------------------------------------

    async def gather(self, branches: Sequence[Awaitable[Any]]) -> list[Any]:
        self.check_alive()
        scope = self._scope()
        base = scope.path("gather")
        tasks = [
            spawn(branch, Scope(self, f"{base}/{number}/"))
            for number, branch in enumerate(branches)
        ]
        if not tasks:
            return []
        scope.depth += 1
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            await cancel_all(tasks)
            scope.depth -= 1

    async def race(self, branches: Sequence[Awaitable[Any]]) -> Any:
        self.check_alive()
        if not branches:
            raise ValueError("a race needs at least one branch")
        scope = self._scope()
        base = scope.path("race")
        effect = self._recall(base)
        if effect is not None:
            return await self._rerun_winner(scope, base, effect, branches)
        tasks = [
            spawn(branch, Scope(self, f"{base}/{number}/"))
            for number, branch in enumerate(branches)
        ]
        scope.depth += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            winner = next(number for number, task in enumerate(tasks) if task.done())
            losers = [task for number, task in enumerate(tasks) if number != winner]
            await cancel_all(losers)
            self.check_alive()
            self._commit(StepFinished(path=base, value=Raw(str(winner).encode())))
            return tasks[winner].result()
        finally:
            await cancel_all(tasks)
            scope.depth -= 1

    async def _rerun_winner(
        self, scope: Scope, base: str, effect: Effect, branches: Sequence[Awaitable[Any]]
    ) -> Any:
        if not isinstance(effect.event, StepFinished):
            raise diverged(base, effect.event, "a race")
        winner = msgspec.json.decode(effect.event.value, type=int)
        if winner >= len(branches):
            raise Diverged(f"branch {winner} won the race {base}, which the code no longer has")
        mine = f"{base}/{winner}/"
        for number, branch in enumerate(branches):
            if number != winner:
                discard(branch)
        if self._replay is not None:
            self._replay.drop_branches(base, mine)
            if self._replay.over:
                self._replay = None
        task = spawn(branches[winner], Scope(self, mine))
        scope.depth += 1
        try:
            return await task
        finally:
            await cancel_all([task])
            scope.depth -= 1

    # -- Effects: the rest ------------------------------------------------------------------

    def take_messages(self) -> tuple[Said, ...]:
        self.check_alive()
        if self._activation.engine.settings.incoming != "steer":
            return ()
        path = self._scope().path("take")
        effect = self._recall(path)
        if effect is not None:
            if not isinstance(effect.event, MessagesTaken):
                raise diverged(path, effect.event, "take_messages")
            wanted = set(effect.event.sources)
            heard = self._activation.state.heard.messages
            return tuple(said for said in heard if said.seq in wanted)
        said = tuple(item.said for item in self._activation.state.queue if item.cause == "message")
        if said:
            self._commit(MessagesTaken(path=path, sources=tuple(item.seq for item in said)))
        return said

    async def in_thread(self, call: Callable[[], T]) -> T:
        self.check_alive()
        scope = self._scope()
        scope.depth += 1
        try:
            return await self._activation.engine.bridge.into(call)
        finally:
            scope.depth -= 1

    def from_thread(self, call: Callable[[], T]) -> T:
        return self._activation.engine.bridge.back(call)

    def await_from_thread(self, call: Callable[[], Awaitable[T]]) -> T:
        return self._activation.engine.bridge.back_and_wait(call)

    async def user_value(self, name: str) -> Stored | None:
        found = await self._activation.engine.store.user_value(self.user, name)
        return None if found is None else Stored(Raw(found.value), found.kind)

    async def history(self, before: int | None, limit: int) -> list[Said]:
        self.check_alive()
        return await self._activation.engine.read_history(self._activation.id, before, limit)

    async def add_file(self, content: AsyncIterable[bytes], name: str, type_: str) -> FileRef:
        engine = self._activation.engine
        return await engine.files.add(
            self._activation.id,
            content,
            name=name,
            type_=type_,
            limit=engine.settings.limits.upload_bytes,
        )

    def close_after_round(self) -> None:
        self.check_alive()
        self.closing = True

    # -- inside -----------------------------------------------------------------------------

    def _scope(self) -> Scope:
        scope = current_scope.get()
        if scope is None or scope.journal is not self:
            raise SessionOver(
                "this session belongs to another round; use the session your handler was given, "
                "in the handler's own task or in tasks it makes"
            )
        return scope

    def _commit(self, event: AnyEvent) -> int:
        self.check_alive()
        limit = self._activation.engine.settings.limits.records_per_round
        if self._activation.state.seq - self._first >= limit:
            self.dead = LimitExceeded(
                f"a round may record {limit:,} effects; split the work into several rounds"
            )
            raise self.dead
        return self._activation.commit([event])

    def _check_size(self, event: AnyEvent) -> None:
        if isinstance(event, MessageAdded):
            self.check_reply(len(event.text))
        elif isinstance(event, VariableSet):
            activation = self._activation
            check_variable(
                activation.state, event.name, event.value, activation.engine.settings.limits
            )

    async def _wait_for(self, path: str, withdrawal: QuestionClosed | None) -> Any:
        scope = self._scope()
        self.waits.add(path)
        scope.depth += 1
        try:
            return await self._activation.runner.outcome_at(path)
        except asyncio.CancelledError:
            if withdrawal is not None and self.dead is None:
                self._activation.withdraw(withdrawal)
            raise
        finally:
            scope.depth -= 1
            self.waits.discard(path)

    def _recall(self, path: str) -> Effect | None:
        """What is recorded at `path`, if this run repeats another one that came so far."""
        replay = self._replay
        if replay is None:
            return None
        effect = replay.take(path)
        if replay.over:
            self._replay = None
        return effect
