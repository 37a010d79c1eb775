"""The pipe of the dialects that know requests and replies: as server-sent events, or whole.

What is said is the dialect's business: this only takes the records and deltas of a session to it
and brings away what it makes of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from starlette.requests import Request

from parlour.engine import Commit, Engine
from parlour.errors import Refused, StoreError
from parlour.events import AnyEvent, Delta, UnknownEvent
from parlour.transports.http import EventStream


class Dialect(Protocol):
    """Makes server-sent events of one reply's records and deltas, fed in order from its first."""

    @property
    def over(self) -> bool:
        """Whether the reply is complete; what comes then is not its."""
        ...

    def begin(self) -> str: ...

    def record(self, seq: int, at: float, event: AnyEvent | UnknownEvent) -> str: ...

    def settle(self) -> str:
        """What is left to say when all records of a commit have been told."""
        ...

    def delta(self, delta: Delta) -> str: ...

    def broken(self, refusal: Refused) -> str:
        """The end where nothing more will be told, and why."""
        ...


class ReplyStream(EventStream):
    """A reply as it is written. `when_told` is called when the whole of it has come.

    With `numbered` each event has its place in the log as its SSE id.
    """

    beat = ": still here\n\n"

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        *,
        numbered: bool = False,
        when_told: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(engine, None)
        self.hello = dialect.begin() or ": here\n\n"
        self._dialect = dialect
        self._numbered = numbered
        self._when_told = when_told

    def commit(self, commit: Commit) -> None:
        dialect = self._dialect
        if dialect.over:
            return
        for seq, event in enumerate(commit.events, commit.first):
            told = dialect.record(seq, commit.at, event)  # type: ignore[arg-type]
            if told:
                self.put(f"id: {seq}\n{told}" if self._numbered else told)
        if told := dialect.settle():
            self.put(told)
        if dialect.over:
            if self._when_told is not None:
                self._when_told()
            self.end()

    def delta(self, session: str, delta: Delta) -> None:
        del session
        if told := self._dialect.delta(delta):
            self.put(told)

    def live(self, session: str, seq: int) -> None:
        """Nothing to tell: a reply knows no seam."""

    def ended(self, session: str, refusal: Refused) -> None:
        del session
        if not self._dialect.over:
            self.put(self._dialect.broken(refusal))
        self.end()


class Collector:
    """Waits for the whole of a reply (an engine `Listener`)."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._failure: Refused | None = None
        self._told = asyncio.Event()

    def commit(self, commit: Commit) -> None:
        for seq, event in enumerate(commit.events, commit.first):
            if not self._dialect.over:
                self._dialect.record(seq, commit.at, event)  # type: ignore[arg-type]
        if self._dialect.over:
            self._told.set()

    def delta(self, session: str, delta: Delta) -> None:
        """A message that is complete says all that was streamed of it."""

    def live(self, session: str, seq: int) -> None:
        """Nothing to tell: a reply knows no seam."""

    def ended(self, session: str, refusal: Refused) -> None:
        del session
        self._failure = refusal
        self._told.set()

    async def wait(self, engine: Engine, session: str, after: int) -> None:
        """Feed the dialect until the reply is over. Raises `Refused`."""
        subscription = engine.subscribe(session, after, self)
        try:
            await subscription.catch_up()
            await self._told.wait()
        except StoreError:
            raise Refused("unavailable", "The session could not be read; try again.", 1.0) from None
        finally:
            engine.unsubscribe(subscription)
        if self._failure is not None and not self._dialect.over:
            raise self._failure


async def collect(
    request: Request, engine: Engine, dialect: Dialect, place: tuple[str, int]
) -> bool:
    """Wait for the whole of the reply at `place`; False if the client has gone. Raises `Refused`.

    The round goes on, whoever waits for it.
    """
    session, seq = place
    waiting = asyncio.create_task(Collector(dialect).wait(engine, session, seq - 1))
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            return False
        await waiting
        return True
    finally:
        for task in (waiting, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Refused):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
