"""The journal of one round: each effect once, however often its handler runs.

Live, an effect is recorded under its path and happens. In a replay it is looked up: what is
recorded returns at once, and the first effect that is not recorded goes on live. Only the running
round is ever replayed. The rules of what a log may hold are `state`'s; where bytes go is the
activation's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import Raw
from msgspec.structs import replace

from parlour.engine.branches import gather, race
from parlour.engine.parts import END, OpenPart
from parlour.engine.receipts import Written
from parlour.engine.replay import brief, diverged
from parlour.engine.run import Run, check_files, ref_of
from parlour.engine.scope import Scope, current_scope
from parlour.engine.streams import OpenStream
from parlour.errors import (
    Diverged,
    LimitExceeded,
    NotStorable,
    SessionOver,
    StepFailed,
    StepInterrupted,
    describe,
)
from parlour.events import (
    AnyEvent,
    Button,
    Event,
    FileRef,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    ProgressShown,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    ReminderSet,
    StepFinished,
    StepRaised,
    StepStarted,
    TimerSet,
    UserVariableSet,
    WorkCancelled,
    WorkStarted,
)
from parlour.kernels.cell import Cell
from parlour.questions import Question
from parlour.session.agent import File
from parlour.session.attachments import Attachment, Packed, fits
from parlour.session.effects import PartSink, Receipt, StreamSink
from parlour.state import (
    Effect,
    Said,
    Stored,
)

log = logging.getLogger("parlour.engine")
T = TypeVar("T")

_DEEPEST = 32
"""How deep parts of the work may stand in each other: more than anybody reads."""


class Journal(Run):
    """The effects of one run of a round's handler (`Effects` of `session`)."""

    __slots__ = ()

    # -- Effects: reading -------------------------------------------------------------------

    @property
    def user(self) -> str:
        return self._activation.state.user

    @property
    def began(self) -> float:
        running = self._activation.state.round
        return 0.0 if running is None else running.at

    @property
    def place(self) -> Raw:
        running = self._activation.state.round
        return self._activation.state.place if running is None else running.place

    @property
    def profile(self) -> str:
        return self._activation.state.profile

    @property
    def local(self) -> dict[str, Any]:
        return self._activation.local

    @property
    def user_env(self) -> Mapping[str, str]:
        return self._activation.engine.keys.of(self.user)

    def workspace(self) -> Path:
        return self._activation.engine.files.workspace(self._activation.id)

    def file_path(self, file: FileRef) -> Path:
        return self._activation.engine.files.workspace(self._activation.id) / file.id

    # -- Effects: recording -----------------------------------------------------------------

    def record(self, kind: str, name: str, build: Callable[[str], Event]) -> Receipt:
        self.check_alive()
        path = self._scope().path(kind, name)
        event = cast("AnyEvent", build(path))
        if self._replay is not None:
            effect = self._recall(path)
            if effect is not None:
                if effect.event != event:
                    raise diverged(path, effect.event, brief(event))
                return Written(self._activation, effect.seq)
        seq = self.commit(event)
        if isinstance(event, UserVariableSet):
            self._activation.keep_user_value(event)
        return Written(self._activation, seq)

    def enclose(
        self,
        files: Sequence[Attachment | File],
        build: Callable[[str, tuple[FileRef, ...]], MessageAdded],
    ) -> Receipt:
        self.check_alive()
        path = self._scope().path("reply")
        effect = self._recall(path)
        if effect is None:
            return Written(self._activation, self.send(files, partial(build, path)))
        event = effect.event
        refs = event.files if isinstance(event, MessageAdded) else ()
        if not fits(refs, files) or event != build(path, refs):
            names = ", ".join(file.name for file in files)
            raise diverged(path, event, f"{brief(build(path, ()))} with the files {names or '-'}")
        return Written(self._activation, effect.seq)

    @property
    def repeats(self) -> bool:
        return self._replay is not None

    # -- Effects: what is shown of the work -------------------------------------------------

    def begin_part(self, begun: PartBegun) -> OpenPart:
        self.check_alive()
        scope = self._scope()
        path = scope.path("part", begun.name)
        if path.count("/part:") >= _DEEPEST:
            raise LimitExceeded(f"parts stand in each other up to {_DEEPEST} deep; show fewer")
        self._once(replace(begun, path=path))
        return self.parts.begin(self.streams, path, scope)

    def end_part(self, part: PartSink, ended: PartEnded | None, *, cost: bool) -> None:
        part = cast("OpenPart", part)
        shown = part.text
        self.parts.close(part)
        if ended is None or self.dead is not None:
            return
        path = f"{part.path}/{END}"
        used = self.parts.cost(part.path) if cost else None
        self._once(replace(ended, path=path, output=ended.output or shown, cost=used), late=True)

    def _once(self, event: PartBegun | PartEnded, *, late: bool = False) -> None:
        """Record it, unless it is recorded. `late`: what is recorded counts, if it differs."""
        effect = self._recall(event.path)
        if effect is None:
            self.commit(event)
        elif type(effect.event) is not type(event) or (not late and effect.event != event):
            raise diverged(event.path, effect.event, brief(event))

    def progress(self, done: float, total: float | None, text: str) -> None:
        self.check_alive()
        if self._replay is not None:
            return
        path = self._scope().part
        shown = ProgressShown(round=self.number, path=path, done=done, total=total, text=text)
        self.parts.progress(shown)

    def draw(self, kind: str, make: Callable[[], Raw]) -> Raw:
        self.check_alive()
        path = self._scope().path(kind)
        effect = self._recall(path)
        if effect is not None:
            if not isinstance(effect.event, StepFinished):
                raise diverged(path, effect.event, kind)
            return effect.event.value
        value = make()
        self.commit(StepFinished(path=path, value=value))
        return value

    async def ask(
        self, name: str, text: str, question: Question, timeout: float | None, note: str
    ) -> QuestionAnswered | None:
        self.check_alive()
        scope = self._scope()
        path = scope.path("ask", name)
        effect = None if self._replay is None else await self._recall_wait(path, scope)
        if effect is None:
            deadline = None if timeout is None else self._activation.engine.time() + timeout
            asked = QuestionAsked(
                path=path, text=text, question=question, deadline=deadline, note=note
            )
            seq = self.commit(asked)
        else:
            recorded = effect.event
            if not isinstance(recorded, QuestionAsked) or (
                recorded.text,
                recorded.question,
            ) != (text, question):
                raise diverged(path, recorded, f"the question {text!r}")
            seq = effect.seq
        withdrawal = QuestionClosed(question=seq, reason="withdrawn")
        outcome = await self._outcome(path, scope, effect, withdrawal)
        return outcome if isinstance(outcome, QuestionAnswered) else None

    async def sleep(self, seconds: float) -> None:
        self.check_alive()
        scope = self._scope()
        path = scope.path("sleep")
        effect = None if self._replay is None else await self._recall_wait(path, scope)
        if effect is None:
            due = self._activation.engine.time() + seconds
            self.commit(TimerSet(path=path, due=due))
        elif not isinstance(effect.event, TimerSet):
            raise diverged(path, effect.event, "a sleep")
        await self._outcome(path, scope, effect, None)

    def remind(self, name: str, due: float, data: Raw, *, wait: bool = True) -> Receipt:
        self.check_alive()
        path = self._scope().path("remind", name)
        effect = self._recall(path)
        if effect is None:
            due += self._activation.engine.time() if wait else 0.0
            event = ReminderSet(path=path, name=name, due=due, data=data)
            return Written(self._activation, self.commit(event))
        recorded = effect.event
        if not isinstance(recorded, ReminderSet) or recorded.data != data:
            raise diverged(path, recorded, f"the reminder {name!r}")
        return Written(self._activation, effect.seq)

    def start_work(self, name: str, data: Raw) -> Receipt:
        seq = self.record("work", name, lambda path: WorkStarted(path=path, name=name, data=data))
        self._activation.works.look()
        return seq

    def cancel_work(self, number: int) -> Receipt:
        seq = self.record("unwork", "", lambda path: WorkCancelled(path=path, work=number))
        self._activation.works.look()
        return seq

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
        if self._replay is not None:
            effect = await self._recall_step(path, scope)
            if effect is not None:
                return await self._performed(path, name, digest, effect)
        if at_most_once:
            self.commit(StepStarted(path=path, digest=digest))
        if self._steps is None:
            self._steps = set()
        self._steps.add(path)
        raised: Exception | None = None
        ended: StepFinished | StepRaised
        self.busy += 1
        scope.depth += 1
        scope.aside += 1
        try:
            await self._activation.until_durable(self._activation.state.seq)
            self.check_alive()
            value, value_kind = await self._run_step(path, run)
            ended = StepFinished(path=path, digest=digest, value=value, kind=value_kind)
        except asyncio.CancelledError:
            self._abandon(path)
            raise
        except Exception as error:  # noqa: BLE001 - a step may raise anything; it is recorded
            raised, ended = error, self._raised(path, digest, error)
        finally:
            scope.aside -= 1
            scope.depth -= 1
            self.busy -= 1
        self.check_alive()
        await self._end(ended, scope)
        if isinstance(ended, StepRaised):
            raise StepFailed(name, ended.error, ended.reason) from raised
        return ended.value, ended.kind

    async def _run_step(
        self, path: str, run: Callable[[], Awaitable[tuple[Raw, str]]]
    ) -> tuple[Raw, str]:
        token = current_scope.set(Scope(self, path + "/", 1))
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

    async def _end(self, event: StepFinished | StepRaised, scope: Scope) -> None:
        """Record that a step has ended, in its turn."""
        turns = self.crowd(scope)
        if turns is None:
            self._reached = self.commit(event)
        else:
            self._reached = await self.parked(turns.do(partial(self.commit, event)), scope)

    async def _performed(
        self, path: str, name: str, digest: str, effect: Effect
    ) -> tuple[Raw, str]:
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
            interrupted = StepRaised(
                path=path, digest=digest, error="StepInterrupted", reason="interrupted"
            )
            await self._end(interrupted, self._scope())
            raise StepInterrupted(name)
        if isinstance(outcome, StepFinished):
            return outcome.value, outcome.kind
        raised = cast("StepRaised", outcome)
        if raised.error == "StepInterrupted":
            raise StepInterrupted(name)
        raise StepFailed(name, raised.error, raised.reason)

    # -- Effects: streams and branches ------------------------------------------------------

    def stream(self, name: str) -> StreamSink:
        return self.streams.open(self._scope().path("stream", name))

    async def begin_stream(self, name: str) -> StreamSink:
        return await self.streams.begin(self._scope(), name)

    def enclose_in(
        self, sink: StreamSink, files: Sequence[Attachment | File], actions: Sequence[Button]
    ) -> None:
        self.check_alive()
        stream = cast("OpenStream", sink)
        if stream.done and not stream.recorded:
            raise SessionOver("this stream has ended; begin another one")
        stream.files = (*stream.files, *files)
        stream.actions = (*stream.actions, *actions)

    def end_stream(self, sink: StreamSink) -> Receipt | None:
        return self.streams.end(sink)

    async def finish_stream(self, sink: StreamSink, *, cut: bool) -> None:
        await self.streams.finish(sink, self._scope(), cut=cut)

    def streamed(self, sink: StreamSink) -> bool:
        return self.streams.recorded(sink)

    def cut_streams(self) -> list[Event]:
        """The messages that were being written, as far as they came."""
        return [] if self._streams is None else self._streams.cut_all()

    async def gather(self, branches: Sequence[Awaitable[Any]]) -> list[Any]:
        self.check_alive()
        return await gather(self, self._scope(), branches)

    async def race(self, branches: Sequence[Awaitable[Any]]) -> Any:
        self.check_alive()
        return await race(self, self._scope(), branches)

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
            running = self._activation.state.round
            taken = () if running is None else running.taken
            return tuple(item.said for item in taken if item.said.seq in wanted)
        if self._replay is not None:
            # It found nothing, or it would be recorded; what has come since is for a later one.
            return ()
        said = tuple(item.said for item in self._activation.state.queue if item.cause == "message")
        if said:
            self.commit(MessagesTaken(path=path, sources=tuple(item.seq for item in said)))
        return said

    async def in_thread(self, call: Callable[[], T], *, handler: bool = False) -> T:
        self.check_alive()
        scope = self._scope()
        rest = self._activation.runner.hibernate if handler else None
        scope.depth += 1
        try:
            return await self._activation.engine.bridge.into(call, self, rest=rest)
        finally:
            scope.depth -= 1

    async def in_process(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Raw, str]:
        self.check_alive()
        return await self._activation.engine.bridge.in_process(fn, args, self)

    def from_thread(self, call: Callable[[], T]) -> T:
        return self._activation.engine.bridge.back(call)

    def await_from_thread(self, call: Callable[[], Awaitable[T]]) -> T:
        return self._activation.engine.bridge.back_and_wait(call)

    async def run_cell(
        self,
        code: str,
        files: Sequence[tuple[str, Path]],
        seconds: float | None,
        live: Callable[[str], None],
    ) -> Cell:
        self.check_alive()

        def show(text: str) -> None:
            if self.dead is None:
                live(text)

        cells = self._activation.engine.cells
        return await cells.run(self.session_id, code, files, seconds, show)

    async def restart_kernel(self) -> None:
        self.check_alive()
        await self._activation.engine.cells.restart(self.session_id)

    async def user_value(self, name: str) -> Stored | None:
        found = await self._activation.engine.store.user_value(self.user, name)
        return None if found is None else Stored(Raw(found.value), found.kind)

    async def history(self, before: int | None, limit: int) -> list[Said]:
        self.check_alive()
        scope = self._scope()
        path = scope.path("history")
        effect = None if self._replay is None else self._recall(path)
        if effect is None:
            bound = self._activation.state.seq + 1
            seq = self.commit(StepFinished(path=path, value=Raw(b"%d" % bound)))
        elif isinstance(effect.event, StepFinished):
            bound, seq = int(bytes(effect.event.value)), effect.seq
        else:
            raise diverged(path, effect.event, "fetch_history")
        read = self._read_history(seq, bound if before is None else min(bound, before), limit)
        turns = self.crowd(scope)
        return await self.parked(read if turns is None else turns.after(seq, read), scope)

    async def _read_history(self, seq: int, before: int, limit: int) -> list[Said]:
        await self._activation.until_durable(seq)
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

    async def keep_file(self, name: str, packed: Packed) -> FileRef:
        engine = self._activation.engine
        ref = ref_of(name, packed)
        check_files([ref], len(self._activation.state.files) + 1, engine.settings.limits)
        await asyncio.to_thread(engine.files.keep, self._activation.id, ref, packed.content)
        return ref

    def close_after_round(self) -> None:
        self.check_alive()
        self.closing = True

    # -- inside -----------------------------------------------------------------------------

    async def _outcome(
        self, path: str, scope: Scope, effect: Effect | None, withdrawal: QuestionClosed | None
    ) -> Any:
        """What ends the wait at `path`, when it is its turn."""
        turns = self.crowd(scope)
        outcome = None if effect is None else effect.outcome
        if effect is None or outcome is None:
            return await self._wait_for(path, scope, withdrawal)
        if isinstance(outcome, QuestionClosed) and outcome.reason == "withdrawn":
            await self.stand(scope)
        if turns is not None:
            await self.parked(turns.at(effect.settled), scope)
        else:
            self.reach(effect.settled)
        return outcome

    async def _wait_for(self, path: str, scope: Scope, withdrawal: QuestionClosed | None) -> Any:
        turns = self.crowd(scope)
        self.waits.add(path)
        try:
            future = self._activation.runner.outcome_at(path)
            if turns is not None:
                return await self.parked(turns.outcome(path, future), scope)
            outcome = await self.parked(future, scope)
            self.reach(self.settled(path))
        except asyncio.CancelledError:
            if withdrawal is not None and self.dead is None:
                self._activation.withdraw(withdrawal)
            raise
        finally:
            self.waits.discard(path)
        return outcome

    def _raised(self, path: str, digest: str, error: Exception) -> StepRaised:
        if isinstance(error, StepFailed):
            kind, reason = error.type, error.reason
        else:
            kind, reason = type(error).__qualname__, describe(error)
        reason = self._activation.engine.keys.hide(self.user, reason)
        return StepRaised(path=path, digest=digest, error=kind, reason=reason)
