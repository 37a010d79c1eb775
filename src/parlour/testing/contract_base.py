"""What the store contract's tests are made of: a well-behaved owner, and how a test is run.

See `parlour.testing.store_contract`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from unittest import SkipTest

from parlour.events import encode_chunk
from parlour.stores.store import (
    Append,
    Appended,
    Chunk,
    Claim,
    Entry,
    Outcome,
    Snapshot,
    Store,
    UserValue,
)

C = TypeVar("C", bound="ContractBase")

NOW = 1_700_000_000.0


def scenario(
    *promises: str,
) -> Callable[[Callable[[C, Store], Coroutine[Any, Any, None]]], Callable[[C], None]]:
    """Make an async test that is given an open store an ordinary one."""

    def decorate(steps: Callable[[C, Store], Coroutine[Any, Any, None]]) -> Callable[[C], None]:
        def test(self: C) -> None:
            self.run(lambda store: steps(self, store))

        # Not functools.wraps: pytest would look for a fixture called "store".
        test.__name__ = steps.__name__
        test.__qualname__ = steps.__qualname__
        test.__doc__ = steps.__doc__
        test.__dict__["promises"] = promises
        return test

    return decorate


def record(text: str) -> bytes:
    """Some JSON that a store may be asked to keep."""
    return b'{"text":"%s"}' % text.encode()


class Owner:
    """A well-behaved owner of a session: knows its epoch and its head."""

    def __init__(self, store: Store, session: str, claim: Claim) -> None:
        self.store = store
        self.session = session
        self.epoch = claim.epoch
        self.head = claim.head

    def next(
        self,
        *entries: Entry,
        at: float = NOW,
        snapshot: Snapshot | None = None,
        user_values: tuple[UserValue, ...] = (),
        due: float | None = None,
        title: str | None = None,
        closed: bool = False,
    ) -> Append:
        return Append(
            session=self.session,
            epoch=self.epoch,
            after=self.head,
            at=at,
            entries=entries,
            snapshot=snapshot,
            user_values=user_values,
            due=due,
            title=title,
            closed=closed,
        )

    async def append(self, append: Append) -> Outcome:
        (outcome,) = await self.store.append([append])
        if isinstance(outcome, Appended):
            self.head = outcome.last
        return outcome

    async def say(self, *texts: str, command: str = "", at: float = NOW) -> Outcome:
        return await self.append(self.next(entry(*texts, command=command), at=at))


def entry(*texts: str, command: str = "") -> Entry:
    """Records that stand or fall together."""
    return Entry(command, encode_chunk(record(text) for text in texts), len(texts))


def session_id(number: int) -> str:
    """An id as sessions have them."""
    return f"{number:032x}"


async def owner(store: Store, number: int = 1, *, user: str = "ann", at: float = NOW) -> Owner:
    """A new session and whoever made it."""
    session = session_id(number)
    claim = await store.create(session, user, at)
    assert claim is not None
    return Owner(store, session, claim)


async def log(store: Store, session: str, *, page: int = 1000) -> list[Chunk]:
    """All of a session's chunks, checked to be dense."""
    chunks: list[Chunk] = []
    seq = 0
    while found := await store.read(session, seq, page):
        for chunk in found:
            assert chunk.first == seq + 1, "records are numbered without a gap"
            seq = chunk.first + chunk.count - 1
            chunks.append(chunk)
    return chunks


class ContractBase:
    """The hooks of a contract, and how its tests are run."""

    seconds = 60.0
    """How long one test may take."""

    async def make_store(self) -> Store:
        """A new and empty store, not opened."""
        raise NotImplementedError

    async def reopen(self, store: Store) -> Store:
        """The same data in another store, not opened, after `store` was closed or has crashed."""
        raise SkipTest(f"{type(store).__name__} keeps nothing when it is closed")

    def run(self, scenario: Callable[[Store], Awaitable[None]]) -> None:
        """Run a test with an open store, which is closed afterwards."""

        async def bounded() -> None:
            async with asyncio.timeout(self.seconds):
                store = await self.make_store()
                await store.open()
                try:
                    await scenario(store)
                finally:
                    await store.close()

        asyncio.run(bounded())

    async def open_again(self, store: Store) -> Store:
        """A store with the same data, open; the caller closes it."""
        again = await self.reopen(store)
        await again.open()
        return again
