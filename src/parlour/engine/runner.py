"""The handler of one live session: started, given what it waits for, unwound, left behind.

It turns what the log says of the running round into a call of the agent, and what becomes of that
into the round's end. The records are the activation's business.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from parlour.engine.journal import Journal
from parlour.engine.scope import Driven, Scope, current_scope
from parlour.errors import (
    Diverged,
    Hibernated,
    LimitExceeded,
    RoundStopped,
    SessionOver,
    Unwinding,
    describe,
)
from parlour.events import (
    Event,
    QuestionAnswered,
    QuestionClosed,
    RoundFinished,
    RoundResumed,
    SessionClosed,
    Status,
    TextStreamed,
    TimerFired,
)
from parlour.session import File, Message, Round, Session, SignalMessage
from parlour.session.values import decode_value
from parlour.state import Phase, RoundState, finish_round

if TYPE_CHECKING:
    from parlour.engine.activation import Activation

log = logging.getLogger("parlour.engine")

_UPDATED = "The bot was updated meanwhile and could not go on from here; please say it again."
_GIVEN_UP = "This could not be completed; please try again."
_TOO_LONG = "This took too long and was ended."
_TO_HANDLER = (RoundFinished, TimerFired, QuestionAnswered, QuestionClosed)


class Runner:
    """Runs the rounds of an activation, one after another.

    `ready` says that a waiting round has something new for its handler, `parked` that it left
    memory while it only waited; `fresh` that the handler
    was started in this turn of the loop and has not recorded anything yet; `active` is when it
    last went on, by the monotonic clock.
    """

    __slots__ = (
        "_activation",
        "_outcomes",
        "_task",
        "active",
        "fresh",
        "journal",
        "parked",
        "ready",
    )

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._outcomes: dict[str, asyncio.Future[Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self.active = activation.engine.clock.monotonic()
        self.fresh = False
        self.journal: Journal | None = None
        self.ready = False
        self.parked = False

    @property
    def idle(self) -> bool:
        """Whether no handler runs."""
        return self._task is None

    @property
    def rests(self) -> bool:
        """Whether no handler runs, or one that only waits for the user or the time."""
        return self._task is None or (self.journal is not None and self.journal.rests)

    @property
    def works(self) -> bool:
        """Whether a round runs that must be taken up again if this process dies now."""
        if self._activation.state.phase is not Phase.RUNNING:
            return False
        if self.journal is None:
            return self.ready or not self.parked
        return self.ready or not self.journal.rests

    # -- what comes from outside ------------------------------------------------------------

    def follow(self, events: Sequence[Event]) -> None:
        """What events that the handler did not cause do to it."""
        for event in events:
            if not isinstance(event, _TO_HANDLER):
                continue
            match event:
                case RoundFinished():
                    self.unwind(RoundStopped("the round was stopped"))
                case TimerFired():
                    self._give(event.path, event)
                case QuestionAnswered() | QuestionClosed():
                    self._give(self._path_of(event), event)
        self.go_on()

    def outcome_at(self, path: str) -> asyncio.Future[Any]:
        """A future for what ends the wait at `path`."""
        engine = self._activation.engine
        future: asyncio.Future[Any] = engine.loop.create_future()
        running = self._activation.state.round
        effect = running.journal.get(path) if running is not None else None
        if effect is not None and effect.outcome is not None:
            future.set_result(effect.outcome)
            return future
        self._outcomes[path] = future
        engine.watch_rest(self._activation)
        return future

    def cut_streams(self) -> list[Event]:
        """The messages that were being written, as far as they came; they end here."""
        return [] if self.journal is None else self.journal.cut_streams()

    def streams_so_far(self) -> list[TextStreamed]:
        """The messages that are being written, each as one delta from its start."""
        journal = self.journal
        if journal is None or journal.dead is not None:
            return []
        return [stream.so_far() for stream in journal.streams.values() if stream.text]

    def _path_of(self, event: QuestionAnswered | QuestionClosed) -> str:
        running = self._activation.state.round
        if running is not None:
            for path, effect in running.journal.items():
                if effect.seq == event.question:
                    return path
        return ""

    def _give(self, path: str, outcome: Event) -> None:
        self.active = self._activation.engine.clock.monotonic()
        future = self._outcomes.pop(path, None)
        if future is None:
            # A handler that has not come to its wait yet finds the outcome there.
            unwinds = self.journal is not None and self.journal.dead is not None
            self.ready = self._task is None or unwinds
        elif not future.done():
            if self.journal is not None:
                self.journal.waits.discard(path)
            future.set_result(outcome)

    # -- running ----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Start the handler if a round wants one, or the round of what waits longest."""
        activation = self._activation
        if self._task is not None or activation.gone:
            return
        running = activation.state.round
        if running is None:
            self._rest_later()
        elif self.ready:
            self._resume(running)
        elif running.journal or running.resumptions:
            self._rest_later()
        else:
            self._start(running, replay=False)

    def _resume(self, running: RoundState) -> None:
        limit = self._activation.engine.settings.limits.resumptions
        if running.resumptions >= limit:
            what = f"round {running.number} was taken up {limit} times without getting further"
            self._finish("failed", reason=_GIVEN_UP, error=self._report(what))
            self.go_on()
            return
        self._activation.commit([RoundResumed(round=running.number)])
        self._start(running, replay=True)

    def _start(self, running: RoundState, *, replay: bool) -> None:
        engine = self._activation.engine
        self.active = engine.clock.monotonic()
        journal = Journal(self._activation, running, replay=replay)
        self.journal = journal
        self.ready = self.parked = False
        self.fresh = True
        scope = Scope(journal)
        context = Context()
        context.run(current_scope.set, scope)
        self._task = asyncio.Task(
            self._run(journal, scope, running), loop=engine.loop, context=context
        )
        self._task.add_done_callback(self._ended)
        engine.works(self._activation)

    async def _run(self, journal: Journal, scope: Scope, running: RoundState) -> None:
        self.fresh = False
        agent = self._activation.engine.app.agent
        status: Status = "done"
        reason = error = detail = ""
        again = False
        try:
            await Driven(agent.respond(Session(journal), self._round(running)), scope)
            if journal.unreached:
                raise Diverged(
                    f"the journal has {journal.unreached}, which the code no longer reaches"
                )
        except (Unwinding, SystemExit, KeyboardInterrupt, BaseExceptionGroup) as failure:
            if not isinstance(journal.dead, Unwinding):
                status, error = "failed", self._report("the handler raised", failure)
        except asyncio.CancelledError:
            if journal.dead is None:
                status, error = "failed", self._report("the handler cancelled itself")
        except Diverged as divergence:
            status, detail = "diverged", describe(divergence)
            error = self._report(f"diverged: {divergence}")
            reason = self._reason(divergence) or _UPDATED
            again = self._activation.engine.settings.on_divergence == "restart"
        except Exception as failure:  # noqa: BLE001 - the round's edge: one failure, one round
            status, error = "failed", self._report("the handler raised", failure)
            reason = self._reason(failure)
        if isinstance(journal.dead, Unwinding):
            return
        if isinstance(journal.dead, LimitExceeded) and status == "done":
            status, error = "failed", self._report(str(journal.dead))
        self._finish(status, error=error, reason=reason, again=again, detail=detail)

    def _finish(
        self,
        status: Status,
        *,
        error: str = "",
        reason: str = "",
        again: bool = False,
        detail: str = "",
    ) -> None:
        """The round is over by itself; what waits gets its turn in the same batch."""
        activation, journal = self._activation, self.journal
        events = self.cut_streams()
        events += finish_round(
            activation.state, status, error=error, reason=reason, again=again, detail=detail
        )
        if journal is not None:
            journal.kill(SessionOver("the round is over; this session handle ended with it"))
            if status != "done":
                journal.cancel_tasks()
            if journal.closing and isinstance(events[-1], RoundFinished):
                events.append(SessionClosed())
        activation.commit(events)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        activation = self._activation
        activation.engine.stands(activation)
        if not task.cancelled() and task.exception() is not None:
            log.error("a round's task failed", exc_info=task.exception())
            activation.drop("the round's task failed")
        if activation.gone:
            return
        journal, self.journal = self.journal, None
        hibernated = journal is not None and isinstance(journal.dead, Hibernated)
        if hibernated and activation.state.round is not None and not self.ready:
            self.parked = True
            if not activation.release():
                self._rest_later()
            return
        self.go_on()

    def _round(self, running: RoundState) -> Round:
        source = running.source
        message = signal = None
        if source is not None and source.cause == "message":
            said = source.said
            message = Message(
                text=said.text,
                files=tuple([self._file(ref.id) for ref in said.files]),
                seq=said.seq,
                at=said.at,
            )
        elif source is not None:
            signal = SignalMessage(name=source.name, data=decode_value(source.data, ""))
        return Round(number=running.number, cause=running.cause, message=message, signal=signal)

    def _file(self, file: str) -> File:
        activation = self._activation
        ref = next(ref for ref in activation.state.files if ref.id == file)
        path = activation.engine.files.workspace(activation.id) / ref.id
        return File(id=ref.id, name=ref.name, type=ref.type, size=ref.size, path=path)

    # -- ending -----------------------------------------------------------------------------

    def unwind(self, reason: Unwinding) -> None:
        """Make the handler end: its session is dead, and what it waits for raises."""
        journal, task = self.journal, self._task
        if journal is None or task is None:
            return
        journal.kill(reason)
        outcomes, self._outcomes = self._outcomes, {}
        for future in outcomes.values():
            if not future.done():
                future.set_exception(reason)
        journal.cancel_tasks()
        if not isinstance(reason, Hibernated):
            task.cancel()
        self._activation.engine.abandon_later(self, task)

    def abandon(self, task: asyncio.Task[None]) -> None:
        """The handler does not end although it was told to: go on without it."""
        if task is not self._task:
            return
        log.warning(
            "session %s: a stopped handler still runs after %g s; it is left behind",
            self._activation.id[:8],
            self._activation.engine.settings.limits.stop_seconds,
        )
        self._task = self.journal = None
        self._activation.engine.stands(self._activation)
        self.go_on()

    def hibernate(self) -> bool:
        """Unwind a handler that only waits, so that the session may leave memory."""
        journal = self.journal
        if journal is None or journal.dead is not None or not journal.rests:
            return False
        self.unwind(Hibernated("the round waits outside of memory"))
        return True

    def check_time(self, now: float) -> None:
        """End the round if by `now` it has worked for too long without waiting."""
        journal, engine = self.journal, self._activation.engine
        running = self._activation.state.round
        limit = engine.settings.limits.round_seconds
        if running is None or journal is None or journal.dead is not None:
            return
        if journal.rests or now - self.active < limit:
            return
        what = f"round {running.number} worked for more than {limit:g} s"
        events = self.cut_streams()
        events += finish_round(
            self._activation.state, "failed", error=self._report(what), reason=_TOO_LONG
        )
        self._activation.commit(events)
        self.unwind(RoundStopped("the round took too long"))
        self.go_on()

    def _rest_later(self) -> None:
        activation = self._activation
        self.active = activation.engine.clock.monotonic()
        if not activation.in_rest_queue:
            activation.engine.watch_rest(activation)

    # -- telling ----------------------------------------------------------------------------

    def _report(self, what: str, error: BaseException | None = None) -> str:
        """Log for the operator; the id under which the user can name it."""
        number = secrets.token_hex(4)
        session = self._activation.id[:8]
        log.error("error %s in session %s: %s", number, session, what, exc_info=error)
        return number

    def _reason(self, failure: Exception) -> str:
        if self._activation.engine.settings.development:
            return f"{type(failure).__name__}: {describe(failure)}"
        return ""
