"""What clients send: requests, and the conversation that stands in them. Pure.

Clients send the whole conversation each time; the log is the truth, so that only its last turn is
new, and the turns before it say which session is meant. What tells a model how to behave (system
messages, temperature, tools) is the app's business and passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from parlour.transports.codecs.openai.errors import invalid

Role = Literal["user", "assistant"]
T = TypeVar("T")


class Attached(Struct, frozen=True):
    """A file that came with a message: its bytes, or the id of an upload."""

    name: str
    type: str = "application/octet-stream"
    data: bytes = b""
    upload: str = ""


class Turn(Struct, frozen=True):
    """What one side said. `call`: it answers the question that this tool call put."""

    role: Role
    text: str
    files: tuple[Attached, ...] = ()
    call: str = ""


class Prompt(Struct, frozen=True):
    """A conversation as its client knows it: until the last reply, and what was said since.

    More than one turn stands in `tail` where a reply failed, or a client says several things.
    """

    history: tuple[Turn, ...]
    tail: tuple[Turn, ...]

    def splits(self) -> Iterator[tuple[tuple[Turn, ...], Turn]]:
        """What may be known already and what is new then, the least that is new first."""
        for known in range(len(self.tail) - 1, -1, -1):
            history = merge((*self.history, *self.tail[:known]))
            yield tuple(history), merge(self.tail[known:])[0]

    @property
    def said(self) -> Turn:
        """All that was said since the last reply."""
        return merge(self.tail)[0]


# -- bodies ---------------------------------------------------------------------------------


class _Url(Struct):
    url: str = ""


class _FilePart(Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Audio(Struct):
    data: str = ""
    format: str = "wav"


class Part(Struct):
    """A part of a message's content, of either API."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | _Url | None = None
    file: _FilePart | None = None
    input_audio: _Audio | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class _Call(Struct):
    id: str = ""


class ChatMessage(Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Function(Struct):
    name: str = ""
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    """A tool that the client offers; the two APIs write it differently."""

    type: str = ""
    name: str | None = None
    parameters: dict[str, Any] | None = None
    function: _Function | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class ChatRequest(Struct):
    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    tools: list[Tool] | None = None
    metadata: dict[str, Any] | None = None


class Item(Struct):
    """An item of a response's input."""

    type: str = "message"
    role: str = ""
    content: str | list[Part] | None = None
    call_id: str | None = None
    output: str | list[Part] | None = None


class _Reference(Struct):
    id: str


class ResponseRequest(Struct):
    model: str
    input: str | list[Item] = ""
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Reference | None = None
    metadata: dict[str, Any] | None = None
    tools: list[Tool] | None = None

    @property
    def conversation_id(self) -> str | None:
        named = self.conversation
        return named.id if isinstance(named, _Reference) else named


class ConversationRequest(Struct):
    items: list[Raw] | None = None
    metadata: dict[str, str] | None = None


def read_body(data: bytes, kind: type[T]) -> T:
    """A request's JSON. Raises `Problem` that names the field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$")
        raise invalid(f"{reason}.", where.strip(".`") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The body of the request is no valid JSON.") from None


# -- what was said --------------------------------------------------------------------------


def chat_prompt(request: ChatRequest) -> Prompt:
    """Raises `Problem`."""
    turns = [turn for turn in map(_chat_turn, request.messages) if turn is not None]
    return _prompt(turns, "messages")


def response_prompt(request: ResponseRequest) -> Prompt:
    """Raises `Problem`."""
    if isinstance(request.input, str):
        return _prompt([Turn("user", request.input)], "input")
    turns = [turn for turn in map(_item_turn, request.input) if turn is not None]
    return _prompt(turns, "input")


def _chat_turn(message: ChatMessage) -> Turn | None:
    match message.role:
        case "user":
            return _turn("user", message.content)
        case "assistant":
            calls = "".join(f"[{call.id}]" for call in message.tool_calls or ())
            turn = _turn("assistant", message.content)
            return Turn("assistant", turn.text + calls, turn.files)
        case "tool" | "function":
            return _turn("user", message.content, message.tool_call_id or "")
        case _:
            return None


def _item_turn(item: Item) -> Turn | None:
    match item.type:
        case "message" if item.role in {"user", "assistant"}:
            return _turn("user" if item.role == "user" else "assistant", item.content)
        case "function_call":
            return Turn("assistant", f"[{item.call_id or ''}]")
        case "function_call_output":
            return _turn("user", item.output, item.call_id or "")
        case _:
            return None


def _prompt(turns: Sequence[Turn], param: str) -> Prompt:
    said = [turn for turn in turns if turn.text.strip() or turn.files]
    place = len(said)
    while place and said[place - 1].role == "user":
        place -= 1
    if place == len(said):
        raise invalid(
            "The last message is to be the user's, with some text or a file: it gets answered.",
            param,
        )
    return Prompt(tuple(merge(said[:place])), tuple(said[place:]))


def merge(turns: Iterable[Turn]) -> list[Turn]:
    """What one side said in several messages is one turn; who said nothing had none."""
    merged: list[Turn] = []
    for turn in turns:
        text = turn.text.strip()
        if not text and not turn.files:
            continue
        if merged and merged[-1].role == turn.role:
            last = merged[-1]
            text = f"{last.text}\n\n{text}" if last.text and text else last.text or text
            merged[-1] = Turn(turn.role, text, last.files + turn.files, turn.call or last.call)
        else:
            merged.append(Turn(turn.role, text, turn.files, turn.call))
    return merged


def fingerprint(turns: Iterable[Turn]) -> bytes:
    """The same for the same conversation, and for no other."""
    found = hashlib.sha256()
    for turn in turns:
        files = [hashlib.sha256(file.data).hexdigest() + file.upload for file in turn.files]
        found.update(msgspec.json.encode([turn.role, turn.text, files]) + b"\n")
    return found.digest()


def _turn(role: Role, content: str | list[Part] | None, call: str = "") -> Turn:
    if content is None or isinstance(content, str):
        return Turn(role, content or "", (), call)
    texts: list[str] = []
    files: list[Attached] = []
    for part in content:
        found = _part(part)
        if isinstance(found, Attached):
            files.append(found)
        else:
            texts.append(found)
    return Turn(role, "\n\n".join(text for text in texts if text), tuple(files), call)


def _part(part: Part) -> str | Attached:
    match part.type:
        case "text" | "input_text" | "output_text":
            return part.text or ""
        case "refusal":
            return part.refusal or ""
        case "image_url" | "input_image":
            image = part.image_url
            url = image.url if isinstance(image, _Url) else image or ""
            return _file("image", url, part.file_id)
        case "file" | "input_file":
            file = part.file or _FilePart(part.file_data, part.file_id, part.filename)
            return _file(file.filename or "file", file.file_data or part.file_url, file.file_id)
        case "input_audio":
            audio = part.input_audio or _Audio()
            kind = "audio/mpeg" if audio.format == "mp3" else f"audio/{audio.format}"
            return Attached(f"audio.{audio.format}", kind, _base64(audio.data))
        case _:
            raise invalid(f"Parts of the type {part.type[:50]!r} cannot be taken here.", "content")


def _file(name: str, data: str | None, upload: str | None) -> str | Attached:
    if upload:
        return Attached(name, upload=upload)
    if not data:
        raise invalid("A file needs its data, or the id of an upload.", "content")
    if data.startswith(("http://", "https://")):
        # Nothing is fetched in a client's name: the app decides what to do with an address.
        return f"![{name}]({data})" if name == "image" else f"[{name}]({data})"
    if not data.startswith("data:"):
        return Attached(name, data=_base64(data))
    head, comma, rest = data[5:].partition(",")
    kind, *flags = head.split(";")
    if not comma:
        raise invalid("That is no data: address.", "content")
    raw = _base64(rest) if "base64" in flags else unquote_to_bytes(rest)
    if name == "image":
        name = f"image.{kind.partition('/')[2].partition('+')[0] or 'bin'}"
    return Attached(name, kind or "text/plain", raw)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("A file's data is no valid base64.", "content") from None
