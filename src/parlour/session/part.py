"""A part of a round's work that the user sees: its name, what goes in, what comes out, its time."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from parlour.errors import SessionOver, Unwinding
from parlour.events import PartBegun, PartEnded, PartStatus
from parlour.session.arguments import effect_name, plain_text, short_text
from parlour.session.effects import Effects, PartSink
from parlour.session.values import encode_value


class Part:
    """A part of the work that is shown: `async with session.part("Search", input=query) as part:`.

    What is done inside stands below it, other parts too. `write` shows what comes out as it comes;
    `output` is what it comes to. One that raises is shown as failed; why is told only by `fail`. In
    a replay of a part whose end is recorded, `recorded` is True and what is written is swallowed.
    """

    def __init__(self, effects: Effects, begun: PartBegun, *, cost: bool) -> None:
        self._effects = effects
        self._begun = begun
        self._cost = cost
        self._sink: PartSink | None = None
        self._output = ""
        self._status: PartStatus = "done"

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "" if self._sink is None else self._sink.text

    @property
    def recorded(self) -> bool:
        return self._sink is not None and self._sink.recorded

    @property
    def output(self) -> str:
        """What it comes to, in Markdown; if nothing is set, what was written."""
        return self._output or self.text

    @output.setter
    def output(self, value: object) -> None:
        self._output = shown_text("the output of a part", value)

    def write(self, text: str) -> None:
        """Show more of what comes out, in Markdown."""
        if self._sink is None:
            raise SessionOver("write inside `async with session.part(...) as part:`")
        self._sink.write(text)

    def fail(self, reason: object = "") -> None:
        """It did not work; `reason` is shown to the user."""
        self._status = "failed"
        if reason:
            self.output = reason

    def _enter(self) -> None:
        self._sink = self._effects.begin_part(self._begun)

    def _leave(self, error: BaseException | None) -> None:
        if self._sink is None:
            return
        status = self._status
        if error is not None:
            status = "stopped" if isinstance(error, asyncio.CancelledError) else "failed"
        over = isinstance(error, Unwinding)
        ended = None if over else PartEnded(path="", status=status, output=self._output)
        self._effects.end_part(self._sink, ended, cost=self._cost)

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(error)


class BlockingPart(Part):
    """The same for a plain handler: `with session.part("Search") as part:`."""

    def write(self, text: str) -> None:
        self._effects.from_thread(lambda: Part.write(self, text))

    def __enter__(self) -> Self:
        self._effects.from_thread(self._enter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Unwinding):
            self._effects.from_thread(lambda: self._leave(error))


def begun_part(name: object, kind: object, given: object) -> PartBegun:
    """What is shown of a part from its beginning. Raises `ValueError` for a name that is none."""
    words = effect_name(name)
    if not words.strip():
        raise ValueError("a part of the work needs a name that says what it does")
    return PartBegun(
        path="",
        name=words,
        kind=short_text("the kind of a part", kind),
        input=shown_text("the input of a part", given),
    )


def shown_text(what: str, value: object) -> str:
    """Text as it is, in Markdown; anything else as JSON in a block of code."""
    if value is None:
        return ""
    if isinstance(value, str):
        return plain_text(what, value)
    data: Any = json.loads(bytes(encode_value(value)[0]))
    return f"```json\n{json.dumps(data, indent=2, ensure_ascii=False)}\n```"
