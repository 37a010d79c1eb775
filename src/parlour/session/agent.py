"""The style-neutral contract: what a round is to an agent, and what an agent owes a session."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from msgspec import Raw, Struct

from parlour.events import Cause, FileRef, Rating, Role

if TYPE_CHECKING:
    from parlour.session.handle import Session


class File(Struct, frozen=True, kw_only=True):
    """A file of the session. `path` is where its bytes are; `name` is what its sender called it.

    `type` is the media type as the sender claims it, `size` in bytes. To give the user one, make
    it from a `path` or from `content` and a `name`: `attachments=[File(path="report.pdf")]`; it has
    an `id` once it is the session's.
    """

    id: str = ""
    name: str = ""
    type: str = ""
    size: int = 0
    path: Path = Path()
    content: bytes | str = b""
    ref: FileRef | None = None
    """What the log says of it."""

    def read_bytes(self) -> bytes:
        return self.path.read_bytes()


class Message(Struct, frozen=True, kw_only=True):
    """Something that was said. `seq` is its place in the log, `at` when, in Unix seconds."""

    text: str
    role: Role = "user"
    files: tuple[File, ...] = ()
    seq: int = 0
    at: float = 0.0


class SignalMessage(Struct, frozen=True, kw_only=True):
    """A named event from the page or the application, with its JSON data."""

    name: str
    data: Any = None


class Reminder(Struct, frozen=True, kw_only=True):
    """What a session was to be reminded of, by `session.remind`, with its JSON data."""

    name: str
    data: Any = None


class WorkResult(Struct, frozen=True, kw_only=True):
    """How something ended that the agent did beside the rounds; `number` names it.

    `error` is the type of what it raised, and `reason` what that said; both are "" if it has a
    `value`.
    """

    number: int
    name: str
    value: Any = None
    error: str = ""
    reason: str = ""


class Feedback(Struct, frozen=True, kw_only=True):
    """What the user thinks of the message at seq `message`; "" takes an earlier rating back."""

    message: int
    rating: Rating = ""
    reason: str = ""


class Round(Struct, frozen=True, kw_only=True):
    """What an agent is to answer: a message, a signal, or the session's opening, stop or close.

    Or a rating, a reminder that has come, work that is done, variables that were set from outside.
    """

    number: int
    cause: Cause
    message: Message | None = None
    signal: SignalMessage | None = None
    reminder: Reminder | None = None
    work: WorkResult | None = None
    feedback: Feedback | None = None


class Agent(Protocol):
    """A style of answering.

    `causes` says what it answers; the engine starts rounds for nothing else. One agent serves all
    sessions at once and keeps nothing of any of them in itself.
    """

    @property
    def causes(self) -> frozenset[Cause]: ...

    def respond(self, session: Session, round: Round, /) -> Awaitable[None]:  # noqa: A002
        """Answer one round; when it returns the round is done, when it raises it has failed.

        After a crash it is called again for the same round, and its effects through `session`
        return what is recorded. It may be cancelled at any await.
        """
        ...


@runtime_checkable
class Worker(Protocol):
    """An agent that also does things beside the rounds: what `Effects.start_work` names."""

    async def work(self, name: str, data: Raw, /) -> object:
        """Do it, and return what is storable.

        It has no session. It is cancelled when nobody needs it any more, and called again if the
        process dies meanwhile.
        """
        ...


@runtime_checkable
class Checked(Protocol):
    """An agent that finds its author's mistakes before it runs."""

    def check(self) -> None:
        """Raise a `ParlourError` that names them all; called when the App is made."""
        ...
