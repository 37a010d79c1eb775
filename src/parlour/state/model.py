"""What a session is: frozen data, folded from its log.

What a handler's replay may use of the running round is kept here too, because it is part of what
the log says.
"""

from __future__ import annotations

from enum import StrEnum
from typing import cast

from msgspec import Raw, Struct

from parlour.events import (
    AnyEvent,
    Cause,
    FileRef,
    MessageAdded,
    QuestionAnswered,
    QuestionAsked,
    QuestionClosed,
    Role,
    StepFinished,
    StepRaised,
    TimerFired,
    TitleSet,
    VariableDeleted,
    VariableSet,
)
from parlour.settings import Incoming, Limits


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


class Said(Struct, frozen=True, omit_defaults=True, gc=False):
    """A message in the history. `at` is in Unix seconds."""

    seq: int
    role: Role
    text: str
    files: tuple[FileRef, ...] = ()
    at: float = 0.0


class Pending(Struct, frozen=True, omit_defaults=True, gc=False):
    """A message or signal that waits for its round."""

    cause: Cause
    said: Said
    name: str = ""
    data: Raw = Raw(b"null")


EffectOutcome = QuestionAnswered | QuestionClosed | TimerFired | StepFinished | StepRaised


class Effect(Struct, frozen=True, gc=False):
    """What a handler did at a path: the event that records it and, where it waits, its outcome.

    `settled` is the outcome's seq; `at` and `settled_at` are when the two were recorded.
    """

    seq: int
    event: AnyEvent
    outcome: EffectOutcome | None = None
    at: float = 0.0
    settled: int = 0
    settled_at: float = 0.0


class Outside(Struct, frozen=True, gc=False):
    """What somebody else did to the session while a round ran: the user, or the application."""

    seq: int
    event: VariableSet | VariableDeleted | MessageAdded | TitleSet
    at: float = 0.0


class Link(Struct, frozen=True, gc=False):
    """The newest messages, each with those before it, so that adding one touches no other."""

    said: Said
    before: Link | None = None


class Heard(Struct, frozen=True, gc=False):
    """The newest messages: whole blocks of them, and the newest `length`, `size` characters long.

    Each block stands beside the number of its characters.
    """

    blocks: tuple[tuple[int, tuple[Said, ...]], ...] = ()
    newest: Link | None = None
    length: int = 0
    size: int = 0

    @property
    def messages(self) -> tuple[Said, ...]:
        """Oldest first; a few more than the window's, at the most."""
        older = [said for _, block in self.blocks for said in block]
        return (*older, *self.tail)

    @property
    def tail(self) -> tuple[Said, ...]:
        """Those that are in no block yet, oldest first."""
        found: list[Said] = []
        link = self.newest
        while link is not None:
            found.append(link.said)
            link = link.before
        return tuple(reversed(found))


class Name(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a session is called: `title` if somebody gave it one, else the user's first `words`.

    `spoken`: they are of a message; those of an answer make room for a message that comes later.
    """

    title: str = ""
    words: str = ""
    spoken: bool = False

    @property
    def text(self) -> str:
        return self.title or self.words


class View(Struct, frozen=True, gc=False):
    """What a handler can read without being recorded: it must read the same in a replay."""

    variables: dict[str, Stored]
    heard: Heard
    files: tuple[FileRef, ...]
    name: Name = Name()

    @property
    def history(self) -> tuple[Said, ...]:
        return self.heard.messages


class Reminder(Struct, frozen=True, gc=False):
    """When a round is to begin, in Unix seconds, and what with."""

    due: float
    data: Raw = Raw(b"null")


class Work(Struct, frozen=True, gc=False):
    """Something that is done beside the rounds, and what with."""

    name: str
    data: Raw = Raw(b"null")


class RoundState(Struct, frozen=True, kw_only=True, gc=False):
    """The running round.

    `base` is what its handler could read when it began, `outside` what others changed since, in
    order; `questions` are the open ones by their seq, `timers` those not yet fired by their path;
    `taken` are the messages that it took up besides its source; `resumptions` counts the times it
    was taken up since it last got any further.
    """

    number: int
    cause: Cause
    source: Pending | None
    started: int
    base: View
    journal: dict[str, Effect] = {}
    questions: dict[int, str] = {}
    timers: dict[str, float] = {}
    outside: tuple[Outside, ...] = ()
    taken: tuple[Pending, ...] = ()
    resumptions: int = 0
    place: Raw = Raw(b"null")
    at: float = 0.0


class Window(Struct, frozen=True, gc=False):
    """How much of the past a state keeps at hand; set by whoever folds, not by the log."""

    messages: int = 100
    bytes: int = 128 * 1024
    commands: int = 256


class Recent(Struct, frozen=True, gc=False):
    """The newest commands' ids with the seq of their first record.

    In three generations, so that adding one copies only a few.
    """

    new: dict[str, int] = {}
    young: dict[str, int] = {}
    old: dict[str, int] = {}

    def seq(self, command: str) -> int | None:
        """Where the command is in the log; None if it is not remembered."""
        # No record has the number 0.
        return self.new.get(command) or self.young.get(command) or self.old.get(command)


class State(Struct, frozen=True, kw_only=True, gc=False):
    """A session as its log tells it.

    `queue` holds what waits for a round, `used` is the size of the variables in bytes. `place` is
    what the agent remembers between rounds, `reminders` stand by their names and what is done
    beside the rounds by the seq of its start.
    """

    window: Window = Window()
    seq: int = 0
    user: str = ""
    profile: str = ""
    phase: Phase = Phase.NEW
    variables: dict[str, Stored] = {}
    used: int = 0
    files: tuple[FileRef, ...] = ()
    heard: Heard = Heard()
    name: Name = Name()
    rounds: int = 0
    round: RoundState | None = None
    queue: tuple[Pending, ...] = ()
    recent: Recent = Recent()
    place: Raw = Raw(b"null")
    reminders: dict[str, Reminder] = {}
    work: dict[int, Work] = {}

    @property
    def view(self) -> View:
        """What a handler may read now."""
        return View(self.variables, self.heard, self.files, self.name)

    @property
    def due(self) -> float | None:
        """When something happens without anybody asking: a deadline, a timer or a reminder."""
        running = self.round
        if running is None or not (running.questions or running.timers):
            if not self.reminders:
                return None
            return min([reminder.due for reminder in self.reminders.values()])
        times = [*running.timers.values(), *[it.due for it in self.reminders.values()]]
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
