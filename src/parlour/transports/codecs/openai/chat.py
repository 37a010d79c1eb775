"""A reply as a chat completion: chunk by chunk, or whole. Pure.

There is one message in a completion. So all that a round says stands in it, one below the other;
what the bot shows of its work is reasoning, for a `tool_calls` would tell the client to run it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from parlour.errors import Refused
from parlour.events import AnyEvent, Delta, QuestionAsked, UnknownEvent
from parlour.transports.codecs.asking import in_words
from parlour.transports.codecs.openai.errors import Problem, error_of
from parlour.transports.codecs.openai.ids import call_id
from parlour.transports.codecs.openai.requests import Turn
from parlour.transports.codecs.openai.tool import AskTool
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

_encoder = msgspec.json.Encoder()
_DONE = "data: [DONE]\n\n"


class Heading(Struct, frozen=True, kw_only=True):
    """What every answer about a reply says of it. `created` is in Unix seconds."""

    session: str
    model: str
    created: float
    link: Link
    tool: AskTool | None = None


class Completion:
    """Follows one reply; gives server-sent events as it goes, and the whole at its end."""

    def __init__(self, reply: Reply, heading: Heading, *, usage: bool = False) -> None:
        self._reply = reply
        self._heading = heading
        self._usage = usage
        self._open = ""
        self._held: list[Piece] = []
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._tokens = [0, 0]
        self._calls: list[dict[str, Any]] = []
        self._failure: Problem | None = None

    # -- as it goes -------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self._reply.over

    def begin(self) -> str:
        """The first chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def record(self, seq: int, at: float, event: AnyEvent | UnknownEvent) -> str:
        """The chunks of a record."""
        del at
        return self._all(self._reply.record(seq, event))

    def settle(self) -> str:
        """Nothing waits for the end of a commit here."""
        return ""

    def delta(self, delta: Delta) -> str:
        """The chunks of what passes by."""
        return self._all(self._reply.delta(delta))

    def broken(self, refusal: Refused) -> str:
        """The end where nothing more will be told."""
        return f"data: {_encode(error_of(refusal))}\n\n"

    def _all(self, pieces: list[Piece]) -> str:
        return "".join([self._take(piece) for piece in pieces])

    def _take(self, piece: Piece) -> str:  # noqa: C901, PLR0911 - a table
        if self._open and not isinstance(piece, Used) and _key(piece) != self._open:
            self._held.append(piece)
            return ""
        match piece:
            case Opened(key):
                self._open = key
                return self._say("\n\n") if self._texts else ""
            case Grew(_, text):
                return self._say(text)
            case Ended():
                return self._ended(piece)
            case WorkBegan(_, event):
                return self._think("\n\n".join(t for t in (f"**{event.name}**", event.input) if t))
            case WorkEnded(_, name, status, output):
                failed = "" if status == "done" else f"*{name}: {status}*"
                return self._think("\n\n".join(text for text in (failed, output) if text))
            case Used(read, written):
                self._tokens[0] += read
                self._tokens[1] += written
                return ""
            case Asked(seq, event):
                return self._ask(seq, event)
            case Rejected(_, reason):
                return self._say(reason) + self._end("stop")
            case Over():  # pragma: no branch - there is no other piece
                return self._finish(piece)

    def _say(self, text: str) -> str:
        self._texts.append(text)
        return self._chunk({"content": text})

    def _think(self, text: str) -> str:
        if not text:
            return ""
        thought = f"\n\n{text}" if self._thoughts else text
        self._thoughts.append(thought)
        return self._chunk({"reasoning_content": thought})

    def _ended(self, piece: Ended) -> str:
        self._open = ""
        links = with_files("", piece.files, self._heading.link)
        chunks = self._say(f"\n\n{links}" if piece.text else links) if links else ""
        held, self._held = self._held, []
        return chunks + self._all(held)

    def _ask(self, seq: int, event: QuestionAsked) -> str:
        tool = self._heading.tool
        arguments = None if tool is None else tool.arguments(event)
        if tool is None or arguments is None:
            chunks = self._say("\n\n") if self._texts else ""
            return chunks + self._say(in_words(event)) + self._end("stop")
        function = {"name": tool.name, "arguments": arguments}
        id_ = call_id(self._heading.session, seq)
        self._calls = [{"id": id_, "type": "function", "function": function}]
        chunk = self._chunk({"tool_calls": [{"index": 0, **self._calls[0]}]})
        return chunk + self._end("tool_calls")

    def _finish(self, over: Over) -> str:
        if over.status in {"done", "stopped"}:
            return self._end("stop")
        self._failure = failure_of(over)
        return self.broken(self._failure) + _DONE

    def _end(self, reason: str) -> str:
        chunks = self._chunk({}, reason)
        if self._usage:
            chunks += self._event({"choices": [], "usage": self._used()})
        return chunks + _DONE

    # -- whole ------------------------------------------------------------------------------

    @property
    def failure(self) -> Problem | None:
        """Why there is no completion, if there is none."""
        return self._failure

    @property
    def turn(self) -> Turn:
        """What the client was told, as it will say it was."""
        calls = "".join(f"[{call['id']}]" for call in self._calls)
        return Turn("assistant", "".join(self._texts).strip() + calls)

    def whole(self) -> bytes:
        """The completion, when the reply is over."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._texts) or None,
            "refusal": None,
        }
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._calls:
            message["tool_calls"] = self._calls
        reason = "tool_calls" if self._calls else "stop"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        found = {**self._head("chat.completion"), "choices": [choice], "usage": self._used()}
        return _encoder.encode(found)

    def _used(self) -> dict[str, int]:
        read, written = self._tokens
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._event({"choices": [choice], **({"usage": None} if self._usage else {})})

    def _event(self, content: dict[str, Any]) -> str:
        return f"data: {_encode({**self._head('chat.completion.chunk'), **content})}\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        heading = self._heading
        return {
            "id": f"chatcmpl-{heading.session}-{self._reply.seq}",
            "object": kind,
            "created": int(heading.created),
            "model": heading.model,
        }


def failure_of(over: Over) -> Problem:
    """A round that failed, as an error; `code` is what the operator finds it by."""
    reason = over.reason or "The answer failed."
    return Problem(500, over.error or over.status, reason, kind="server_error")


def whole_text(text: str, model: str, created: float) -> bytes:
    """A completion that no session knows of."""
    return _encoder.encode(_aside(text, model, created, "chat.completion", "message"))


def streamed_text(text: str, model: str, created: float) -> str:
    """The same as a stream."""
    chunk = _aside(text, model, created, "chat.completion.chunk", "delta")
    return f"data: {_encode(chunk)}\n\n{_DONE}"


def _aside(text: str, model: str, created: float, kind: str, name: str) -> dict[str, Any]:
    said = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-aside",
        "object": kind,
        "created": int(created),
        "model": model,
        "choices": [{"index": 0, name: said, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def _key(piece: Piece) -> str:
    match piece:
        case Opened(key) | Grew(key, _) | Ended(key=key):
            return key
        case _:
            return ""


def _encode(content: object) -> str:
    return _encoder.encode(content).decode()
