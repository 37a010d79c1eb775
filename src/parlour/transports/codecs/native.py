"""The native dialect, as docs/wire.md specifies it: JSON frames, one a line. Pure.

What is sent of events is the log's own bytes, wherever nothing in them concerns only the app.
`encode_records` is called once for each commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from parlour.errors import Refused
from parlour.events import (
    SETTINGS,
    AnswerRejected,
    ComponentShown,
    Delta,
    Event,
    FeedbackGiven,
    MessageAdded,
    MessagesTaken,
    PartBegun,
    PartEnded,
    PartStreamed,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    RoundFinished,
    RoundStarted,
    SessionClosed,
    SessionOpened,
    TextStreamed,
    TitleSet,
    UnknownEvent,
    VariableSet,
    encode_chunk,
    encode_event,
)
from parlour.settings import Limits

VERSION = 1

_MAX_FRAMES = 256


Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A place in a log, or a round's number: what every store can hold."""


class Frame(Struct, frozen=True, kw_only=True, tag_field="t"):
    """Something a client sends."""


class HelloFrame(Frame, frozen=True, kw_only=True, tag="hello"):
    versions: list[int]
    resume: str = ""
    env: dict[str, str] = {}


class OpenFrame(Frame, frozen=True, kw_only=True, tag="open"):
    id: str
    profile: str = ""
    settings: Raw | UnsetType = UNSET


class AttachFrame(Frame, frozen=True, kw_only=True, tag="attach"):
    session: str
    after: Seq = 0


class DetachFrame(Frame, frozen=True, kw_only=True, tag="detach"):
    session: str


class SayFrame(Frame, frozen=True, kw_only=True, tag="say"):
    session: str
    id: str
    text: str = ""
    files: list[str] = []


class AnswerFrame(Frame, frozen=True, kw_only=True, tag="answer"):
    session: str
    id: str
    question: Seq = 0
    value: Raw | UnsetType = UNSET
    text: str = ""
    files: list[str] = []


class StopFrame(Frame, frozen=True, kw_only=True, tag="stop"):
    session: str
    id: str
    round: Seq = 0


class SignalFrame(Frame, frozen=True, kw_only=True, tag="signal"):
    session: str
    id: str
    name: str
    data: Raw = Raw(b"null")


class RateFrame(Frame, frozen=True, kw_only=True, tag="rate"):
    session: str
    id: str
    message: Seq
    rating: Literal["up", "down", ""] = ""
    reason: str = ""


class ConfigureFrame(Frame, frozen=True, kw_only=True, tag="configure"):
    session: str
    id: str
    settings: Raw


class CloseFrame(Frame, frozen=True, kw_only=True, tag="close"):
    session: str
    id: str


class KeysFrame(Frame, frozen=True, kw_only=True, tag="keys"):
    """Keys that the user brings; an empty one is forgotten."""

    env: dict[str, str]


class PingFrame(Frame, frozen=True, kw_only=True, tag="ping"):
    """Wants a `pong`."""


ClientFrame = (
    HelloFrame
    | OpenFrame
    | AttachFrame
    | DetachFrame
    | SayFrame
    | AnswerFrame
    | StopFrame
    | SignalFrame
    | RateFrame
    | ConfigureFrame
    | CloseFrame
    | KeysFrame
    | PingFrame
)

_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def decode_message(message: str) -> list[ClientFrame | Refused]:
    """The frames of one WebSocket message; a `Refused` stands where one was malformed."""
    lines = message.split("\n") if "\n" in message else (message,)
    if len(lines) > _MAX_FRAMES:
        return [Refused("invalid", f"A message holds at most {_MAX_FRAMES} frames.")]
    return [_decode(line) for line in lines if line]


def _decode(line: str) -> ClientFrame | Refused:
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        return Refused("invalid", f"That is no frame: {str(error)[:200]}.")
    except RecursionError:
        return Refused("invalid", "That frame is nested too deeply.")
    except UnicodeEncodeError:
        return Refused("invalid", "That frame holds text that is no valid Unicode.")


# -- records --------------------------------------------------------------------------------


def _without_owner(event: SessionOpened) -> bytes:
    return encode_event(replace(event, user="", command="")).replace(b',"user":""', b"", 1)


def _as_given(event: FeedbackGiven) -> bytes:
    return encode_event(replace(event, answered=False))


def _as_set(event: VariableSet) -> bytes:
    """What the user has set is for the user, unlike the app's own variables."""
    return b'{"type":"SettingsChanged","values":' + bytes(event.value) + b"}"


def _without_detail(event: RoundFinished) -> bytes:
    return encode_event(replace(event, detail="", again=False))


PUBLIC: Mapping[type[Event], Callable[[Any], bytes]] = {
    SessionOpened: _without_owner,
    MessageAdded: encode_event,
    ComponentShown: encode_event,
    FeedbackGiven: _as_given,
    RoundStarted: encode_event,
    RoundFinished: _without_detail,
    QuestionAsked: encode_event,
    QuestionAnswered: encode_event,
    AnswerRejected: encode_event,
    QuestionClosed: encode_event,
    MessagesTaken: encode_event,
    PartBegun: encode_event,
    PartEnded: encode_event,
    SessionClosed: encode_event,
    TitleSet: encode_event,
}
"""What users are shown, and how; of every other event they learn that it has a place."""

_AS_IS = frozenset({RoundFinished, *(kind for kind in PUBLIC if PUBLIC[kind] is encode_event)})
"""These are sent as the log has them, except for a round's end that tells the operator more."""
_DETAILS = b'"detail":', b'"again":'


def encode_records(
    session: str, first: int, at: float, events: Sequence[Event | UnknownEvent], data: bytes
) -> str:
    """The `records` frame for consecutive records from seq `first`; `data` is their log's array."""
    # Somebody may have said a word like that of a detail: he is answered as well, if slower.
    if not _AS_IS.issuperset(map(type, events)) or _DETAILS[0] in data or _DETAILS[1] in data:
        data = encode_chunk(map(shown, events))
    return _records(session, first, at, data)


def _records(session: str, first: int, at: float, data: bytes) -> str:
    frame = (
        f'{{"t":"records","session":"{session}","after":{first - 1},"at":{at:.3f},'
        f'"records":{data.decode()}}}'
    )
    # A form's schema goes out as its author wrote it: a line break in it would end the frame.
    return frame.replace("\n", " ") if "\n" in frame else frame


def encode_shown(
    session: str, first: int, at: float, events: Sequence[Event | UnknownEvent]
) -> str:
    """The same for events whose place in the log's own bytes is not known."""
    data = encode_chunk(map(shown, events))
    return _records(session, first, at, data)


def shown(event: Event | UnknownEvent) -> bytes:
    """An event as users see it; JSON null if it is not for them."""
    if type(event) is VariableSet and event.name == SETTINGS:
        return _as_set(event)
    encode = PUBLIC.get(type(event))  # type: ignore[arg-type]
    return b"null" if encode is None else encode(event)


class _Delta(Struct, tag_field="t", tag="delta"):
    session: str
    round: int
    path: str
    offset: int
    text: str


class _Part(Struct, tag_field="t", tag="part"):
    session: str
    round: int
    path: str
    offset: int
    text: str


class _Progress(Struct, tag_field="t", tag="progress", omit_defaults=True):
    session: str
    round: int
    path: str = ""
    done: float = -1.0
    total: float | None = None
    text: str = ""


class _Ack(Struct, tag_field="t", tag="ack", omit_defaults=True):
    session: str
    id: str
    seq: int
    repeated: bool = False


class _Refused(Struct, tag_field="t", tag="refused", omit_defaults=True):
    code: str
    message: str
    session: str = ""
    id: str = ""
    retry_after: float | None = None


class _Hello(Struct, tag_field="t", tag="hello", omit_defaults=True):
    version: int
    user: str
    limits: dict[str, int]
    resume: str = ""


_encoder = msgspec.json.Encoder()


def encode_delta(session: str, delta: Delta) -> str:
    """The frame of something that passes by."""
    frame: _Delta | _Part | _Progress
    match delta:
        case TextStreamed():
            frame = _Delta(session, delta.round, delta.path, delta.offset, delta.text)
        case PartStreamed():
            frame = _Part(session, delta.round, delta.path, delta.offset, delta.text)
        case _:
            frame = _Progress(session, delta.round, delta.path, delta.done, delta.total, delta.text)
    return _encoder.encode(frame).decode()


def encode_ack(session: str, command: str, seq: int, *, repeated: bool = False) -> str:
    return _encoder.encode(_Ack(session, command, seq, repeated)).decode()


def encode_refusal(refusal: Refused, session: str = "", command: str = "") -> str:
    frame = _Refused(refusal.code, refusal.message, session, command, refusal.retry_after)
    return _encoder.encode(frame).decode()


def encode_hello(user: str, limits: Limits, resume: str) -> str:
    shown = {
        "message_bytes": limits.message_bytes,
        "upload_bytes": limits.upload_bytes,
        "files_per_message": limits.files_per_message,
    }
    return _encoder.encode(_Hello(VERSION, user, shown, resume)).decode()


def encode_live(session: str, seq: int) -> str:
    return f'{{"t":"live","session":"{session}","upto":{seq}}}'


def encode_keys(names: Iterable[str]) -> str:
    return _encoder.encode({"t": "keys", "names": sorted(names)}).decode()


PONG = '{"t":"pong"}'
