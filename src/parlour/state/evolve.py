"""What an event does. The legal moves are the table `MOVES`; docs/states.md is drawn from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from parlour.errors import IllegalEvent
from parlour.events import (
    AnswerRejected,
    Cause,
    CellWritten,
    ChangeNoticed,
    ComponentShown,
    CostAdded,
    Event,
    EventDropped,
    FeedbackGiven,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    PlaceTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    ReminderCame,
    ReminderCancelled,
    ReminderSet,
    RoundFinished,
    RoundResumed,
    RoundStarted,
    RoundSurvived,
    SessionClosed,
    SessionForked,
    SessionOpened,
    SignalReceived,
    StepFinished,
    StepRaised,
    StepStarted,
    TimerFired,
    TimerSet,
    TitleSet,
    UnknownEvent,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
    WorkCancelled,
    WorkEnded,
    WorkStarted,
)
from parlour.state.model import (
    Effect,
    Outside,
    Pending,
    Phase,
    Recent,
    Reminder,
    RoundState,
    Said,
    State,
    Stored,
    Work,
)
from parlour.state.view import PART, longer, named, with_files

K = TypeVar("K")
V = TypeVar("V")
_NULL = Raw(b"null")


def evolve(state: State, event: Event | UnknownEvent, at: float = 0.0) -> State:
    """The state after `event`, recorded at `at` (Unix seconds), as the next in the log.

    Raises `IllegalEvent` where `MOVES` does not allow it.
    """
    move = MOVES.get(type(event))  # type: ignore[arg-type]
    if move is None:
        return replace(state, seq=state.seq + 1)
    if state.phase not in move.phases:
        raise IllegalEvent(
            f"{type(event).__name__} cannot follow record {state.seq} of a session that is "
            f"{state.phase}"
        )
    return move.apply(state, event, at)


def evolve_all(state: State, events: Iterable[Event], at: float) -> State:
    """The state after `events` recorded together; `evolve` for each, without a call for each."""
    for event in events:
        phases, apply = _MOVES[type(event)]
        if state.phase not in phases:
            evolve(state, event, at)  # which raises
        state = apply(state, event, at)
    return state


def fold(events: Iterable[tuple[Event | UnknownEvent, float]], state: State | None = None) -> State:
    """The state after all `events`, each with the time it was recorded at."""
    result = State() if state is None else state
    for event, at in events:
        result = evolve(result, event, at)
    return result


def _opened(state: State, event: SessionOpened, _at: float) -> State:
    return replace(
        state,
        seq=state.seq + 1,
        user=event.user,
        profile=event.profile,
        phase=Phase.IDLE,
        recent=_remember(state, event.command),
    )


def _message_added(state: State, event: MessageAdded, at: float) -> State:
    seq = state.seq + 1
    running, files = state.round, event.files
    said = Said(seq, event.role, event.text, files, at)
    if files:
        state = replace(state, files=with_files(state.files, files))
    if event.role == "user":
        return replace(
            state,
            seq=seq,
            heard=longer(state.heard, said, state.window),
            name=state.name
            if state.name.spoken
            else named(state.name, event.text, files, spoken=True),
            queue=state.queue + (Pending("message", said),),  # noqa: RUF005 - this is the quicker one
            round=None if running is None else _beside(running, seq, event, at),
            recent=_remember(state, event.command),
        )
    if running is None:
        raise IllegalEvent(f"a message of the bot cannot stand outside a round (record {seq})")
    return replace(
        state,
        seq=seq,
        heard=longer(state.heard, said, state.window),
        round=_journaled(running, seq, event.path, event, at),
    )


def _signal_received(state: State, event: SignalReceived, at: float) -> State:
    seq = state.seq + 1
    pending = Pending("signal", Said(seq, "user", "", (), at), event.name, event.data)
    return replace(
        state, seq=seq, queue=(*state.queue, pending), recent=_remember(state, event.command)
    )


def _feedback_given(state: State, event: FeedbackGiven, at: float) -> State:
    seq, queue = state.seq + 1, state.queue
    if event.answered:
        about = {"message": event.message, "rating": event.rating, "reason": event.reason}
        said = Said(seq, "user", "", (), at)
        queue = (*queue, Pending("feedback", said, "", Raw(msgspec.json.encode(about))))
    return replace(state, seq=seq, queue=queue, recent=_remember(state, event.command))


def _round_started(state: State, event: RoundStarted, at: float) -> State:
    seq = state.seq + 1
    source, queue = None, state.queue
    if event.source:
        if queue and queue[0].said.seq == event.source:
            source, queue = queue[0], queue[1:]
        else:
            source = _waiting(queue, event.source)
            queue = tuple(item for item in queue if item is not source)
    started = RoundState(
        number=event.round,
        cause=event.cause,
        source=source,
        started=seq,
        base=state.view,
        place=state.place,
        at=at,
    )
    return replace(
        state,
        seq=seq,
        phase=Phase.RUNNING,
        rounds=event.round,
        round=started,
        queue=queue,
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _waiting(queue: tuple[Pending, ...], seq: int) -> Pending:
    for item in queue:
        if item.said.seq == seq:
            return item
    raise IllegalEvent(f"a round answers record {seq}, which waits not")


def _round_resumed(state: State, _event: RoundResumed, _at: float) -> State:
    running = running_round(state)
    return replace(
        state,
        seq=state.seq + 1,
        round=replace(running, resumptions=running.resumptions + 1),
    )


def _round_survived(state: State, _event: RoundSurvived, _at: float) -> State:
    return replace(state, seq=state.seq + 1, round=replace(running_round(state), resumptions=0))


def _round_finished(state: State, event: RoundFinished, _at: float) -> State:
    running = running_round(state)
    if event.round != running.number:
        raise IllegalEvent(f"round {event.round} cannot end while another one runs")
    queue = state.queue
    if event.again:
        # Everything it took up is answered anew, in the order of arrival.
        source = () if running.source is None else (running.source,)
        queue = (*source, *sorted((*running.taken, *queue), key=_arrival))
    return replace(
        state,
        seq=state.seq + 1,
        phase=Phase.IDLE,
        round=None,
        queue=queue,
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _arrival(pending: Pending) -> int:
    return pending.said.seq


def _variable_changed(state: State, event: VariableSet | VariableDeleted, at: float) -> State:
    seq = state.seq + 1
    variables = dict(state.variables)
    old = variables.pop(event.name, None)
    used = state.used - (len(event.name) + len(bytes(old.value)) if old is not None else 0)
    if isinstance(event, VariableSet):
        variables[event.name] = Stored(event.value, event.kind)
        used += len(event.name) + len(bytes(event.value))
    running = state.round
    if running is not None:
        if event.path:
            running = _journaled(running, seq, event.path, event, at)
        else:
            running = _beside(running, seq, event, at)
    return replace(
        state,
        seq=seq,
        variables=variables,
        used=used,
        round=running,
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _effect(state: State, event: Any, at: float) -> State:
    seq = state.seq + 1
    running = running_round(state)
    if isinstance(event, StepFinished | StepRaised):
        begun = running.journal.get(event.path)
        if begun is not None and isinstance(begun.event, StepStarted):
            return replace(state, seq=seq, round=_settled(running, seq, event.path, event, at))
    return replace(state, seq=seq, round=_journaled(running, seq, event.path, event, at))


def _messages_taken(state: State, event: MessagesTaken, at: float) -> State:
    seq = state.seq + 1
    sources = set(event.sources)
    queue = tuple(item for item in state.queue if item.said.seq not in sources)
    taken = tuple(item for item in state.queue if item.said.seq in sources)
    running = _journaled(running_round(state), seq, event.path, event, at)
    running = replace(running, taken=(*running.taken, *taken))
    return replace(state, seq=seq, round=running, queue=queue)


def _question_asked(state: State, event: QuestionAsked, at: float) -> State:
    seq = state.seq + 1
    running = running_round(state)
    _check_time(event.deadline or 0.0)
    return replace(
        state,
        seq=seq,
        heard=longer(state.heard, Said(seq, "bot", event.text, (), at), state.window),
        round=replace(
            _journaled(running, seq, event.path, event, at),
            questions={**running.questions, seq: event.path},
        ),
    )


def _question_answered(state: State, event: QuestionAnswered, at: float) -> State:
    seq = state.seq + 1
    said = Said(seq, "user", event.text, event.files, at)
    return replace(
        state,
        seq=seq,
        heard=longer(state.heard, said, state.window),
        name=named(state.name, event.text, event.files, spoken=False),
        files=state.files + event.files if event.files else state.files,
        round=_outcome(running_round(state), seq, event, at),
        recent=_remember(state, event.command),
    )


def _answer_rejected(state: State, event: AnswerRejected, _at: float) -> State:
    if event.question not in running_round(state).questions:
        raise IllegalEvent(f"question {event.question} is not open")
    return replace(state, seq=state.seq + 1, recent=_remember(state, event.command))


def _question_closed(state: State, event: QuestionClosed, at: float) -> State:
    seq = state.seq + 1
    return replace(state, seq=seq, round=_outcome(running_round(state), seq, event, at))


def _timer_set(state: State, event: TimerSet, at: float) -> State:
    seq = state.seq + 1
    running = running_round(state)
    _check_time(event.due)
    return replace(
        state,
        seq=seq,
        round=replace(
            _journaled(running, seq, event.path, event, at),
            timers={**running.timers, event.path: event.due},
        ),
    )


def _timer_fired(state: State, event: TimerFired, at: float) -> State:
    seq = state.seq + 1
    running = running_round(state)
    if event.path not in running.timers:
        raise IllegalEvent(f"the timer {event.path} is not set")
    timers = {path: due for path, due in running.timers.items() if path != event.path}
    settled = replace(_settled(running, seq, event.path, event, at), timers=timers)
    return replace(state, seq=seq, round=settled)


def _reminder_set(state: State, event: ReminderSet, at: float) -> State:
    _check_time(event.due)
    reminders = {**state.reminders, event.name: Reminder(event.due, event.data)}
    return replace(_effect(state, event, at), reminders=reminders)


def _reminder_cancelled(state: State, event: ReminderCancelled, at: float) -> State:
    return replace(_effect(state, event, at), reminders=_without(state.reminders, event.name))


def _reminder_came(state: State, event: ReminderCame, at: float) -> State:
    reminder = state.reminders.get(event.name)
    if reminder is None:
        raise IllegalEvent(f"there is no reminder {event.name!r}")
    pending = _pending("reminder", state, at, event.name, reminder.data)
    reminders = _without(state.reminders, event.name)
    return replace(state, seq=state.seq + 1, queue=(*state.queue, pending), reminders=reminders)


def _change_noticed(state: State, _event: ChangeNoticed, at: float) -> State:
    pending = _pending("change", state, at)
    return replace(state, seq=state.seq + 1, queue=(*state.queue, pending))


def _work_started(state: State, event: WorkStarted, at: float) -> State:
    work = {**state.work, state.seq + 1: Work(event.name, event.data)}
    return replace(_effect(state, event, at), work=work)


def _work_cancelled(state: State, event: WorkCancelled, at: float) -> State:
    return replace(_effect(state, event, at), work=_without(state.work, event.work))


def _work_ended(state: State, event: WorkEnded, at: float) -> State:
    work = state.work.get(event.work)
    if work is None:
        raise IllegalEvent(f"the work {event.work} is not under way")
    pending = _pending("work", state, at, work.name, Raw(msgspec.json.encode(event)))
    return replace(
        state,
        seq=state.seq + 1,
        queue=(*state.queue, pending),
        work=_without(state.work, event.work),
    )


def _place_taken(state: State, event: PlaceTaken, at: float) -> State:
    return replace(_effect(state, event, at), place=event.place)


def _pending(cause: Cause, state: State, at: float, name: str = "", data: Raw = _NULL) -> Pending:
    return Pending(cause, Said(state.seq + 1, "user", "", (), at), name, data)


def _without(things: dict[K, V], key: K) -> dict[K, V]:
    return {name: thing for name, thing in things.items() if name != key}


def _closed(state: State, event: SessionClosed, _at: float) -> State:
    return replace(
        state,
        seq=state.seq + 1,
        phase=Phase.CLOSED,
        queue=(),
        reminders={},
        work={},
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _forked(state: State, _event: SessionForked, _at: float) -> State:
    return replace(state, seq=state.seq + 1)


def _titled(state: State, event: TitleSet, at: float) -> State:
    seq = state.seq + 1
    running = state.round
    if running is not None:
        if event.path:
            running = _journaled(running, seq, event.path, event, at)
        else:
            running = _beside(running, seq, event, at)
    return replace(
        state,
        seq=seq,
        name=replace(state.name, title=event.title),
        round=running,
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def running_round(state: State) -> RoundState:
    if state.round is None:
        raise IllegalEvent(f"record {state.seq + 1} needs a running round")
    return state.round


def _beside(
    running: RoundState,
    seq: int,
    event: MessageAdded | VariableSet | VariableDeleted | TitleSet,
    at: float,
) -> RoundState:
    return replace(running, outside=(*running.outside, Outside(seq, event, at)))


def _journaled(running: RoundState, seq: int, path: str, event: Any, at: float) -> RoundState:
    if not path or path in running.journal:
        raise IllegalEvent(f"the journal has {path or 'an effect without a path'!r} already")
    effect = Effect(seq, event, None, at)
    return replace(running, journal={**running.journal, path: effect}, resumptions=0)


def _settled(running: RoundState, seq: int, path: str, outcome: Any, at: float) -> RoundState:
    effect = running.journal.get(path)
    if effect is None or effect.outcome is not None:
        raise IllegalEvent(f"nothing waits at {path!r}")
    settled = Effect(effect.seq, effect.event, outcome, effect.at, seq, at)
    return replace(running, journal={**running.journal, path: settled}, resumptions=0)


def _check_time(time: float) -> None:
    if not math.isfinite(time):
        raise IllegalEvent(f"{time} is no time: give a finite number of seconds")


def _outcome(
    running: RoundState, seq: int, event: QuestionAnswered | QuestionClosed, at: float
) -> RoundState:
    path = running.questions.get(event.question)
    if path is None:
        raise IllegalEvent(f"question {event.question} is not open")
    questions = {asked: where for asked, where in running.questions.items() if where != path}
    return replace(_settled(running, seq, path, event, at), questions=questions)


def _remember(state: State, command: str) -> Recent:
    recent = state.recent
    if not command:
        return recent
    new = {**recent.new, command: state.seq + 1}
    if len(new) < PART:
        return Recent(new, recent.young, recent.old)
    young = {**recent.young, **new}
    if len(young) * 2 < state.window.commands:
        return Recent({}, young, recent.old)
    return Recent({}, {}, young)


class Move(NamedTuple):
    """In which phases an event may stand, and what it does."""

    phases: tuple[Phase, ...]
    apply: Callable[[State, Any, float], State]


_NEW = (Phase.NEW,)
_IDLE = (Phase.IDLE,)
_RUNNING = (Phase.RUNNING,)
_OPEN = (Phase.IDLE, Phase.RUNNING)

MOVES: Mapping[type[Event], Move] = {
    SessionOpened: Move(_NEW, _opened),
    MessageAdded: Move(_OPEN, _message_added),
    SignalReceived: Move(_OPEN, _signal_received),
    FeedbackGiven: Move(_OPEN, _feedback_given),
    ComponentShown: Move(_RUNNING, _effect),
    RoundStarted: Move(_IDLE, _round_started),
    RoundResumed: Move(_RUNNING, _round_resumed),
    RoundSurvived: Move(_RUNNING, _round_survived),
    RoundFinished: Move(_RUNNING, _round_finished),
    VariableSet: Move(_OPEN, _variable_changed),
    VariableDeleted: Move(_OPEN, _variable_changed),
    UserVariableSet: Move(_RUNNING, _effect),
    StepStarted: Move(_RUNNING, _effect),
    StepFinished: Move(_RUNNING, _effect),
    StepRaised: Move(_RUNNING, _effect),
    CellWritten: Move(_RUNNING, _effect),
    QuestionAsked: Move(_RUNNING, _question_asked),
    QuestionAnswered: Move(_RUNNING, _question_answered),
    AnswerRejected: Move(_RUNNING, _answer_rejected),
    QuestionClosed: Move(_RUNNING, _question_closed),
    TimerSet: Move(_RUNNING, _timer_set),
    TimerFired: Move(_RUNNING, _timer_fired),
    MessagesTaken: Move(_RUNNING, _messages_taken),
    CostAdded: Move(_RUNNING, _effect),
    ReminderSet: Move(_RUNNING, _reminder_set),
    ReminderCancelled: Move(_RUNNING, _reminder_cancelled),
    ReminderCame: Move(_OPEN, _reminder_came),
    ChangeNoticed: Move(_OPEN, _change_noticed),
    WorkStarted: Move(_RUNNING, _work_started),
    WorkCancelled: Move(_RUNNING, _work_cancelled),
    WorkEnded: Move(_OPEN, _work_ended),
    PlaceTaken: Move(_RUNNING, _place_taken),
    EventDropped: Move(_RUNNING, _effect),
    PartBegun: Move(_RUNNING, _effect),
    PartEnded: Move(_RUNNING, _effect),
    SessionClosed: Move(_IDLE, _closed),
    SessionForked: Move(_OPEN, _forked),
    TitleSet: Move((*_OPEN, Phase.CLOSED), _titled),
}
"""The legal moves: which event may stand in which phase, and its function."""

_MOVES = {kind: (move.phases, move.apply) for kind, move in MOVES.items()}
"""The same, quicker to unpack."""

PHASE_AFTER: Mapping[type[Event], Phase] = {
    SessionOpened: Phase.IDLE,
    RoundStarted: Phase.RUNNING,
    RoundFinished: Phase.IDLE,
    SessionClosed: Phase.CLOSED,
}
"""The events that change the phase; all others leave it."""
