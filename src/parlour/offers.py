"""What an app offers before anything is said: profiles, starters, and the keys it asks for."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from msgspec import Struct

from parlour.agents.handlers import Handler, Handlers
from parlour.events import Cause
from parlour.session import Agent

log = logging.getLogger("parlour.app")

F = TypeVar("F", bound=Callable[..., Any])
MOST_STARTERS = 12
_STARTER_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Visitor(Struct, frozen=True, kw_only=True):
    """Who looks at the start of a conversation.

    `id` is the user's, "" for one nobody knows yet; `languages` are those of the browser, the
    wanted one first; `profile` is the name of the one that is chosen.
    """

    id: str = ""
    languages: tuple[str, ...] = ()
    profile: str = ""


class Starter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something to begin with: a button that says `message`, by default its own label."""

    label: str
    message: str = ""
    description: str = ""


class UserKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something secret that each user brings: the key of an account elsewhere.

    `name` is what handlers read it by, `label` and `help` (Markdown) are what the user sees.
    """

    name: str
    label: str = ""
    help: str = ""
    required: bool = True


class Handling:
    """Hooks: functions that answer what can happen in a session."""

    def __init__(self, agent: Agent | None = None) -> None:
        self._handlers = Handlers()
        self._own: Agent = self._handlers if agent is None else agent

    def on_open(self, handler: F) -> F:
        """`handler(session)` runs when a session begins."""
        return self._handle("open", handler)

    def on_message(self, handler: F) -> F:
        """`handler(session, message)` answers what the user says."""
        return self._handle("message", handler)

    def on_signal(self, handler: F) -> F:
        """`handler(session, signal)` answers a named event from the page or the application."""
        return self._handle("signal", handler)

    def on_feedback(self, handler: F) -> F:
        """`handler(session, feedback)` learns what the user thinks of a message."""
        return self._handle("feedback", handler)

    def on_reminder(self, handler: F) -> F:
        """`handler(session, reminder)` runs when the time of a `session.remind` has come."""
        return self._handle("reminder", handler)

    def on_stop(self, handler: F) -> F:
        """`handler(session)` runs after the user has stopped a round."""
        return self._handle("stop", handler)

    def on_close(self, handler: F) -> F:
        """`handler(session)` runs when the session is closed, before it is."""
        return self._handle("close", handler)

    def _handle(self, cause: Cause, handler: F) -> F:
        if self._own is not self._handlers:
            raise ValueError(
                f"this app answers by {type(self._own).__name__}, so on_{cause} would never run; "
                f"put it there, or make the App without an agent"
            )
        self._handlers.add(cause, handler)
        return handler


class Profile(Handling):
    """One of an app's agents: what the user chooses when a conversation begins.

    It has the hooks of an app, or an agent of its own; what it does not answer, the app does.
    """

    def __init__(
        self, name: str, agent: Agent | None, *, label: str, description: str, starters: Any
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name a profile; give 1 to 64 letters, digits, _ . or -, and what "
                "users see as its label"
            )
        super().__init__(agent)
        self.name = name
        self.label = label or name
        self.description = description
        self._starters = starters

    @property
    def agent(self) -> Agent:
        """What answers in its sessions."""
        return self._own

    def starters(self, source: F) -> F:
        """`source(visitor)` or `source()` gives what to begin with; see `App.starters`."""
        self._starters = source
        return source

    async def starters_for(self, visitor: Visitor) -> list[Starter]:
        """What this visitor may begin with; nothing if that cannot be found out."""
        return await starters_of(self._starters, visitor)


async def starters_of(source: Any, visitor: Visitor) -> list[Starter]:
    """The starters that a list or a function gives; a function that fails gives none."""
    try:
        found: Any = source
        if callable(source):
            async with asyncio.timeout(_STARTER_SECONDS):
                found = await _call(cast("Handler", source), visitor)
        return [_starter(one) for one in cast("Iterable[object]", found or ())][:MOST_STARTERS]
    except Exception:
        log.exception("the starters could not be made; the conversation begins without")
        return []


async def _call(source: Handler, visitor: Visitor) -> Any:
    arguments = (visitor,) if inspect.signature(source).parameters else ()
    if inspect.iscoroutinefunction(source):
        return await source(*arguments)
    return await asyncio.to_thread(source, *arguments)


def _starter(one: object) -> Starter:
    if isinstance(one, Starter):
        return one
    if isinstance(one, str) and one.strip():
        return Starter(label=one)
    raise TypeError(f"a starter is a text or a parlour.Starter, not {type(one).__name__}")


def user_keys(keys: Iterable[UserKey | str]) -> tuple[UserKey, ...]:
    """The keys an app asks for. Raises `TypeError` and `ValueError`."""
    found: list[UserKey] = []
    for key in keys:
        one = UserKey(name=key) if isinstance(key, str) else key
        if not isinstance(one, UserKey):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"user_env holds names and parlour.UserKey, not {type(one).__name__}")
        if not _NAME.fullmatch(one.name):
            raise ValueError(f"{one.name!r} cannot name a key; write it like OPENAI_API_KEY")
        found.append(one)
    return tuple(found)
