"""What a store does besides for many workers: leases, adoption, and commands that come elsewhere.

The lease is the worker's, one heartbeat by the store's clock; the session is fenced by its epoch.
A worker that is not heard of for as long as its lease is dead, and its sessions are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from parlour.stores.store import Claim, Posted, Store


class Elsewhere(Struct, frozen=True):
    """A session was not claimed: this living worker owns it."""

    worker: str


class Beat(Struct, frozen=True):
    """A heartbeat was kept at `now` by the store's clock, in Unix seconds.

    It came `silent` seconds after the one before; None: there was none.
    """

    now: float
    silent: float | None


class Worker(Struct, frozen=True, kw_only=True):
    """A worker as its heart told it last, `silent` seconds ago; `sessions` are those it owns."""

    id: str
    silent: float
    lease: float
    started: float
    sessions: int
    about: dict[str, object]

    @property
    def alive(self) -> bool:
        return self.silent < self.lease


class Place(Struct, frozen=True):
    """How far a session's log goes, and the living worker that owns it, if one does."""

    head: int
    worker: str | None


class Verdict(Struct, frozen=True):
    """What became of a posted command: its record, or a refusal, or nothing (`waits`)."""

    seq: int | None = None
    refusal: bytes | None = None
    waits: bool = False


@runtime_checkable
class SharedStore(Store, Protocol):
    """A store that many workers use at once. Errors are those of `Store`."""

    async def beat(self, worker: str, lease: float, about: dict[str, object]) -> Beat:
        """Live for `lease` seconds more. What is claimed or made from now on is this worker's."""
        ...

    async def leave(self) -> None:
        """Have no worker any more: all its sessions are free at once."""
        ...

    async def workers(self) -> Sequence[Worker]:
        """All that are known, oldest first; the dead for an hour."""
        ...

    async def living(self) -> Sequence[str]:
        """The ids of those that live."""
        ...

    async def take(self, session: str) -> Claim | Elsewhere | None:
        """Claim a session unless another living worker owns it; None if there is no such."""
        ...

    async def adopt(self, limit: int) -> Sequence[tuple[str, Claim]]:
        """Claim up to `limit` sessions nobody alive owns in which something is to be done now."""
        ...

    async def due_free(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        """As `due`, but only those that no other living worker owns."""
        ...

    async def places(self, sessions: Sequence[str]) -> dict[str, Place]:
        """Where sessions stand; those that do not exist are missing."""
        ...

    async def owned(self) -> dict[str, int]:
        """The sessions that this worker owns, and their epochs."""
        ...

    async def posted(self) -> Sequence[str]:
        """Those of this worker's sessions in which posted commands wait."""
        ...

    async def post_for(
        self, session: str, command: str, data: bytes
    ) -> tuple[Posted, str | None] | None:
        """As `post`; also who was to hear of it: the living worker that owns the session."""
        ...

    async def refuse(self, session: str, command: str, refusal: bytes) -> None:
        """Take a command out of the inbox, and keep for a minute why, for whoever posted it."""
        ...

    async def verdicts(self, commands: Sequence[tuple[str, str]]) -> Sequence[Verdict]:
        """What became of posted commands, each a session and an id."""
        ...

    async def tidy(self) -> None:
        """Forget old refusals and workers that are long dead."""
        ...
