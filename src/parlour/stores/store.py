"""What a store owes a session: the `Store` protocol and the plain data that crosses it.

A store keeps logs. It does not know what events mean: records are JSON bytes it numbers, commands
are ids it has seen or not. `parlour.testing.StoreContract` is this protocol's definition in tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Entry(Struct, frozen=True):
    """Records that stand or fall together; `command` is the client's id that caused them, or "".

    Without records it only takes `command` out of the inbox: it was refused and left no trace.
    """

    command: str
    records: tuple[bytes, ...]


class UserValue(Struct, frozen=True):
    """A variable of a user, set by a session: JSON and the Python kind it had (see `session`)."""

    name: str
    value: bytes
    kind: str = ""


class Snapshot(Struct, frozen=True):
    """The folded state of a session just after record `seq`, in bytes only the engine can read."""

    seq: int
    data: bytes


class Append(Struct, frozen=True, kw_only=True):
    """One session's next records, in order.

    `epoch` is what `claim` or `create` gave, `after` the seq of the record that the first one
    follows, `at` the writer's time in Unix seconds (information only). `due` is when the session
    next has something to do without being asked (None: never); it replaces what was known.
    """

    session: str
    epoch: int
    after: int
    at: float
    entries: tuple[Entry, ...] = ()
    snapshot: Snapshot | None = None
    user_values: tuple[UserValue, ...] = ()
    due: float | None = None
    title: str | None = None
    closed: bool = False


class Appended(Struct, frozen=True):
    """All of an `Append` is durable; `last` is the seq of its last record."""

    last: int


class Fenced(Struct, frozen=True):
    """Nothing of an `Append` was kept: its epoch is not the newest, or its head has moved."""


class Repeated(Struct, frozen=True):
    """Nothing of an `Append` was kept: `command` is in the log, its first record at `seq`.

    `seq` is 0 for a command that the `Append` itself held twice.
    """

    command: str
    seq: int


Outcome = Appended | Fenced | Repeated


class Claim(Struct, frozen=True, kw_only=True):
    """The right to append: valid until the session is claimed again."""

    epoch: int
    head: int
    user: str
    created: float
    snapshot: Snapshot | None = None
    closed: bool = False
    due: float | None = None


class Chunk(Struct, frozen=True):
    """Stored records `first` … `first + count - 1`: a JSON array of events, written at `at`."""

    first: int
    count: int
    at: float
    data: bytes


class SessionInfo(Struct, frozen=True, kw_only=True):
    """What can be said of a session without reading its log. Times are in Unix seconds."""

    id: str
    user: str
    created: float
    updated: float
    head: int
    title: str = ""
    closed: bool = False
    due: float | None = None


class Posted(Struct, frozen=True):
    """A command in the inbox; `fresh` is False where its id was known, `seq` its record if any."""

    fresh: bool
    seq: int | None = None


class PostedCommand(Struct, frozen=True):
    """A command that waits in a session's inbox for the session's owner."""

    command: str
    data: bytes


class Store(Protocol):
    """Keeps the logs of many sessions.

    Ordering: records of a session are numbered 1, 2, 3 … in the order of their appends; the order
    of commands in an inbox is that of their `post`.
    Durability: when a coroutine has returned, what it wrote survives `kill -9` and a power cut.
    Concurrency: all methods may be called at any time from one event loop; `append` is called with
    many sessions at once and is one transaction: each `Append` is kept wholly or not at all, and
    a refused one does not harm its neighbours.
    Cancellation: a cancelled call may or may not have taken effect.
    Errors: `StoreUnavailable` where nothing was written and a later call may succeed;
    `StoreCorrupt`, `StoreTooNew` from `open`.
    """

    async def open(self) -> None:
        """Make ready; check the schema; take whatever lock there is. Called once."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of everything. May be called twice."""
        ...

    async def create(self, session: str, user: str, at: float) -> Claim | None:
        """A new session that the caller owns; None if the id exists."""
        ...

    async def claim(self, session: str) -> Claim | None:
        """Take the session over: a greater epoch fences every earlier owner. None: no such."""
        ...

    async def release(self, session: str, epoch: int) -> None:
        """The owner with this epoch will not append any more; the store may forget it.

        An epoch that is not the newest is no error. Whoever appends under it later is fenced.
        """
        ...

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        """Add records; one outcome for each `Append`, in their order.

        Checked in this order: the epoch and the head (`Fenced`), each entry's command
        (`Repeated`). An accepted entry's command leaves the inbox in the same transaction.
        """
        ...

    async def post(self, session: str, command: str, data: bytes) -> Posted | None:
        """Leave a command for whoever owns the session; None if there is no such session."""
        ...

    async def inbox(self, session: str) -> Sequence[PostedCommand]:
        """The commands posted and not yet appended, in order."""
        ...

    async def outcome(self, session: str, command: str) -> int | None:
        """The seq of the first record that `command` caused; None if it is not in the log."""
        ...

    async def read(self, session: str, after: int, limit: int = 1000) -> Sequence[Chunk]:
        """Chunks that hold records after `after`, in order; at least `limit` records if there are.

        The first chunk may begin at or before `after`. An unknown session has no chunks.
        """
        ...

    async def find(self, session: str) -> SessionInfo | None:
        """What is known of a session."""
        ...

    async def sessions(
        self, user: str | None = None, *, before: float | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        """Sessions, of one user or of all, last updated first; `before` pages by `updated`.

        Those updated at the same time as the last of a page come with it, so that none is skipped:
        a page may be longer than `limit`. Only records move `updated`.
        """
        ...

    async def count(self, user: str) -> int:
        """How many sessions of this user are not closed."""
        ...

    async def due(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        """Open sessions whose `due` is before that time, earliest first."""
        ...

    async def idle(self, before: float, limit: int = 1000) -> Sequence[str]:
        """Open sessions last updated before that time, longest idle first."""
        ...

    async def user_value(self, user: str, name: str) -> UserValue | None:
        """A variable of a user; one whose value is JSON null is a deleted one."""
        ...

    async def erase(self, session: str) -> bool:
        """Remove everything of a session and fence its owner; False if there is none."""
        ...
