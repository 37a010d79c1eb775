"""What a command causes, or why it is refused. The caller applies the events."""

from __future__ import annotations

from typing import cast, get_args

from msgspec import Raw

from parlour.errors import InvalidAnswer, Refused
from parlour.events import (
    SETTINGS,
    Answer,
    AnswerRejected,
    Assign,
    Cause,
    ChangeNoticed,
    Close,
    CloseReason,
    Command,
    Event,
    FeedbackGiven,
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Rate,
    Rating,
    ReminderCame,
    Rename,
    RoundFinished,
    RoundStarted,
    Say,
    SessionClosed,
    SessionOpened,
    Signal,
    SignalReceived,
    Status,
    Stop,
    TimerFired,
    TitleSet,
    VariableDeleted,
    VariableSet,
)
from parlour.questions import OfferedFile, describe_answer, read_answer
from parlour.settings import Limits
from parlour.state.evolve import running_round
from parlour.state.model import (
    Phase,
    Rules,
    State,
)
from parlour.storable import read_json, text_size

_MAX_ID = 128
_MAX_TITLE = 200

_MAX_REASON = 8192


def decide(  # noqa: C901, PLR0911 - each command has its own function
    state: State, command: Command, rules: Rules, now: float
) -> list[Event]:
    """The events that `command` causes at time `now` (Unix seconds); the caller applies them.

    The caller has looked into `state.recent` for a repetition. Raises `Refused`: nothing happens.
    """
    if state.phase is Phase.NEW:
        raise Refused("unknown_session", "There is no such session.")
    over = state.phase is Phase.CLOSED or (state.round is not None and state.round.cause == "close")
    if over and not isinstance(command, Rename):
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
        case Rate():
            return _decide_rate(state, command, rules)
        case Assign():
            return _decide_assign(state, command, rules)
        case Rename():
            return _decide_rename(state, command)
        case Close():  # pragma: no branch - there is no other command
            return _decide_close(state, command, rules)


def open_session(
    user: str,
    command: str,
    causes: frozenset[Cause],
    *,
    profile: str = "",
    settings: Raw | None = None,
) -> list[Event]:
    """The first events of a session of `user`; `settings` are what was set in the panel before."""
    events: list[Event] = [SessionOpened(user=user, command=command, profile=profile)]
    if settings is not None:
        events.append(VariableSet(name=SETTINGS, value=settings))
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
    running = running_round(state)
    events: list[Event] = [
        RoundFinished(
            round=running.number,
            status=status,
            error=error,
            reason=reason,
            command=command,
            again=again and (running.source is not None or bool(running.taken)),
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
    """What the passing of time has caused by `now`: questions closed, timers and reminders."""
    came = sorted(
        [(it.due, name) for name, it in state.reminders.items() if it.due <= now]
        if state.reminders
        else ()
    )
    events: list[Event] = [ReminderCame(name=name) for _, name in came]
    running = state.round
    if running is None:
        return events
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
    if type(command.question) is not int:
        raise Refused("invalid", "A question is named by the number of its record.")
    if command.value is not None:
        _check_raw("An answer", command.value, rules.limits.message_bytes)
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
            AnswerRejected(
                question=seq,
                text=shown[:1000],
                reason=str(error),
                command=command.id,
                code=error.code,
                values=error.values,
            )
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
    _check_json("A signal", command.data, rules.limits.value_bytes)
    _check_queue(state, rules)
    return [SignalReceived(name=command.name, data=command.data, command=command.id)]


def _decide_rate(state: State, command: Rate, rules: Rules) -> list[Event]:
    if type(command.message) is not int or not 0 < command.message <= state.seq:
        raise Refused("invalid", "A message is rated by the number of its record.")
    if command.rating not in get_args(Rating):
        raise Refused("invalid", "A rating is up or down, or empty to take it back.")
    size = text_size(command.reason)
    if size < 0:
        raise Refused("invalid", "A reason is text that is valid Unicode.")
    if size > _MAX_REASON:
        raise Refused("too_large", f"A reason may have {_MAX_REASON:,} bytes.")
    answered = "feedback" in rules.causes
    if answered:
        _check_queue(state, rules)
    return [
        FeedbackGiven(
            message=command.message,
            rating=command.rating,
            reason=command.reason,
            command=command.id,
            answered=answered,
        )
    ]


def _decide_assign(state: State, command: Assign, rules: Rules) -> list[Event]:
    _check_name("A variable", command.name)
    if command.value is None:
        if command.name not in state.variables:
            return []
        return [VariableDeleted(name=command.name, command=command.id), *_noticed(state, rules)]
    if text_size(command.kind) < 0:
        raise Refused("invalid", "The kind of a variable is text.")
    _check_json("A variable", command.value, rules.limits.value_bytes)
    check_variable(state, command.name, command.value, rules.limits)
    return [
        VariableSet(name=command.name, value=command.value, kind=command.kind, command=command.id),
        *_noticed(state, rules),
    ]


def _noticed(state: State, rules: Rules) -> list[Event]:
    """A round that looks at what was changed, unless one waits already."""
    if "change" not in rules.causes or any(item.cause == "change" for item in state.queue):
        return []
    return [ChangeNoticed()]


def _decide_rename(state: State, command: Rename) -> list[Event]:
    title = read_title(command.title)
    if title == state.name.title:
        return []
    return [TitleSet(title=title, command=command.id)]


def read_title(title: str) -> str:
    """A title in one line. Raises `Refused`."""
    if text_size(title) < 0:
        raise Refused("invalid", "A title is text that is valid Unicode.")
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in title).split())
    if len(line) > _MAX_TITLE:
        raise Refused("too_large", f"A title may have {_MAX_TITLE} characters.")
    return line


def _decide_close(state: State, command: Close, rules: Rules) -> list[Event]:
    if command.reason not in get_args(CloseReason):
        raise Refused("invalid", "A session is closed or expires; there is no other end.")
    events: list[Event] = []
    number = state.rounds
    if state.round is not None:
        events += finish_round(state, "stopped")
    if "close" in rules.causes and command.reason == "closed":
        return [*events, RoundStarted(round=number + 1, cause="close", command=command.id)]
    return [*events, SessionClosed(reason=command.reason, command=command.id)]


def check_command_id(command: str) -> None:
    """Raises `Refused` for what cannot name a command."""
    if text_size(command) < 1 or len(command) > _MAX_ID or not command.isprintable():
        raise Refused("invalid", f"A command needs an id of 1 to {_MAX_ID} printable characters.")


def check_variable(state: State, name: str, value: Raw, limits: Limits) -> None:
    """Raises `Refused` if the variable is too large, alone or with all the others."""
    check_value(name, value, limits)
    size = len(bytes(value))
    old = state.variables.get(name)
    more = size - len(bytes(old.value)) if old is not None else size + len(name)
    if state.used + more > limits.variables_bytes:
        raise Refused(
            "too_large",
            f"The variables of a session may have {limits.variables_bytes:,} bytes together; "
            "delete some, or put large data into a file of the session's workspace.",
        )


def check_value(name: str, value: Raw, limits: Limits) -> None:
    """Raises `Refused` if a variable, of a session or of a user, is misnamed or too large."""
    _check_name("A variable", name)
    size = len(bytes(value))
    if size > limits.value_bytes:
        raise Refused(
            "too_large",
            f"The variable {name!r} has {size:,} bytes; at most {limits.value_bytes:,} are kept. "
            "Put large data into a file of the session's workspace.",
        )


def _check_name(what: str, name: str) -> None:
    if text_size(name) < 1 or len(name) > _MAX_ID:
        raise Refused("invalid", f"{what} needs a name of 1 to {_MAX_ID} characters of Unicode.")


def _check_raw(what: str, value: Raw, most: int) -> None:
    if not isinstance(value, Raw):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Refused("invalid", f"{what} carries JSON, as msgspec.Raw.")
    if len(bytes(value)) > most:
        raise Refused("too_large", f"{what} may carry {most:,} bytes.")


def _check_json(what: str, value: Raw, most: int) -> None:
    _check_raw(what, value, most)
    try:
        read_json(value)
    except ValueError:
        raise Refused(
            "invalid", f"{what} carries JSON, with text that is Unicode and not nested too deeply."
        ) from None


def _check_message(state: State, text: str, files: tuple[FileRef, ...], limits: Limits) -> None:
    size = text_size(text)
    if size < 0:
        raise Refused("invalid", "A message is text that is valid Unicode.")
    if size > limits.message_bytes:
        raise Refused("too_large", f"A message may have {limits.message_bytes:,} bytes.")
    if not files:
        return
    if len(files) > limits.files_per_message:
        raise Refused("too_large", f"A message may have {limits.files_per_message} files.")
    if not all(map(_is_file, files)):
        raise Refused("invalid", "The files of a message are those that were uploaded before.")
    if len(state.files) + len(files) > limits.files_per_session:
        raise Refused("too_large", f"A session may have {limits.files_per_session} files.")


def _is_file(file: FileRef) -> bool:
    return (
        isinstance(file, FileRef)  # pyright: ignore[reportUnnecessaryIsInstance]
        and text_size(file.id) > 0
        and text_size(file.name) >= 0
        and text_size(file.type) >= 0
        and type(file.size) is int
    )


def _check_queue(state: State, rules: Rules) -> None:
    if len(state.queue) >= rules.limits.queued_messages:
        raise Refused("busy", "Too much is waiting in this session already.", 2.0)
