"""What happens to a flow: as the engine brings it, as it is kept, and as the author sees it.

A `Happening` is plain data, so that a state can put it off and the log holds it until then. What
bodies and conditions get as `event` is made from it: one class for each kind, or the application's
own class.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from msgspec import Raw, Struct

from parlour.events import FileRef
from parlour.session import File, Round, Session
from parlour.session.base import file_of
from parlour.session.values import decode_value, encode_value

Kind = Literal["begin", "message", "signal", "timeout", "work", "change", "error", "return", "lost"]


class Happening(Struct, frozen=True, omit_defaults=True):
    """Something that a flow is to answer. `data` is JSON, `word` the Python type it had.

    `seq` and `at` (Unix seconds) are its place in the log and its time.
    """

    kind: Kind
    name: str = ""
    text: str = ""
    files: tuple[FileRef, ...] = ()
    data: Raw = Raw(b"null")
    word: str = ""
    error: str = ""
    reason: str = ""
    seq: int = 0
    at: float = 0.0

    @property
    def title(self) -> str:
        """What it is called where it is traced: never what a user has said."""
        return f"{self.kind} {self.name}" if self.name else self.kind


class FlowEvent(Struct, frozen=True, kw_only=True):
    """Base of the standard events that bodies and conditions get."""


class Began(FlowEvent, frozen=True, kw_only=True):
    """The conversation begins."""


class Said(FlowEvent, frozen=True, kw_only=True):
    """The user said something, with files perhaps."""

    text: str
    files: tuple[File, ...] = ()


class Signalled(FlowEvent, frozen=True, kw_only=True):
    """The application or its page sent a named event, for which there is no class."""

    name: str
    data: Any = None


class TimedOut(FlowEvent, frozen=True, kw_only=True):
    """The time of an `after` has come."""

    state: str


class Done(FlowEvent, frozen=True, kw_only=True):
    """What a state had invoked has a result."""

    name: str
    value: Any = None


class Failed(FlowEvent, frozen=True, kw_only=True):
    """What a state had invoked has failed; `error` is the type of what it raised."""

    name: str
    error: str
    reason: str


class Changed(FlowEvent, frozen=True, kw_only=True):
    """A variable was set from outside."""


class Raised(FlowEvent, frozen=True, kw_only=True):
    """A body raised; `error` is the type of the exception, `reason` what it said."""

    state: str
    error: str
    reason: str


class Returned(FlowEvent, frozen=True, kw_only=True):
    """A digression has ended."""

    flow: str


class Lost(FlowEvent, frozen=True, kw_only=True):
    """The session was in a state that the flow does not have any more."""

    state: str


STANDARD: dict[type[FlowEvent], tuple[Kind, str]] = {
    Began: ("begin", ""),
    Said: ("message", ""),
    Changed: ("change", ""),
    Lost: ("lost", ""),
    Returned: ("return", ""),
}
"""The standard events that a transition can name by their class."""


def happening_of(round_: Round, seq: int, at: float) -> Happening | None:
    """What a round is about; None if it is nothing but the session's opening."""
    match round_.cause:
        case "message" if round_.message is not None:
            message = round_.message
            files = tuple(
                FileRef(id=file.id, name=file.name, type=file.type, size=file.size)
                for file in message.files
            )
            return Happening(
                "message", text=message.text, files=files, seq=message.seq, at=message.at
            )
        case "signal" if round_.signal is not None:
            data, word = encode_value(round_.signal.data)
            return Happening("signal", round_.signal.name, data=data, word=word, seq=seq, at=at)
        case "reminder" if round_.reminder is not None:
            data, _ = encode_value(round_.reminder.data)
            return Happening("timeout", round_.reminder.name, data=data, seq=seq, at=at)
        case "work" if round_.work is not None:
            work = round_.work
            data, word = encode_value(work.value)
            return Happening(
                "work",
                work.name,
                data=data,
                word=word,
                error=work.error,
                reason=work.reason,
                seq=work.number,
                at=at,
            )
        case "change":
            return Happening("change", seq=seq, at=at)
        case _:
            return None


def event_of(happening: Happening, session: Session, kind: type[Any] | None, state: str) -> Any:
    """What the author sees; `kind` is the application's own class, if one is declared.

    Raises `NotStorable` where the data does not fit the class.
    """
    match happening.kind:
        case "begin":
            return Began()
        case "message":
            files = tuple(file_of(session.effects, ref) for ref in happening.files)
            return Said(text=happening.text, files=files)
        case "signal":
            if kind is not None:
                return decode_value(_object(happening.data), "", kind)
            data = decode_value(happening.data, happening.word)
            return Signalled(name=happening.name, data=data)
        case "timeout":
            return TimedOut(state=happening.name.rpartition(".")[0] or state)
        case "work" if happening.error:
            name = happening.name.rpartition(".")[2]
            return Failed(name=name, error=happening.error, reason=happening.reason)
        case "work":
            name = happening.name.rpartition(".")[2]
            return Done(name=name, value=decode_value(happening.data, happening.word))
        case "change":
            return Changed()
        case "error":
            return Raised(state=state, error=happening.error, reason=happening.reason)
        case "return":
            return Returned(flow=happening.name)
        case "lost":  # pragma: no branch - there is no other kind
            return Lost(state=happening.name)


def _object(data: Raw) -> Raw:
    """A signal without data is one whose class has only defaults."""
    return Raw(b"{}") if bytes(data) == b"null" else data


def signal_for(event: object, data: object) -> tuple[str, object]:
    """The name and data of a signal: by its name, or an event of the application's own class."""
    if isinstance(event, str):
        return event, data
    if isinstance(event, type):
        return event.__name__, data
    return type(event).__name__, event


def parameters_of(happening: Happening) -> dict[str, Any]:
    """The parameters that come with a signal: its data, if that is an object."""
    if happening.kind != "signal":
        return {}
    found: Any = msgspec.json.decode(happening.data)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
