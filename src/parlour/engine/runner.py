"""The handler of one live session: started, given what it waits for, unwound, left behind.

It turns what the log says of the running round into a call of the agent, and what becomes of that
into the round's end. The records are the activation's business.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import traceback
from collections.abc import Awaitable, Sequence
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from parlour.engine.journal import Journal
from parlour.engine.scope import Scope, current_scope, drive
from parlour.engine.works import work_result
from parlour.errors import (
    Diverged,
    Hibernated,
    Refused,
    RoundStopped,
    SessionOver,
    Unwinding,
    UserKeyMissing,
    describe,
)
from parlour.events import (
    Delta,
    Event,
    QuestionAnswered,
    QuestionClosed,
    RoundFinished,
    RoundResumed,
    RoundSurvived,
    SessionClosed,
    Status,
    TimerFired,
)
from parlour.session import Feedback, Reminder, Round, Session, SignalMessage
from parlour.session.base import message_of
from parlour.session.values import decode_value
from parlour.state import Phase, RoundState, finish_round

if TYPE_CHECKING:
    from parlour.engine.activation import Activation
    from parlour.engine.outcome import Accepted

log = logging.getLogger("parlour.engine")

_UPDATED = "The bot was updated meanwhile and could not go on from here; please say it again."
_GIVEN_UP = "This could not be completed; please try again."
_KEY_MISSING = "This needs your {}. Enter it in the settings, then try again."
_TOO_LONG = "This took too long and was ended."
_SURVIVED_SECONDS = 60.0
"""A worker that has run a round for so long will hardly die of it."""
_TO_HANDLER = (RoundFinished, TimerFired, QuestionAnswered, QuestionClosed)


class Runner:
    """Runs the rounds of an activation, one after another.

    `ready` says that a waiting round has something new for its handler, `parked` that it left
    memory while it only waited; `active` is when it last went on, by the monotonic clock.
    A handler has a task only if it has to wait.
    """

    __slots__ = (
        "_activation",
        "_outcomes",
        "_task",
        "active",
        "journal",
        "parked",
        "ready",
        "resuming",
    )

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._outcomes: dict[str, asyncio.Future[Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self.active = activation.engine.monotonic()
        self.journal: Journal | None = None
        self.ready = False
        self.parked = False
        self.resuming = False

    @property
    def idle(self) -> bool:
        """Whether no handler runs, or is about to."""
        return self.journal is None and not self.resuming

    @property
    def rests(self) -> bool:
        """Whether no handler runs, or one that only waits for the user or the time."""
        if self.journal is None:
            return not self.resuming
        return self.journal.rests

    @property
    def works(self) -> bool:
        """Whether a round runs that must be taken up again if this process dies now."""
        if self._activation.state.phase is not Phase.RUNNING:
            return False
        if self.journal is None or self.journal.dead is not None:
            return self.resuming or self.ready or not self.parked
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
        engine.keeper.watch_rest(self._activation)
        return future

    def cut_streams(self) -> list[Event]:
        """The messages that were being written, as far as they came; they end here."""
        return [] if self.journal is None else self.journal.cut_streams()

    def so_far(self) -> list[Delta]:
        """What is being written, each as one delta from its start, and how far the work is."""
        journal = self.journal
        return [] if journal is None or journal.dead is not None else journal.so_far()

    def _path_of(self, event: QuestionAnswered | QuestionClosed) -> str:
        running = self._activation.state.round
        if running is not None:
            for path, effect in running.journal.items():
                if effect.seq == event.question:
                    return path
        return ""

    def _give(self, path: str, outcome: Event) -> None:
        self.active = self._activation.engine.monotonic()
        future = self._outcomes.pop(path, None)
        if future is None:
            # A handler that has not come to its wait yet finds the outcome there.
            unwinds = self.journal is not None and self.journal.dead is not None
            self.ready = self.journal is None or unwinds
        elif not future.done():
            if self.journal is not None:
                self.journal.waits.discard(path)
            future.set_result(outcome)

    # -- running ----------------------------------------------------------------------------

    def go_on(self) -> None:
        """Start the handler if a round wants one, or the round of what waits longest."""
        activation = self._activation
        if self.journal is not None or self.resuming:
            return
        if activation.gone or activation.engine.stopping:
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
        # It counts before the handler runs: one that takes the process down must not for ever.
        self.resuming = True
        self.ready = self.parked = False
        activation = self._activation
        seq = activation.commit([RoundResumed(round=running.number)])
        if activation.engine.keeps:
            activation.when_durable(seq, self._resumed, "", repeated=False)
        else:
            self._resumed(None)

    def _resumed(self, outcome: Accepted | Refused | None) -> None:
        self.resuming = False
        activation = self._activation
        running = activation.state.round
        if isinstance(outcome, Refused) or activation.gone or activation.engine.stopping:
            return
        if running is None:
            self.go_on()
        else:
            self._start(running, replay=True)

    def _start(self, running: RoundState, *, replay: bool) -> None:
        self.ready = self.parked = False
        self.journal = Journal(self._activation, running, replay=replay)
        self._activation.engine.starter.add(self, self.journal)

    def begin(self, journal: Journal, task: asyncio.Task[None]) -> Awaitable[None] | None:
        """Run a handler in `task` until it waits or ends; None if it has ended."""
        if journal.dead is not None:
            self._over(journal, journal.dead)
            return None
        scope, context = Scope(journal), Context()
        try:
            handler, waited_for = context.run(self._enter, journal, scope)
        except StopIteration:
            self._over(journal, None)
            return None
        except BaseException as failure:  # noqa: BLE001 - the round's edge, see `_over`
            self._over(journal, failure)
            return None
        engine = self._activation.engine
        self.active = engine.monotonic()
        self._task = task
        engine.keeper.works(self._activation)
        reason = journal.ended_by
        if reason is not None:
            self._end_task(task, reason)
        go_on = partial(context.run, handler.send, None)
        throw = partial(context.run, handler.throw)
        return self._wait(journal, drive(go_on, throw, scope, waited_for))

    def _enter(self, journal: Journal, scope: Scope) -> tuple[Any, Any]:
        """Call the agent and run what it gives until that waits for something."""
        current_scope.set(scope)
        activation = self._activation
        running = cast("RoundState", activation.state.round)
        round_ = self._round(journal, running)
        try:
            answer = activation.engine.app.agent.respond(Session(journal), round_)
        except StopIteration as error:
            # Else it would look like a handler that has come to its end.
            raise RuntimeError("the agent raised StopIteration") from error
        handler: Any = cast("Any", answer) if type(answer) is CoroutineType else answer.__await__()
        return handler, handler.send(None)

    async def _wait(self, journal: Journal, driven: Awaitable[None]) -> None:
        failure: BaseException | None = None
        try:
            await driven
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - the round's edge, see `_over`
            failure = error
        self._over(journal, failure)

    def _over(self, journal: Journal, failure: BaseException | None) -> None:
        """A handler has returned or raised: its round is over, and the next may begin."""
        try:
            if failure is None and journal.dead is None and not journal.unreached:
                self._finish("done")
            elif not isinstance(journal.dead, Unwinding):
                self._conclude(journal, failure)
            self._leave(journal)
        except Exception:
            log.exception("a round could not be ended")
            self._activation.drop("its round could not be ended", again=True)

    def _conclude(self, journal: Journal, failure: BaseException | None) -> None:
        """How the round ends whose handler did not end well."""
        if failure is None and journal.unreached:
            failure = Diverged(
                f"the journal has {journal.unreached}, which the code no longer reaches"
            )
        match failure:
            case None:
                self._finish("failed", error=self._report(str(journal.dead)))
            case Diverged():
                self._finish(
                    "diverged",
                    error=self._report(f"diverged: {failure}"),
                    reason=self._reason(failure) or _UPDATED,
                    again=self._activation.engine.settings.on_divergence == "restart",
                    detail=describe(failure),
                )
            case UserKeyMissing():
                log.info("session %s: %s", self._activation.id[:8], failure)
                self._finish("failed", reason=_KEY_MISSING.format(failure.label))
            case asyncio.CancelledError():
                self._finish("failed", error=self._report("the handler cancelled itself"))
            case _:
                error = self._report("the handler raised", failure)
                self._finish("failed", error=error, reason=self._reason(failure))

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
        events = finish_round(
            activation.state, status, error=error, reason=reason, again=again, detail=detail
        )
        if journal is not None:
            events = journal.cut_streams() + events
            journal.kill(SessionOver("the round is over; this session handle ended with it"))
            if status != "done":
                journal.cancel_tasks()
            if journal.closing and isinstance(events[-1], RoundFinished):
                events.append(SessionClosed())
        activation.commit(events)

    def _leave(self, journal: Journal) -> None:
        """No handler runs any more."""
        if journal is not self.journal:
            return
        activation = self._activation
        self.journal = None
        if self._task is not None:
            self._task = None
            activation.engine.keeper.stands(activation)
        if activation.gone:
            return
        hibernated = isinstance(journal.dead, Hibernated)
        if hibernated and activation.state.round is not None and not self.ready:
            self.parked = True
            if not activation.release():
                self._rest_later()
            return
        self.go_on()

    def _round(self, journal: Journal, running: RoundState) -> Round:
        source = running.source
        if source is None:
            return Round(number=running.number, cause=running.cause)
        message = signal = reminder = work = feedback = None
        match source.cause:
            case "message":
                message = message_of(journal, source.said)
            case "signal":
                signal = SignalMessage(name=source.name, data=decode_value(source.data, ""))
            case "reminder":
                reminder = Reminder(name=source.name, data=decode_value(source.data, ""))
            case "work":
                work = work_result(source)
            case "feedback":
                feedback = msgspec.json.decode(source.data, type=Feedback)
            case _:
                pass
        return Round(
            number=running.number,
            cause=running.cause,
            message=message,
            signal=signal,
            reminder=reminder,
            work=work,
            feedback=feedback,
        )

    # -- ending -----------------------------------------------------------------------------

    def leave(self) -> None:
        """The worker stops in order, which says nothing against the round it takes along."""
        running = self._activation.state.round
        self.parked = not self.works
        if running is not None:
            self._survive(running)

    def _survive(self, running: RoundState) -> None:
        if running.resumptions and not self._activation.gone:
            self._activation.commit([RoundSurvived(round=running.number)])

    def unwind(self, reason: Unwinding) -> None:
        """Make the handler end: its session is dead, and what it waits for raises."""
        journal = self.journal
        if journal is None:
            return
        journal.kill(reason)
        outcomes, self._outcomes = self._outcomes, {}
        for future in outcomes.values():
            if not future.done():
                future.set_exception(reason)
        journal.cancel_tasks()
        if self._task is not None:
            self._end_task(self._task, reason)

    def _end_task(self, task: asyncio.Task[None], reason: BaseException) -> None:
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
        self._activation.engine.keeper.stands(self._activation)
        self.go_on()

    def hibernate(self) -> bool:
        """Unwind a handler that only waits, so that the session may leave memory."""
        journal = self.journal
        if journal is None or journal.dead is not None or not journal.rests:
            return False
        if not journal.may_hibernate(self._task):
            return False
        self.parked = True
        self.unwind(Hibernated("the round waits outside of memory"))
        return True

    def check_time(self, now: float) -> None:
        """End the round if by `now` it has worked for too long without waiting."""
        journal, engine = self.journal, self._activation.engine
        running = self._activation.state.round
        limit = engine.settings.limits.round_seconds
        if running is None or journal is None or isinstance(journal.dead, Unwinding):
            return
        if now - self.active > _SURVIVED_SECONDS:
            self._survive(running)
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
        self.active = activation.engine.monotonic()
        if activation.rest_at == math.inf:
            activation.engine.keeper.watch_rest(activation)

    # -- telling ----------------------------------------------------------------------------

    def _report(self, what: str, error: BaseException | None = None) -> str:
        """Log for the operator; the id under which the user can name it."""
        number = secrets.token_hex(4)
        session = self._activation.id[:8]
        keys, user = self._activation.engine.keys, self._activation.state.user
        if keys.knows(user) and error is not None:
            # A library's error may quote the key that it was given.
            what = keys.hide(user, f"{what}\n{''.join(traceback.format_exception(error))}")
            error = None
        log.error("error %s in session %s: %s", number, session, what, exc_info=error)
        return number

    def _reason(self, failure: BaseException) -> str:
        if self._activation.engine.settings.development:
            words = f"{type(failure).__name__}: {describe(failure)}"
            return self._activation.engine.keys.hide(self._activation.state.user, words)
        return ""
