"""The pure core: what a session is, and what may follow.

`decide` turns a command into events or refuses it; `evolve` applies one event; `fold` applies a
log. No clock, no randomness, no I/O: times and ids come in as arguments. The legal moves are the
table `MOVES`; the picture in docs/states.md is drawn from it. What a handler's replay may use of
the running round is kept here too, because it is part of what the log says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from parlour.errors import IllegalEvent, InvalidAnswer, Refused
from parlour.events import (
    Answer,
    AnswerRejected,
    AnyEvent,
    Assign,
    Cause,
    Close,
    Command,
    CostAdded,
    Event,
    FileRef,
    MessageAdded,
    MessagesTaken,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Role,
    RoundFinished,
    RoundResumed,
    RoundStarted,
    Say,
    SessionClosed,
    SessionOpened,
    Signal,
    SignalReceived,
    Status,
    StepFinished,
    StepRaised,
    StepStarted,
    Stop,
    TimerFired,
    TimerSet,
    UnknownEvent,
    UserVariableSet,
    VariableDeleted,
    VariableSet,
)
from parlour.questions import OfferedFile, describe_answer, read_answer
from parlour.settings import Incoming, Limits

SNAPSHOT_VERSION = 1
"""Grows when `State` changes its shape; snapshots of other versions are not read but refolded."""

_MAX_ID = 128
_PART = 16
_LONG = 4096
"""A new message joins the old ones, and the oldest leave, when this many are new or one is long."""


class Phase(StrEnum):
    """Where a session stands."""

    NEW = "new"
    IDLE = "idle"
    RUNNING = "running"
    CLOSED = "closed"


class Stored(Struct, frozen=True, gc=False):
    """A variable's value: JSON, and the Python type it had if JSON has no such type."""

    value: Raw
    kind: str = ""


class Said(Struct, frozen=True, omit_defaults=True):
    """A message in the history. `at` is in Unix seconds."""

    seq: int
    role: Role
    text: str
    files: tuple[FileRef, ...] = ()
    at: float = 0.0


class Pending(Struct, frozen=True, omit_defaults=True):
    """A message or signal that waits for its round."""

    cause: Cause
    said: Said
    name: str = ""
    data: Raw = Raw(b"null")


EffectOutcome = QuestionAnswered | QuestionClosed | TimerFired | StepFinished | StepRaised


class Effect(Struct, frozen=True):
    """What a handler did at a path: the event that records it and, where it waits, its outcome."""

    seq: int
    event: AnyEvent
    outcome: EffectOutcome | None = None


class View(Struct, frozen=True):
    """What a handler can read without being recorded: it must read the same in a replay."""

    variables: dict[str, Stored]
    history: tuple[Said, ...]
    files: tuple[FileRef, ...]


class RoundState(Struct, frozen=True, kw_only=True):
    """The running round.

    `base` is what its handler could read when it began, `outside` what others changed since, by
    seq; `questions` are the open ones by their seq, `timers` those not yet fired by their path;
    `resumptions` counts the times it was taken up since it last got any further.
    """

    number: int
    cause: Cause
    source: Pending | None
    started: int
    base: View
    journal: dict[str, Effect] = {}
    questions: dict[int, str] = {}
    timers: dict[str, float] = {}
    outside: tuple[tuple[int, VariableSet | VariableDeleted], ...] = ()
    resumptions: int = 0


class Window(Struct, frozen=True):
    """How much of the past a state keeps at hand; set by whoever folds, not by the log."""

    messages: int = 100
    bytes: int = 128 * 1024
    commands: int = 256


class Heard(Struct, frozen=True):
    """The newest messages, in two parts so that adding one costs little."""

    old: tuple[Said, ...] = ()
    new: tuple[Said, ...] = ()

    @property
    def messages(self) -> tuple[Said, ...]:
        """Oldest first; a few more than the window's, at the most."""
        return self.old + self.new


class Recent(Struct, frozen=True):
    """The newest commands' ids with the seq of their first record, in two generations."""

    young: dict[str, int] = {}
    old: dict[str, int] = {}

    def seq(self, command: str) -> int | None:
        """Where the command is in the log; None if it is not remembered."""
        found = self.young.get(command)
        return self.old.get(command) if found is None else found


class State(Struct, frozen=True, kw_only=True):
    """A session as its log tells it.

    `queue` holds what waits for a round, `used` is the size of the variables in bytes.
    """

    window: Window = Window()
    seq: int = 0
    user: str = ""
    phase: Phase = Phase.NEW
    variables: dict[str, Stored] = {}
    used: int = 0
    files: tuple[FileRef, ...] = ()
    heard: Heard = Heard()
    rounds: int = 0
    round: RoundState | None = None
    queue: tuple[Pending, ...] = ()
    recent: Recent = Recent()

    @property
    def view(self) -> View:
        """What a handler may read now."""
        return View(self.variables, self.heard.messages, self.files)

    @property
    def due(self) -> float | None:
        """When something happens without anybody asking: a question's deadline or a timer."""
        running = self.round
        if running is None or not (running.questions or running.timers):
            return None
        times = list(running.timers.values())
        for path in running.questions.values():
            asked = cast("QuestionAsked", running.journal[path].event)
            if asked.deadline is not None:
                times.append(asked.deadline)
        return min(times, default=None)


class Rules(Struct, frozen=True, kw_only=True):
    """What `decide` needs to know of the app: its limits, policy and which causes it answers."""

    limits: Limits
    incoming: Incoming = "queue"
    causes: frozenset[Cause] = frozenset({"message"})


# -- evolve -----------------------------------------------------------------------------------


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
        move = MOVES[type(event)]
        if state.phase not in move.phases:
            return evolve(state, event, at)  # which raises
        state = move.apply(state, event, at)
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
        phase=Phase.IDLE,
        recent=_remember(state, event.command),
    )


def _message_added(state: State, event: MessageAdded, at: float) -> State:
    seq = state.seq + 1
    said = Said(seq, event.role, event.text, event.files, at)
    running = state.round
    if event.role == "user":
        return replace(
            state,
            seq=seq,
            heard=_longer(state, said),
            queue=(*state.queue, Pending("message", said)),
            files=state.files + event.files if event.files else state.files,
            recent=_remember(state, event.command),
        )
    if running is None:
        raise IllegalEvent(f"a message of the bot cannot stand outside a round (record {seq})")
    return replace(
        state,
        seq=seq,
        heard=_longer(state, said),
        files=state.files + event.files if event.files else state.files,
        round=_journaled(running, seq, event.path, event),
    )


def _signal_received(state: State, event: SignalReceived, at: float) -> State:
    seq = state.seq + 1
    pending = Pending("signal", Said(seq, "user", "", (), at), event.name, event.data)
    return replace(
        state, seq=seq, queue=(*state.queue, pending), recent=_remember(state, event.command)
    )


def _round_started(state: State, event: RoundStarted, _at: float) -> State:
    seq = state.seq + 1
    source, queue = None, state.queue
    if event.source:
        source = _waiting(queue, event.source)
        if source is None:
            raise IllegalEvent(
                f"round {event.round} answers record {event.source}, which waits not"
            )
        queue = () if len(queue) == 1 else tuple(item for item in queue if item is not source)
    started = RoundState(
        number=event.round, cause=event.cause, source=source, started=seq, base=state.view
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


def _waiting(queue: tuple[Pending, ...], seq: int) -> Pending | None:
    for item in queue:
        if item.said.seq == seq:
            return item
    return None


def _round_resumed(state: State, _event: RoundResumed, _at: float) -> State:
    running = _running(state)
    return replace(
        state,
        seq=state.seq + 1,
        round=replace(running, resumptions=running.resumptions + 1),
    )


def _round_finished(state: State, event: RoundFinished, _at: float) -> State:
    running = _running(state)
    if event.round != running.number:
        raise IllegalEvent(f"round {event.round} cannot end while another one runs")
    again = (running.source,) if event.again and running.source is not None else ()
    return replace(
        state,
        seq=state.seq + 1,
        phase=Phase.IDLE,
        round=None,
        queue=(*again, *state.queue),
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _variable_changed(state: State, event: VariableSet | VariableDeleted, _at: float) -> State:
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
            running = _journaled(running, seq, event.path, event)
        else:
            running = replace(running, outside=(*running.outside, (seq, event)))
    return replace(
        state,
        seq=seq,
        variables=variables,
        used=used,
        round=running,
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _effect(state: State, event: Any, _at: float) -> State:
    seq = state.seq + 1
    running = _running(state)
    if isinstance(event, StepFinished | StepRaised):
        begun = running.journal.get(event.path)
        if begun is not None and isinstance(begun.event, StepStarted):
            return replace(state, seq=seq, round=_settled(running, event.path, event))
    return replace(state, seq=seq, round=_journaled(running, seq, event.path, event))


def _messages_taken(state: State, event: MessagesTaken, _at: float) -> State:
    seq = state.seq + 1
    taken = set(event.sources)
    queue = tuple(item for item in state.queue if item.said.seq not in taken)
    running = _journaled(_running(state), seq, event.path, event)
    return replace(state, seq=seq, round=running, queue=queue)


def _question_asked(state: State, event: QuestionAsked, at: float) -> State:
    seq = state.seq + 1
    running = _running(state)
    _check_time(event.deadline or 0.0)
    return replace(
        state,
        seq=seq,
        heard=_longer(state, Said(seq, "bot", event.text, (), at)),
        round=replace(
            _journaled(running, seq, event.path, event),
            questions={**running.questions, seq: event.path},
        ),
    )


def _question_answered(state: State, event: QuestionAnswered, at: float) -> State:
    seq = state.seq + 1
    said = Said(seq, "user", event.text, event.files, at)
    return replace(
        state,
        seq=seq,
        heard=_longer(state, said),
        files=state.files + event.files if event.files else state.files,
        round=_outcome(_running(state), event),
        recent=_remember(state, event.command),
    )


def _answer_rejected(state: State, event: AnswerRejected, _at: float) -> State:
    if event.question not in _running(state).questions:
        raise IllegalEvent(f"question {event.question} is not open")
    return replace(state, seq=state.seq + 1, recent=_remember(state, event.command))


def _question_closed(state: State, event: QuestionClosed, _at: float) -> State:
    return replace(state, seq=state.seq + 1, round=_outcome(_running(state), event))


def _timer_set(state: State, event: TimerSet, _at: float) -> State:
    seq = state.seq + 1
    running = _running(state)
    _check_time(event.due)
    return replace(
        state,
        seq=seq,
        round=replace(
            _journaled(running, seq, event.path, event),
            timers={**running.timers, event.path: event.due},
        ),
    )


def _timer_fired(state: State, event: TimerFired, _at: float) -> State:
    running = _running(state)
    if event.path not in running.timers:
        raise IllegalEvent(f"the timer {event.path} is not set")
    timers = {path: due for path, due in running.timers.items() if path != event.path}
    settled = replace(_settled(running, event.path, event), timers=timers)
    return replace(state, seq=state.seq + 1, round=settled)


def _closed(state: State, event: SessionClosed, _at: float) -> State:
    return replace(
        state,
        seq=state.seq + 1,
        phase=Phase.CLOSED,
        queue=(),
        recent=_remember(state, event.command) if event.command else state.recent,
    )


def _running(state: State) -> RoundState:
    if state.round is None:
        raise IllegalEvent(f"record {state.seq + 1} needs a running round")
    return state.round


def _journaled(running: RoundState, seq: int, path: str, event: Any) -> RoundState:
    if not path or path in running.journal:
        raise IllegalEvent(f"the journal has {path or 'an effect without a path'!r} already")
    return replace(running, journal={**running.journal, path: Effect(seq, event)}, resumptions=0)


def _settled(running: RoundState, path: str, outcome: Any) -> RoundState:
    effect = running.journal.get(path)
    if effect is None or effect.outcome is not None:
        raise IllegalEvent(f"nothing waits at {path!r}")
    settled = replace(effect, outcome=outcome)
    return replace(running, journal={**running.journal, path: settled}, resumptions=0)


def _check_time(time: float) -> None:
    if not math.isfinite(time):
        raise IllegalEvent(f"{time} is no time: give a finite number of seconds")


def _outcome(running: RoundState, event: QuestionAnswered | QuestionClosed) -> RoundState:
    path = running.questions.get(event.question)
    if path is None:
        raise IllegalEvent(f"question {event.question} is not open")
    questions = {seq: at for seq, at in running.questions.items() if seq != event.question}
    return replace(_settled(running, path, event), questions=questions)


def _longer(state: State, said: Said) -> Heard:
    heard = state.heard
    new = (*heard.new, said)
    if len(new) < _PART and len(said.text) < _LONG:
        return Heard(heard.old, new)
    messages = (heard.old + new)[-max(1, state.window.messages) :]
    size = sum([len(item.text) for item in messages])
    drop = 0
    while size > state.window.bytes and drop < len(messages) - 1:
        size -= len(messages[drop].text)
        drop += 1
    return Heard(messages[drop:])


def _remember(state: State, command: str) -> Recent:
    recent = state.recent
    if not command:
        return recent
    young = {**recent.young, command: state.seq + 1}
    if len(young) * 2 > state.window.commands:
        return Recent({}, young)
    return Recent(young, recent.old)


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
    RoundStarted: Move(_IDLE, _round_started),
    RoundResumed: Move(_RUNNING, _round_resumed),
    RoundFinished: Move(_RUNNING, _round_finished),
    VariableSet: Move(_OPEN, _variable_changed),
    VariableDeleted: Move(_OPEN, _variable_changed),
    UserVariableSet: Move(_RUNNING, _effect),
    StepStarted: Move(_RUNNING, _effect),
    StepFinished: Move(_RUNNING, _effect),
    StepRaised: Move(_RUNNING, _effect),
    QuestionAsked: Move(_RUNNING, _question_asked),
    QuestionAnswered: Move(_RUNNING, _question_answered),
    AnswerRejected: Move(_RUNNING, _answer_rejected),
    QuestionClosed: Move(_RUNNING, _question_closed),
    TimerSet: Move(_RUNNING, _timer_set),
    TimerFired: Move(_RUNNING, _timer_fired),
    MessagesTaken: Move(_RUNNING, _messages_taken),
    CostAdded: Move(_RUNNING, _effect),
    SessionClosed: Move(_IDLE, _closed),
}
"""The legal moves: which event may stand in which phase, and its function."""

PHASE_AFTER: Mapping[type[Event], Phase] = {
    SessionOpened: Phase.IDLE,
    RoundStarted: Phase.RUNNING,
    RoundFinished: Phase.IDLE,
    SessionClosed: Phase.CLOSED,
}
"""The events that change the phase; all others leave it."""


# -- decide -----------------------------------------------------------------------------------


def decide(state: State, command: Command, rules: Rules, now: float) -> list[Event]:
    """The events that `command` causes at time `now` (Unix seconds); the caller applies them.

    The caller has looked into `state.recent` for a repetition. Raises `Refused`: nothing happens.
    """
    if state.phase is Phase.NEW:
        raise Refused("unknown_session", "There is no such session.")
    if state.phase is Phase.CLOSED or (state.round is not None and state.round.cause == "close"):
        raise Refused("closed", "This session is closed; open a new one.")
    check_command_id(command.id)
    match command:
        case Say():
            return _decide_say(state, command, rules, now)
        case Answer():
            return _decide_answer(state, command, rules, now)
        case Stop():
            return _decide_stop(state, command, rules)
        case Signal():
            return _decide_signal(state, command, rules)
        case Assign():
            return _decide_assign(state, command, rules)
        case Close():  # pragma: no branch - there is no other command
            return _decide_close(state, command, rules)


def open_session(user: str, command: str, causes: frozenset[Cause]) -> list[Event]:
    """The first events of a session of `user`."""
    events: list[Event] = [SessionOpened(user=user, command=command)]
    if "open" in causes:
        events.append(RoundStarted(round=1, cause="open"))
    return events


def finish_round(
    state: State,
    status: Status,
    *,
    error: str = "",
    reason: str = "",
    command: str = "",
    again: bool = False,
    detail: str = "",
) -> list[Event]:
    """The events that end the running round; a `close` round ends the session with it.

    With `again`, what it answered waits for another round, before everything else that waits.
    """
    running = _running(state)
    events: list[Event] = [
        RoundFinished(
            round=running.number,
            status=status,
            error=error,
            reason=reason,
            command=command,
            again=again and running.source is not None,
            detail=detail,
        )
    ]
    if again and running.source is None:
        events.append(RoundStarted(round=running.number + 1, cause=running.cause))
    elif running.cause == "close":
        events.append(SessionClosed())
    return events


def next_round(state: State) -> list[Event]:
    """The start of the round for what waits longest; nothing if nothing waits or a round runs."""
    if state.phase is not Phase.IDLE or not state.queue:
        return []
    first = state.queue[0]
    return [RoundStarted(round=state.rounds + 1, cause=first.cause, source=first.said.seq)]


def overdue(state: State, now: float) -> list[Event]:
    """What the passing of time has caused by `now`: questions nobody may answer, timers fired."""
    running = state.round
    if running is None:
        return []
    events: list[Event] = []
    for seq, path in running.questions.items():
        asked = cast("QuestionAsked", running.journal[path].event)
        if asked.deadline is not None and asked.deadline <= now:
            events.append(QuestionClosed(question=seq, reason="timeout"))
    events += [TimerFired(path=path) for path, due in running.timers.items() if due <= now]
    return events


def _decide_say(state: State, command: Say, rules: Rules, now: float) -> list[Event]:
    _check_message(state, command.text, command.files, rules.limits)
    asked = _answerable(state, now)
    if asked:
        answer = Answer(id=command.id, question=asked, text=command.text, files=command.files)
        return _decide_answer(state, answer, rules, now)
    if not command.text.strip() and not command.files:
        raise Refused("invalid", "A message needs some text or a file.")
    if "message" not in rules.causes:
        raise Refused("unhandled", "This app takes no messages: it has no on_message.")
    added = MessageAdded(role="user", text=command.text, files=command.files, command=command.id)
    if state.round is None:
        return [added]
    if rules.incoming == "refuse":
        raise Refused("busy", "The bot is still answering; try again when it has.", 1.0)
    if rules.incoming == "interrupt":
        return [*finish_round(state, "stopped"), added]
    _check_queue(state, rules)
    return [added]


def _decide_answer(state: State, command: Answer, rules: Rules, now: float) -> list[Event]:
    _check_message(state, command.text, command.files, rules.limits)
    if command.value is not None and len(bytes(command.value)) > rules.limits.message_bytes:
        raise Refused("too_large", f"An answer may have {rules.limits.message_bytes:,} bytes.")
    running = state.round
    seq = command.question or _answerable(state, now)
    path = None if running is None else running.questions.get(seq)
    if running is None or path is None:
        raise Refused("no_question", "That question is not open, or no longer.")
    asked = cast("QuestionAsked", running.journal[path].event)
    if asked.deadline is not None and asked.deadline <= now:
        raise Refused("no_question", "The time for that answer is over.")
    offered = [OfferedFile(file.id, file.name, file.type, file.size) for file in command.files]
    try:
        value = read_answer(asked.question, command.value, command.text, offered)
    except InvalidAnswer as error:
        shown = command.text or bytes(command.value or b"").decode(errors="replace")
        return [
            AnswerRejected(question=seq, text=shown[:1000], reason=str(error), command=command.id)
        ]
    text = command.text or describe_answer(asked.question, value, offered)
    return [
        QuestionAnswered(
            question=seq, value=value, text=text, files=command.files, command=command.id
        )
    ]


def _answerable(state: State, now: float) -> int:
    """The oldest open question that has time left; 0 if there is none."""
    if state.round is None:
        return 0
    for seq, path in state.round.questions.items():
        asked = cast("QuestionAsked", state.round.journal[path].event)
        if asked.deadline is None or asked.deadline > now:
            return seq
    return 0


def _decide_stop(state: State, command: Stop, rules: Rules) -> list[Event]:
    running = state.round
    if running is None or (command.round and command.round != running.number):
        raise Refused("not_running", "No such round is running.")
    events = finish_round(state, "stopped", command=command.id)
    if "stop" in rules.causes and running.cause != "stop":
        events.append(RoundStarted(round=running.number + 1, cause="stop"))
    return events


def _decide_signal(state: State, command: Signal, rules: Rules) -> list[Event]:
    if "signal" not in rules.causes:
        raise Refused("unhandled", "This app takes no signals: it has no on_signal.")
    _check_name("A signal", command.name)
    if len(bytes(command.data)) > rules.limits.value_bytes:
        raise Refused("too_large", f"A signal may carry {rules.limits.value_bytes:,} bytes.")
    try:
        msgspec.json.decode(command.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("invalid", "A signal carries JSON, with text that is Unicode.") from None
    _check_queue(state, rules)
    return [SignalReceived(name=command.name, data=command.data, command=command.id)]


def _decide_assign(state: State, command: Assign, rules: Rules) -> list[Event]:
    if command.value is None:
        if command.name not in state.variables:
            return []
        return [VariableDeleted(name=command.name, command=command.id)]
    check_variable(state, command.name, command.value, rules.limits)
    return [
        VariableSet(name=command.name, value=command.value, kind=command.kind, command=command.id)
    ]


def _decide_close(state: State, command: Close, rules: Rules) -> list[Event]:
    events: list[Event] = []
    number = state.rounds
    if state.round is not None:
        events += finish_round(state, "stopped")
    if "close" in rules.causes and command.reason == "closed":
        return [*events, RoundStarted(round=number + 1, cause="close", command=command.id)]
    return [*events, SessionClosed(reason=command.reason, command=command.id)]


def check_command_id(command: str) -> None:
    """Raises `Refused` for what cannot name a command."""
    if not command or len(command) > _MAX_ID or not command.isprintable():
        raise Refused("invalid", f"A command needs an id of 1 to {_MAX_ID} printable characters.")


def check_variable(state: State, name: str, value: Raw, limits: Limits) -> None:
    """Raises `Refused` if the variable is too large, alone or with all the others."""
    size = len(bytes(value))
    if size > limits.value_bytes:
        raise Refused(
            "too_large",
            f"The variable {name!r} has {size:,} bytes; at most {limits.value_bytes:,} are kept. "
            "Put large data into a file of the session's workspace.",
        )
    _check_name("A variable", name)
    old = state.variables.get(name)
    more = size - len(bytes(old.value)) if old is not None else size + len(name)
    if state.used + more > limits.variables_bytes:
        raise Refused(
            "too_large",
            f"The variables of a session may have {limits.variables_bytes:,} bytes together; "
            "delete some, or put large data into a file of the session's workspace.",
        )


def _check_name(what: str, name: str) -> None:
    if not name or len(name) > _MAX_ID or _bytes_of(name) < 0:
        raise Refused("invalid", f"{what} needs a name of 1 to {_MAX_ID} characters of Unicode.")


def _bytes_of(text: str) -> int:
    """How long `text` is in UTF-8; -1 if it has surrogates, which UTF-8 cannot hold."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def _check_message(state: State, text: str, files: tuple[FileRef, ...], limits: Limits) -> None:
    size = _bytes_of(text)
    if size < 0:
        raise Refused("invalid", "A message is text that is valid Unicode.")
    if size > limits.message_bytes:
        raise Refused("too_large", f"A message may have {limits.message_bytes:,} bytes.")
    if len(files) > limits.files_per_message:
        raise Refused("too_large", f"A message may have {limits.files_per_message} files.")
    if files and len(state.files) + len(files) > limits.files_per_session:
        raise Refused("too_large", f"A session may have {limits.files_per_session} files.")


def _check_queue(state: State, rules: Rules) -> None:
    if len(state.queue) >= rules.limits.queued_messages:
        raise Refused("busy", "Too much is waiting in this session already.", 2.0)


# -- snapshots --------------------------------------------------------------------------------


class _Snapshot(Struct, frozen=True):
    version: int
    state: State


class _SnapshotHead(Struct):
    version: int


_snapshot_encoder = msgspec.json.Encoder()
_snapshot_decoder = msgspec.json.Decoder(_Snapshot)
_head_decoder = msgspec.json.Decoder(_SnapshotHead)


def encode_snapshot(state: State) -> bytes:
    """The state as bytes that `decode_snapshot` of this version reads."""
    return _snapshot_encoder.encode(_Snapshot(SNAPSHOT_VERSION, state))


def decode_snapshot(data: bytes, window: Window) -> State | None:
    """The state of a snapshot; None if it is another version's or damaged: the log is folded."""
    try:
        if _head_decoder.decode(data).version != SNAPSHOT_VERSION:
            return None
        return replace(_snapshot_decoder.decode(data).state, window=window)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
