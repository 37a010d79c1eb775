"""The plainest style: a function for each thing that can happen.

`Handlers` only chooses the function; it keeps nothing of any session. `async def` functions get
the `Session`, plain ones run in a worker thread and get a `BlockingSession`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from parlour.events import Cause
from parlour.session import Round, Session, run_blocking

Handler = Callable[..., Any]
_WITH_MORE = ("message", "signal", "reminder", "feedback")
"""Causes whose handlers get what it is about besides the session."""


class Handlers:
    """An agent made of functions, one for each cause, each set once."""

    def __init__(self) -> None:
        self._handlers: dict[Cause, Handler] = {}
        self._plain: set[Cause] = set()

    @property
    def causes(self) -> frozenset[Cause]:
        return frozenset(self._handlers)

    def add(self, cause: Cause, handler: Handler) -> None:
        """Answer `cause` by `handler`. Raises `ValueError` if that is taken or does not fit."""
        name = _name(handler)
        if cause in self._handlers:
            raise ValueError(
                f"on_{cause} is {_name(self._handlers[cause])} already; one function answers it, "
                "which may call others"
            )
        if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
            raise ValueError(
                f"on_{cause} wants a function that replies, and {name} yields; "
                "stream what a generator gives by `await session.stream_from(...)`"
            )
        wanted = 2 if cause in _WITH_MORE else 1
        try:
            inspect.signature(handler).bind(*range(wanted))
        except TypeError:
            about = "reminder" if cause == "reminder" else "message"
            what = f"(session, {about})" if wanted > 1 else "(session)"
            raise ValueError(
                f"on_{cause} calls its function with {what}; {name} takes "
                f"{inspect.signature(handler)}"
            ) from None
        self._handlers[cause] = handler
        if not _is_async(handler):
            self._plain.add(cause)

    def respond(self, session: Session, round: Round, /) -> Awaitable[None]:  # noqa: A002
        cause = round.cause
        handler = self._handlers.get(cause)
        if handler is None:
            # It was set by an older version of the app, which answered it.
            return _ignore()
        arguments: tuple[Any, ...] = ()
        if cause == "message":
            arguments = (round.message,)
        elif cause == "signal":
            arguments = (round.signal,)
        elif cause == "reminder":
            arguments = (round.reminder,)
        elif cause == "feedback":
            arguments = (round.feedback,)
        if cause in self._plain:
            return run_blocking(session, handler, *arguments)
        answer: Awaitable[None] = handler(session, *arguments)
        return answer


async def _ignore() -> None:
    pass


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", None) or type(handler).__qualname__


def _is_async(handler: Handler) -> bool:
    call = getattr(type(handler), "__call__", None)  # noqa: B004 - an object may be a handler
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
