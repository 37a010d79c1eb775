"""A reply as a response: an event stream with numbers that are a place in the log. Pure.

`sequence_number` is made of the newest record, how many characters of a message were told since,
and which event it is. So it says after any interruption, to any worker, what has been told: nothing
needs to be remembered, and a stream goes on in the middle of a message.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from parlour.errors import Refused
from parlour.events import AnyEvent, Delta, MessageAdded, QuestionAsked, UnknownEvent
from parlour.transports.codecs.asking import in_words
from parlour.transports.codecs.openai.chat import Heading, failure_of
from parlour.transports.codecs.openai.errors import error_of
from parlour.transports.codecs.openai.ids import Place, call_id, conversation_id, response_id
from parlour.transports.codecs.openai.requests import Turn
from parlour.transports.codecs.openai.transcript import with_files
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

_encoder = msgspec.json.Encoder()
_RECORD = 1 << 28
_LETTER = 1 << 4

# Which event of its record each is. A message that was streamed ends by the same numbers as one
# that came whole, so that either tells the other's rest.
_CREATED, _STARTED, _CUT, _ADDED, _OVER, _OPEN = 0, 1, 2, 5, 11, 12
_GROWN = 14
_STREAMED = "stream"


class Asking(Struct, frozen=True, kw_only=True):
    """What a request said of the response that it wants."""

    stored: bool = True
    background: bool = False
    previous: str | None = None
    metadata: dict[str, Any] = {}


class _Open(Struct):
    """A message that grows. `told` counts its characters that the client has."""

    index: int
    id: str
    text: str = ""
    told: int = 0


class Response:
    """Follows one reply. Of its events those with numbers up to `after` are passed over."""

    def __init__(
        self, reply: Reply, heading: Heading, asking: Asking | None = None, *, after: int = -1
    ) -> None:
        self._reply = reply
        self._heading = heading
        self._asking = asking or Asking()
        self._after = after
        self._seq = reply.seq
        self._letters = 0
        self._created: float | None = None
        self._completed: float | None = None
        self._status = "queued"
        self._error: dict[str, str] | None = None
        self._open: dict[str, _Open] = {}
        self._output: list[dict[str, Any]] = []
        self._tokens = [0, 0]
        self._resume = _letters_of(after)

    # -- as it goes -------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self._reply.over

    def begin(self) -> str:
        """Nothing is told before the first record is there."""
        return ""

    def record(self, seq: int, at: float, event: AnyEvent | UnknownEvent) -> str:
        """The events of a record."""
        pieces = self._reply.record(seq, event)
        ended = {piece.key for piece in pieces if isinstance(piece, Ended)}
        self._letters = sum(each.told for key, each in self._open.items() if key not in ended)
        self._seq = seq
        told = self._create(at) if self._created is None else ""
        if self._reply.over:
            self._completed = at
        return told + "".join([self._take(piece, event) for piece in pieces])

    def settle(self) -> str:
        """Nothing waits for the end of a commit here."""
        return ""

    def delta(self, delta: Delta) -> str:
        """The events of what passes by."""
        return "".join([self._grow(piece) for piece in self._reply.delta(delta)])

    def broken(self, refusal: Refused) -> str:
        """The end where nothing more will be told; the response may be fetched again."""
        error = error_of(refusal).error
        content = {"code": error.code, "message": error.message, "param": error.param}
        return _event("error", {"sequence_number": max(self._after, 0), **content})

    def _create(self, at: float) -> str:
        self._created = at
        self._status = "in_progress"
        whole = self._whole()
        return self._emit(_CREATED, "response.created", response=whole) + self._emit(
            _STARTED, "response.in_progress", response=whole
        )

    def _take(self, piece: Piece, event: AnyEvent | UnknownEvent) -> str:  # noqa: PLR0911
        match piece:
            case Opened(key):
                self._open_message(key)
                return self._add_message(key, _ADDED)
            case Grew(key, text):
                return self._text(key, text, _ADDED + 2)
            case Ended(key):
                whole = isinstance(event, MessageAdded)
                return self._end_message(key, piece, _ADDED + 3 if whole else _CUT)
            case WorkBegan(_, begun):
                head = f"**{begun.name}**"
                return self._thought("\n\n".join(text for text in (head, begun.input) if text))
            case WorkEnded(_, name, status, output):
                failed = "" if status == "done" else f"*{name}: {status}*"
                return self._thought("\n\n".join(text for text in (failed, output) if text))
            case Used(read, written):
                self._tokens[0] += read
                self._tokens[1] += written
                return ""
            case Asked(seq, asked):
                return self._ask(seq, asked) + self._finish("completed")
            case Rejected(_, reason):
                return self._message(reason) + self._finish("completed")
            case Over():  # pragma: no branch - there is no other piece
                return self._finish_round(piece)

    # -- messages ---------------------------------------------------------------------------

    def _open_message(self, key: str) -> None:
        index = len(self._output)
        id_ = f"msg_{self._heading.session}_{self._reply.seq}_{index}"
        self._output.append(_message(id_, "in_progress", ""))
        self._open[key] = _Open(index, id_)

    def _add_message(self, key: str, first: int) -> str:
        each = self._open[key]
        if self._resume is not None and self._goes_on(key, first):
            each.told, self._resume = self._resume, None
            return "" if self._after % _LETTER != _OPEN else self._add_part(each, first)
        return self._emit(
            first, "response.output_item.added", output_index=each.index, item=self._item(each)
        ) + self._add_part(each, first)

    def _add_part(self, each: _Open, first: int) -> str:
        part = {"type": "output_text", "text": "", "annotations": list[Any](), "logprobs": []}
        return self._emit(
            first + 1,
            "response.content_part.added",
            item_id=each.id,
            output_index=each.index,
            content_index=0,
            part=part,
        )

    def _goes_on(self, key: str, first: int) -> bool:
        """Whether this is the message that grew when the client went."""
        behind = self._seq - self._reply.seq - self._after // _RECORD
        streamed = key.rpartition("/")[2].startswith(_STREAMED)
        return streamed and behind >= (0 if first == _OPEN else 1)

    def _text(self, key: str, text: str, event: int) -> str:
        each = self._open[key]
        before = len(each.text)
        each.text += text
        new = text[max(0, each.told - before) :]
        each.told = max(each.told, len(each.text))
        if event == _GROWN:
            self._letters = each.told
        if not new:
            return ""
        return self._emit(
            event,
            "response.output_text.delta",
            item_id=each.id,
            output_index=each.index,
            content_index=0,
            delta=new,
            logprobs=[],
        )

    def _end_message(self, key: str, piece: Ended, first: int) -> str:
        text = with_files(piece.text, piece.files, self._heading.link)
        more = ""
        if text != piece.text:
            more = self._text(key, text[len(piece.text) :], _ADDED + 2)
        each = self._open.pop(key)
        item = self._output[each.index] = _message(each.id, "completed", text)
        place: dict[str, Any] = {
            "item_id": each.id,
            "output_index": each.index,
            "content_index": 0,
        }
        return (
            more
            + self._emit(first, "response.output_text.done", **place, text=text, logprobs=[])
            + self._emit(first + 1, "response.content_part.done", **place, part=item["content"][0])
            + self._emit(first + 2, "response.output_item.done", output_index=each.index, item=item)
        )

    def _message(self, text: str) -> str:
        """A message that comes whole."""
        key = ""
        self._open_message(key)
        return (
            self._add_message(key, _ADDED)
            + self._text(key, text, _ADDED + 2)
            + self._end_message(key, Ended(key, text), _ADDED + 3)
        )

    def _grow(self, piece: Piece) -> str:
        match piece:
            case Opened(key):
                self._open_message(key)
                return self._add_message(key, _OPEN)
            case Grew(key, text):
                return self._text(key, text, _GROWN)
            case _:  # pragma: no cover - nothing else passes by
                return ""

    def _item(self, each: _Open) -> dict[str, Any]:
        return {**self._output[each.index], "content": []}

    # -- all else ---------------------------------------------------------------------------

    def _thought(self, text: str) -> str:
        """A part of the work: reasoning, whole at once."""
        if not text:
            return ""
        index = len(self._output)
        id_ = f"rs_{self._heading.session}_{self._reply.seq}_{index}"
        summary = {"type": "summary_text", "text": text}
        item = {"id": id_, "type": "reasoning", "summary": [summary], "status": "completed"}
        self._output.append(item)
        place: dict[str, Any] = {"item_id": id_, "output_index": index, "summary_index": 0}
        name = "response.reasoning_summary"
        return (
            self._emit(
                _ADDED,
                "response.output_item.added",
                output_index=index,
                item={**item, "summary": [], "status": "in_progress"},
            )
            + self._emit(_ADDED + 1, f"{name}_part.added", **place, part={**summary, "text": ""})
            + self._emit(_ADDED + 2, f"{name}_text.delta", **place, delta=text)
            + self._emit(_ADDED + 3, f"{name}_text.done", **place, text=text)
            + self._emit(_ADDED + 4, f"{name}_part.done", **place, part=summary)
            + self._emit(_ADDED + 5, "response.output_item.done", output_index=index, item=item)
        )

    def _ask(self, seq: int, event: QuestionAsked) -> str:
        tool = self._heading.tool
        arguments = None if tool is None else tool.arguments(event)
        if tool is None or arguments is None:
            return self._message(in_words(event))
        index = len(self._output)
        id_ = call_id(self._heading.session, seq)
        item = {
            "id": f"fc_{self._heading.session}_{seq}",
            "type": "function_call",
            "call_id": id_,
            "name": tool.name,
            "arguments": arguments,
            "status": "completed",
        }
        self._output.append(item)
        place: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        name = "response.function_call_arguments"
        return (
            self._emit(
                _ADDED,
                "response.output_item.added",
                output_index=index,
                item={**item, "arguments": "", "status": "in_progress"},
            )
            + self._emit(_ADDED + 2, f"{name}.delta", **place, delta=arguments)
            + self._emit(_ADDED + 3, f"{name}.done", **place, arguments=arguments, name=tool.name)
            + self._emit(_ADDED + 5, "response.output_item.done", output_index=index, item=item)
        )

    def _finish_round(self, over: Over) -> str:
        match over.status:
            case "done":
                return self._finish("completed")
            case "stopped":
                return self._finish("cancelled", "response.incomplete")
            case _:
                failure = failure_of(over)
                self._error = {"code": "server_error", "message": failure.message}
                return self._finish("failed")

    def _finish(self, status: str, event: str = "") -> str:
        self._status = status
        return self._emit(_OVER, event or f"response.{status}", response=self._whole())

    # -- whole ------------------------------------------------------------------------------

    @property
    def failure(self) -> None:
        """What failed is told in the response itself."""
        return

    @property
    def turn(self) -> Turn:
        """What the client was told, as it will say it was."""
        texts: list[str] = []
        calls = ""
        for item in self._output:
            if item["type"] == "message":
                texts.append(item["content"][0]["text"])
            elif item["type"] == "function_call":
                calls += f"[{item['call_id']}]"
        return Turn("assistant", "\n\n".join(texts + ([calls] if calls else [])).strip())

    @property
    def status(self) -> str:
        """`queued`, `in_progress`, `completed`, `failed` or `cancelled`."""
        return self._status

    def whole(self) -> bytes:
        """The response as far as it is."""
        return _encoder.encode(self._whole())

    def _whole(self) -> dict[str, Any]:
        asking, heading = self._asking, self._heading
        read, written = self._tokens
        usage = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }
        over = self._status not in {"queued", "in_progress"}
        return {
            "id": response_id(Place(heading.session, self._reply.seq, asking.stored)),
            "object": "response",
            "created_at": int(heading.created if self._created is None else self._created),
            "completed_at": int(self._completed) if over and self._completed else None,
            "status": self._status,
            "background": asking.background,
            "conversation": {"id": conversation_id(heading.session)},
            "error": self._error,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "metadata": asking.metadata,
            "model": heading.model,
            "output": [self._shown(item) for item in self._output],
            "parallel_tool_calls": False,
            "previous_response_id": asking.previous,
            "reasoning": {"effort": None, "summary": None},
            "store": asking.stored,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": usage if over else None,
        }

    def _shown(self, item: dict[str, Any]) -> dict[str, Any]:
        for each in self._open.values():
            if item.get("id") == each.id:
                return _message(each.id, "in_progress", each.text)
        return item

    # -- numbers ----------------------------------------------------------------------------

    def _number(self, event: int) -> int:
        return (self._seq - self._reply.seq) * _RECORD + self._letters * _LETTER + event

    def _emit(self, event: int, kind: str, /, **fields: Any) -> str:
        number = self._number(event)
        if number <= self._after:
            return ""
        return _event(kind, {"sequence_number": number, **fields})


def _letters_of(after: int) -> int | None:
    """How many characters of a growing message a client has; None if it has none that grows."""
    event, letters = after % _LETTER, after % _RECORD // _LETTER
    return letters if after >= 0 and (letters or event >= _OPEN) else None


def _message(id_: str, status: str, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": list[Any](), "logprobs": []}
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }


def _event(name: str, fields: dict[str, Any]) -> str:
    content = _encoder.encode({"type": name, **fields}).decode()
    return f"event: {name}\ndata: {content}\n\n"
