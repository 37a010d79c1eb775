"""The seam between a conversation and what shows it: `Screen`, and `Prompt`, what it asks for.

A screen shows and reads; it knows no session, no engine and no question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from parlour.events import PartStatus

Line = str | tuple[int, ...]
"""What is read: the words that were typed, or the places of the choices that were picked."""


class PromptGone(Exception):
    """What the prompt asked for is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu."""

    label: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One line that is wanted from the user.

    `check` gives a complaint about a line, or ""; a screen asks again as long as there is one.
    `choices` may be picked instead of typed; those at the places `chosen` are picked at first.
    `above` are lines that a live screen keeps in view meanwhile. `deadline` is in Unix seconds. A
    `free` prompt is that of the conversation itself; what is typed there waits while a question
    interrupts.
    """

    label: str = ""
    hint: str = ""
    choices: tuple[Choice, ...] = ()
    many: bool = False
    chosen: tuple[int, ...] = ()
    above: tuple[str, ...] = ()
    check: Callable[[Line], str] | None = None
    paths: bool = False
    free: bool = False
    deadline: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What goes on, for a line that is always in view."""

    working: bool = False
    queued: int = 0
    doing: str = ""
    """The part of the work that goes on, and how far it is."""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file of the bot: its name, and what it is and where."""

    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPart:
    """A part of the bot's work, as deep within others as `depth` says."""

    name: str
    depth: int
    status: PartStatus
    about: str
    """How long it took, and what was used."""
    input: str
    output: str


class Reader(Protocol):
    """The part of a screen that questions need."""

    @property
    def live(self) -> bool:
        """Whether a person sits at a terminal: a line may be edited, and read at any time."""
        ...

    def problem(self, text: str) -> None:
        """Something that went wrong, or was not accepted."""
        ...

    async def read(self, prompt: Prompt) -> Line:
        """A line that passes the prompt's check, or picked choices that do.

        Raises `PromptGone` once `withdraw` is called, `EOFError` when the user leaves.
        """
        ...


class Screen(Reader, Protocol):
    """Shows a conversation and reads what is typed.

    All text comes from anywhere; a screen makes it harmless itself. Called on the event loop by
    one conversation. What is shown stays, except `stream` and `status`, which the next one
    replaces.
    """

    def bot(self, text: str, files: tuple[ShownFile, ...] = ()) -> None:
        """A message of the bot, in Markdown; ends what `stream` showed of it."""
        ...

    def stream(self, text: str) -> None:
        """All that there is so far of a message that is being written; "" where it broke off."""
        ...

    def user(self, text: str, files: tuple[str, ...] = (), note: str = "") -> None:
        """What the user said or answered."""
        ...

    def notice(self, text: str) -> None:
        """Something about the conversation that neither side said."""
        ...

    def part(self, part: ShownPart) -> None:
        """A part of the bot's work that is over."""
        ...

    def status(self, status: Status) -> None: ...

    def withdraw(self) -> None:
        """End the `read` that is under way, if any."""
        ...

    def leave(self) -> None:
        """End it, and every later one, as if the user had left."""
        ...


class NoScreen:
    """Shows nothing: for what is learnt from the log and was seen long ago."""

    live = False

    def bot(self, text: str, files: tuple[ShownFile, ...] = ()) -> None: ...

    def stream(self, text: str) -> None: ...

    def user(self, text: str, files: tuple[str, ...] = (), note: str = "") -> None: ...

    def notice(self, text: str) -> None: ...

    def problem(self, text: str) -> None: ...

    def part(self, part: ShownPart) -> None: ...

    def status(self, status: Status) -> None: ...

    async def read(self, prompt: Prompt) -> Line:
        del prompt
        raise EOFError

    def withdraw(self) -> None: ...

    def leave(self) -> None: ...
