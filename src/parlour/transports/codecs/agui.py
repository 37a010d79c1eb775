"""The AG-UI dialect, on the types of `ag-ui-protocol` (the extra `parlour[agui]`). Pure.

A thread is a session, and a run is what answers one message or one set of answers: a round that
asks takes several. Clients that name no `protocolVersion` are of the 0.x kind, which break at
outcomes that they do not know; they are told less, and questions in words as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from ag_ui.core import (
    ActivitySnapshotEvent,
    AssistantMessage,
    BaseEvent,
    Interrupt,
    Message,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    UserMessage,
)
from msgspec import Raw, Struct

from parlour.errors import Refused
from parlour.events import (
    AnyEvent,
    Delta,
    MessageAdded,
    ProgressShown,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    UnknownEvent,
    VariableDeleted,
    VariableSet,
)
from parlour.questions import (
    ChoiceQuestion,
    ConfirmQuestion,
    DateQuestion,
    FileQuestion,
    FormQuestion,
    NumberQuestion,
    Question,
    TextQuestion,
)
from parlour.state import Said
from parlour.transports.codecs.asking import in_words
from parlour.transports.codecs.openai.transcript import Link, with_files
from parlour.transports.codecs.reply import (
    Asked,
    Ended,
    Grew,
    Opened,
    Over,
    Piece,
    Rejected,
    Reply,
    Used,
    WorkBegan,
    WorkEnded,
)

VERSION = "1.0"
_PREFIX = "ask-"
_DIGITS = 16


class Run(Struct, frozen=True, kw_only=True):
    """What a run is told of. `modern`: its client speaks 1.0.

    `variables` are the session's when it begins, `asked` the open questions by their numbers,
    `messages` what was said before; `stopped`: instead of answering the user has ended the round.
    """

    thread: str
    run: str
    session: str
    link: Link
    modern: bool
    stopped: bool = False
    variables: Mapping[str, Raw] = {}
    asked: Mapping[int, QuestionAsked] = {}
    messages: Sequence[Message] = ()


class AguiRun:
    """Follows one reply as a run; without one there is nothing to wait for."""

    def __init__(self, reply: Reply | None, run: Run) -> None:
        self._reply = reply
        self._run = run
        self._names = {name for name in run.variables if is_shown(name)}
        self._asked = dict(run.asked)
        self._messages = list(run.messages)
        self._open = ""
        self._held: list[Piece] = []
        self._calls: dict[str, str] = {}
        self._count = 0
        self._asks: str | None = None
        self._usage: dict[str, list[int]] = {}

    @property
    def over(self) -> bool:
        return self._reply is None or self._reply.over

    # -- as it goes -------------------------------------------------------------------------

    def begin(self) -> str:
        """The start, with the variables; all of it where nothing is waited for."""
        run = self._run
        version = VERSION if run.modern else None
        started = RunStartedEvent(thread_id=run.thread, run_id=run.run, protocol_version=version)
        snapshot = {
            name: msgspec.json.decode(value)
            for name, value in run.variables.items()
            if name in self._names
        }
        told = _sse(started) + _sse(StateSnapshotEvent(snapshot=snapshot))
        if self._reply is not None:
            return told
        if self._asked:
            return told + self._interrupt()
        return told + self._snapshot() + self._finish("stopped" if run.stopped else "done")

    def record(self, seq: int, at: float, event: AnyEvent | UnknownEvent) -> str:
        """The events of a record."""
        del at
        told = ""
        match event:
            case VariableSet(name=name) if is_shown(name):
                self._names.add(name)
                value = msgspec.json.decode(event.value)
                told = _patch({"op": "add", "path": _pointer(name), "value": value})
            case VariableDeleted(name=name) if name in self._names:
                self._names.remove(name)
                told = _patch({"op": "remove", "path": _pointer(name)})
            case QuestionAsked():
                self._asked[seq] = event
            case QuestionAnswered() | QuestionClosed():
                self._asked.pop(event.question, None)
            case _:
                pass
        message = message_of(self._run.session, seq, event, self._run.link)
        if message is not None:
            self._messages.append(message)
        pieces = [] if self._reply is None else self._reply.record(seq, event)
        return told + "".join([self._take(piece) for piece in pieces])

    def settle(self) -> str:
        """The interrupt, once all that was asked at the same time is known."""
        asks, self._asks = self._asks, None
        return "" if asks is None else self._interrupt(asks)

    def delta(self, delta: Delta) -> str:
        """The events of what passes by."""
        if self._reply is None or not self._reply.running:
            return ""
        if isinstance(delta, ProgressShown):
            return self._progress(delta)
        return "".join([self._take(piece) for piece in self._reply.delta(delta)])

    def broken(self, refusal: Refused) -> str:
        """The end where nothing more will be told."""
        return _sse(RunErrorEvent(message=refusal.message, code=refusal.code))

    def _take(self, piece: Piece) -> str:  # noqa: C901, PLR0911 - a table
        if self._open and _message_key(piece) != self._open and not isinstance(piece, Used):
            self._held.append(piece)
            return ""
        match piece:
            case Opened(key):
                self._open = key
                self._count += 1
                return _sse(TextMessageStartEvent(message_id=self._id(), role="assistant"))
            case Grew(_, text):
                return _sse(TextMessageContentEvent(message_id=self._id(), delta=text))
            case Ended():
                return self._ended(piece)
            case WorkBegan(key, begun):
                return self._call(key, begun.name, begun.input)
            case WorkEnded(key, _, status, output):
                return self._result(key, output or status)
            case Used(read, written, model):
                used = self._usage.setdefault(model, [0, 0])
                used[0] += read
                used[1] += written
                return ""
            case Asked():
                self._asks = ""
                return self._words(in_words(piece.event))
            case Rejected(_, reason):
                self._asks = reason
                return self._words(reason)
            case Over(status, reason, error):  # pragma: no branch - there is no other piece
                return self._over(status, reason, error)

    # -- messages and calls -----------------------------------------------------------------

    def _id(self) -> str:
        seq = 0 if self._reply is None else self._reply.seq
        return f"{self._run.session}-{seq}-{self._count}"

    def _ended(self, piece: Ended) -> str:
        told, self._open = "", ""
        links = with_files("", piece.files, self._run.link)
        if links:
            links = f"\n\n{links}" if piece.text else links
            told = _sse(TextMessageContentEvent(message_id=self._id(), delta=links))
        told += _sse(TextMessageEndEvent(message_id=self._id()))
        held, self._held = self._held, []
        return told + "".join([self._take(each) for each in held])

    def _words(self, text: str) -> str:
        """What a client that knows no questions shows of one."""
        if self._run.modern:
            return ""
        self._count += 1
        return (
            _sse(TextMessageStartEvent(message_id=self._id(), role="assistant"))
            + _sse(TextMessageContentEvent(message_id=self._id(), delta=text))
            + _sse(TextMessageEndEvent(message_id=self._id()))
        )

    def _call(self, key: str, name: str, given: str) -> str:
        self._count += 1
        call = self._calls[key] = f"{self._id()}-call"
        arguments = msgspec.json.encode({"input": given} if given else {}).decode()
        return (
            _sse(ToolCallStartEvent(tool_call_id=call, tool_call_name=name))
            + _sse(ToolCallArgsEvent(tool_call_id=call, delta=arguments))
            + _sse(ToolCallEndEvent(tool_call_id=call))
        )

    def _result(self, key: str, content: str) -> str:
        call = self._calls.pop(key, None)
        if call is None:
            return ""  # it began before this run
        return _sse(
            ToolCallResultEvent(message_id=f"{call}-result", tool_call_id=call, content=content)
        )

    def _progress(self, shown: ProgressShown) -> str:
        content = {"done": shown.done, "total": shown.total, "text": shown.text}
        return _sse(
            ActivitySnapshotEvent(
                message_id=f"{self._run.session}-{shown.round}-progress-{shown.path}",
                activity_type="progress",
                content={name: value for name, value in content.items() if value is not None},
                replace=True,
            )
        )

    # -- the end ----------------------------------------------------------------------------

    def _over(self, status: str, reason: str, error: str) -> str:
        cut = "".join([self._result(key, "stopped") for key in tuple(self._calls)])
        if status in {"done", "stopped"}:
            return cut + self._finish(status)
        failed = RunErrorEvent(message=reason or "The answer failed.", code=error or status)
        return cut + _sse(failed)

    def _finish(self, status: str) -> str:
        run, outcome, usage = self._run, None, None
        if run.modern:
            stopped = status == "stopped"
            outcome = RunFinishedCancelledOutcome() if stopped else RunFinishedSuccessOutcome()
            usage = self._used()
        return _sse(
            RunFinishedEvent(thread_id=run.thread, run_id=run.run, outcome=outcome, usage=usage)
        )

    def _interrupt(self, note: str = "") -> str:
        run = self._run
        interrupts = [_interrupt_of(seq, asked, note) for seq, asked in self._asked.items()]
        finished = RunFinishedEvent(
            thread_id=run.thread,
            run_id=run.run,
            outcome=RunFinishedInterruptOutcome(interrupts=interrupts),
            usage=self._used() if run.modern else None,
        )
        return (self._snapshot() if run.modern else "") + _sse(finished)

    def _used(self) -> list[TokenUsage] | None:
        return [
            TokenUsage(model=model or None, input_tokens=read, output_tokens=written)
            for model, (read, written) in self._usage.items()
        ] or None

    def _snapshot(self) -> str:
        return _sse(MessagesSnapshotEvent(messages=self._messages))


def is_shown(name: str) -> bool:
    """Whether clients see a variable: one whose name begins with `_` is the app's own."""
    return not name.startswith(("_", "openai."))


def interrupt_id(question: int) -> str:
    return f"{_PREFIX}{question}"


def read_interrupt_id(text: str) -> int | None:
    number = text.removeprefix(_PREFIX)
    plain = number.isascii() and number.isdigit() and len(number) < _DIGITS
    return int(number) if plain and text != number else None


def message_of(
    session: str, seq: int, event: AnyEvent | UnknownEvent, link: Link
) -> Message | None:
    """What a record is as a message; None if it is none."""
    match event:
        case MessageAdded(role="user") | QuestionAnswered():
            text = with_files(event.text, event.files, link)
            return UserMessage(id=f"{session}-{seq}", content=text)
        case MessageAdded():
            text = with_files(event.text, event.files, link)
            return AssistantMessage(id=f"{session}-{seq}", content=text)
        case QuestionAsked():
            return AssistantMessage(id=f"{session}-{seq}", content=in_words(event))
        case _:
            return None


def said_messages(session: str, history: Sequence[Said], link: Link) -> list[Message]:
    """What was said before, as messages."""
    found: list[Message] = []
    for said in history:
        kind = UserMessage if said.role == "user" else AssistantMessage
        text = with_files(said.text, said.files, link)
        found.append(kind(id=f"{session}-{said.seq}", content=text))
    return found


def _interrupt_of(seq: int, asked: QuestionAsked, note: str) -> Interrupt:
    message = "\n\n".join(text for text in (note or asked.note, asked.text) if text)
    expires = None
    if asked.deadline is not None:
        expires = datetime.fromtimestamp(asked.deadline, UTC).isoformat()
    confirm = isinstance(asked.question, ConfirmQuestion)
    return Interrupt(
        id=interrupt_id(seq),
        reason="confirmation" if confirm else "input_required",
        message=message,
        response_schema=schema_of(asked.question),
        expires_at=expires,
    )


def schema_of(question: Question) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind
    """What answers a question, as a JSON schema."""
    match question:
        case TextQuestion():
            return _some(
                type="string",
                minLength=question.min_length,
                maxLength=question.max_length,
                pattern=None if question.pattern is None else f"^(?:{question.pattern})$",
            )
        case NumberQuestion():
            kind = "integer" if question.integer else "number"
            return _some(type=kind, minimum=question.minimum, maximum=question.maximum)
        case ConfirmQuestion():
            return {"type": "boolean"}
        case DateQuestion():
            return {"type": "string", "format": "date"}
        case ChoiceQuestion():
            one = {
                "type": "string",
                "oneOf": [
                    _some(const=o.value, title=o.label, description=o.description or None)
                    for o in question.options
                ],
            }
            if not question.many:
                return one
            most = question.maximum
            return _some(type="array", items=one, minItems=question.minimum, maxItems=most)
        case FileQuestion():
            text = {"type": "string"}
            fields = {"name": text, "mimeType": text, "data": {**text, "format": "byte"}}
            file = {"type": "object", "properties": fields, "required": ["name", "data"]}
            least, most = question.minimum, question.maximum
            return {"type": "array", "items": file, "minItems": least, "maxItems": most}
        case FormQuestion():  # pragma: no branch - there is no other kind
            schema: dict[str, Any] = msgspec.json.decode(question.schema)
            return schema


def _some(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _patch(operation: dict[str, Any]) -> str:
    return _sse(StateDeltaEvent.model_validate({"delta": [operation]}))


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _message_key(piece: Piece) -> str:
    match piece:
        case Opened(key) | Grew(key, _) | Ended(key=key):
            return key
        case _:
            return ""


def _sse(event: BaseEvent) -> str:
    return f"data: {event.model_dump_json(by_alias=True)}\n\n"
