"""Calling what the author wrote: the session, and if it asks for them, the event and parameters."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

_HERE = str(Path(__file__).parent) + os.sep
_MOST = 3

Function = Callable[..., Any]


class Call(Struct, frozen=True):
    """A function of the author's, and what it wants: `(session, event, parameters, *, name…)`.

    `keywords` are the parameters it takes by their names.
    """

    function: Function
    wants: int
    keywords: tuple[str, ...]
    is_async: bool
    line: str

    @property
    def name(self) -> str:
        return name_of(self.function)

    def bind(
        self, session: object, event: object, parameters: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call."""
        positional = (session, event, dict(parameters))[: self.wants]
        named = {name: parameters[name] for name in self.keywords if name in parameters}
        return positional, named


def call_of(function: object, what: str) -> Call:
    """How to call `function`. Raises `TypeError` for what cannot be called so."""
    if not callable(function):
        raise TypeError(f"{what} is a function, not {type(function).__qualname__}")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{what} is a function that replies, and {name_of(function)} yields; stream what a "
            "generator gives by `await session.stream_from(...)`"
        )
    wants, keywords = _wanted(function, what)
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an object may be a body
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
    return Call(function, wants, keywords, is_async, declared())


def _wanted(function: Function, what: str) -> tuple[int, tuple[str, ...]]:
    positional, required, keywords = 0, 0, list[str]()
    for parameter in inspect.signature(function).parameters.values():
        match parameter.kind:
            case parameter.VAR_POSITIONAL:
                positional = _MOST
            case parameter.KEYWORD_ONLY:
                keywords.append(parameter.name)
            case parameter.VAR_KEYWORD:
                pass
            case _:
                positional += 1
                required += parameter.default is parameter.empty
    if not positional or required > _MOST:
        raise TypeError(
            f"{what} is called with (session), (session, event) or (session, event, parameters), "
            f"and with parameters by name after a *; {name_of(function)} takes "
            f"{inspect.signature(function)}"
        )
    # Arguments with defaults are the author's own: `lambda session, limit=3: …`.
    return min(_MOST, max(1, required)), tuple(keywords)


def name_of(function: object) -> str:
    name = getattr(function, "__name__", None) or type(function).__qualname__
    return str(name)


def declared() -> str:
    """Where the author's code stands that is calling: `bot.py:12`."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    if frame is None:
        return "?"
    path = Path(frame.f_code.co_filename)
    return f"{path.name}:{frame.f_lineno}"
