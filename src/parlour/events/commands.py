"""Commands: what a client or the application asks of a session, each with its sender's id."""

from __future__ import annotations

from msgspec import Raw, Struct

from parlour.events.facts import CloseReason, FileRef, Rating


class Say(Struct, frozen=True, kw_only=True, gc=False):
    """The user says something. `id` is the client's own, the same at every repetition."""

    id: str
    text: str = ""
    files: tuple[FileRef, ...] = ()


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """The user answers `question` (0: the oldest open one) by a JSON value or in words."""

    id: str
    question: int = 0
    value: Raw | None = None
    text: str = ""
    files: tuple[FileRef, ...] = ()


class Stop(Struct, frozen=True, kw_only=True, gc=False):
    """The user wants the running round to end; `round` guards against stopping the next one."""

    id: str
    round: int = 0


class Signal(Struct, frozen=True, kw_only=True, gc=False):
    """The page or the application sends a named event."""

    id: str
    name: str
    data: Raw = Raw(b"null")


class Rate(Struct, frozen=True, kw_only=True, gc=False):
    """The user rates the bot's message at seq `message`; a later rating replaces it."""

    id: str
    message: int
    rating: Rating = ""
    reason: str = ""


class Assign(Struct, frozen=True, kw_only=True, gc=False):
    """The application sets (or, with `value` None, deletes) a variable from outside."""

    id: str
    name: str
    value: Raw | None
    kind: str = ""


class Rename(Struct, frozen=True, kw_only=True, gc=False):
    """The session is to be called `title`; "": as its first words say. A closed one may be too."""

    id: str
    title: str


class Close(Struct, frozen=True, kw_only=True, gc=False):
    """The session is to end."""

    id: str
    reason: CloseReason = "closed"


Command = Say | Answer | Stop | Signal | Rate | Assign | Rename | Close
