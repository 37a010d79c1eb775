"""A message that is written bit by bit, as a handler sees it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from parlour.errors import SessionOver
from parlour.session.arguments import effect_name
from parlour.session.attachments import Enclosed, sorted_out
from parlour.session.effects import Effects, StreamSink


class Stream:
    """A message that is written bit by bit: shown live, recorded once, when it is complete.

    Used as `async with session.stream() as out: out.write(token)`. In a replay of a message that
    is recorded already, `recorded` is True and what is written is swallowed.
    """

    def __init__(self, effects: Effects, name: str) -> None:
        self._effects = effects
        self._name = effect_name(name)
        self._sink: StreamSink | None = None

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "" if self._sink is None else self._sink.text

    @property
    def recorded(self) -> bool:
        return self._sink is not None and self._effects.streamed(self._sink)

    def write(self, text: str) -> None:
        """Add to the message; shown at once, stored at the end of the `async with`."""
        if self._sink is None:
            raise SessionOver("write inside `async with session.stream() as out:`")
        self._sink.write(text)

    def attach(self, *attachments: Enclosed) -> None:
        """Let the message bring these, like `attachments` of `Session.reply`, when it is complete.

        A message that is cut off comes without.
        """
        if self._sink is None:
            raise SessionOver("attach inside `async with session.stream() as out:`")
        files, actions = sorted_out(attachments)
        self._effects.enclose_in(self._sink, files, actions)

    async def __aenter__(self) -> Self:
        self._sink = await self._effects.begin_stream(self._name)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cut = isinstance(error, asyncio.CancelledError)
        if self._sink is not None and (cut or error is None or isinstance(error, Exception)):
            await self._effects.finish_stream(self._sink, cut=cut)
