"""What a store owes a session: the `Store` protocol and the plain data that crosses it.

A store keeps logs. It does not know what events mean: records are JSON bytes it numbers, commands
are ids it has seen or not. `parlour.testing.StoreContract` is this protocol's definition in tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

PAGE_BYTES = 1024 * 1024
"""About how much of a log is read at once, where the reader does not say."""


class Entry(Struct, frozen=True, gc=False):
    """Records that stand or fall together; `command` is the client's id that caused them, or "".

    `data` is a JSON array of `count` events. Without records it only takes `command` out of the
    inbox: it was refused and left no trace.
    """

    command: str
    data: bytes = b"[]"
    count: int = 0


class UserValue(Struct, frozen=True, gc=False):
    """A variable of a user, set by a session: JSON and the Python kind it had (see `session`)."""

    name: str
    value: bytes
    kind: str = ""


class Snapshot(Struct, frozen=True, gc=False):
    """The folded state of a session just after record `seq`, in bytes only the engine can read."""

    seq: int
    data: bytes


class Append(Struct, frozen=True, kw_only=True, gc=False):
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


class Appended(Struct, frozen=True, gc=False):
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
    posted: bool = False
    """Whether commands wait in the inbox, as far as the store tells; it may leave this out."""


class Chunk(Struct, frozen=True, gc=False):
    """Stored records `first` … `first + count - 1`: a JSON array of events, written at `at`."""

    first: int
    count: int
    at: float
    data: bytes


class Cursor(Struct, frozen=True, order=True):
    """A session's place in a listing, whatever else is written there meanwhile."""

    updated: float
    id: str


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

    @property
    def cursor(self) -> Cursor:
        """Where the next page of a listing begins that ends here."""
        return Cursor(self.updated, self.id)


class Thread(Struct, frozen=True, kw_only=True):
    """A conversation with all its branches. `id` is that of the session it began with.

    `info` is its branch that was last updated, `excerpt` a piece of the text in which the first of
    the words that were searched for was found, "" if it stands in the title.
    """

    id: str
    info: SessionInfo
    excerpt: str = ""


class Branch(Struct, frozen=True, kw_only=True):
    """A session of a thread: its first `upto` records are a copy of those of `origin`.

    The session that a thread began with has the origin "".
    """

    info: SessionInfo
    origin: str = ""
    upto: int = 0


class Unindexed(Struct, frozen=True, kw_only=True):
    """A session whose records after `after`, up to its `head`, cannot be searched yet."""

    session: str
    after: int
    head: int
    title: str = ""


class Passage(Struct, frozen=True, kw_only=True):
    """What is to be found of a session's records after `after` until `upto`.

    `text` is added to what is known already, `title` replaces it. `folded` and `title` are as
    words that are searched for are: whoever writes passages folds both in the same way, so that
    each character of `text` is one of `folded`.
    """

    session: str
    after: int
    upto: int
    title: str = ""
    text: str = ""
    folded: str = ""


class Share(Struct, frozen=True, kw_only=True):
    """Who knows `token` may read the records 1 … `upto` of a session; made at `at`."""

    token: str
    session: str
    upto: int
    at: float


SEARCHED = 65_536
"""So many characters of a session's text are kept to be searched."""
EXCERPT_BEFORE, EXCERPT = 40, 200
"""An excerpt begins so many characters before the word, and has so many in all."""


class Posted(Struct, frozen=True):
    """A command in the inbox; `fresh` is False where its id was known, `seq` its record if any."""

    fresh: bool
    seq: int | None = None


class PostedCommand(Struct, frozen=True):
    """A command that waits in a session's inbox for the session's owner."""

    command: str
    data: bytes


class Reclaimed(Struct, frozen=True):
    """What `reclaim` did, in bytes: `freed` for the disk, `free` for records that are to come.

    `snapshots` counts those that were dropped.
    """

    freed: int = 0
    free: int = 0
    snapshots: int = 0


class Reading(Protocol):
    """What may be asked of a store without owning it: nothing here changes anything."""

    async def open(self) -> None:
        """Make ready; check the schema. Called once."""
        ...

    async def close(self) -> None:
        """Let go of everything. May be called twice."""
        ...

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        """Chunks that hold records after `after`, in order and without a gap.

        The last one is that with which `limit` records or `limit_bytes` bytes of data are reached,
        or the log's end; so a page that reaches neither is the last one, and no page is longer
        than its bound and one chunk. The first chunk may begin at or before `after`. An unknown
        session has no chunks.
        """
        ...

    async def find(self, session: str) -> SessionInfo | None:
        """What is known of a session."""
        ...

    async def sessions(
        self, user: str | None = None, *, before: Cursor | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        """Sessions, of one user or of all, last updated first; by id where that is the same.

        `before` is the cursor of the last one of the page before. Only records move `updated`.
        """
        ...

    async def user_value(self, user: str, name: str) -> UserValue | None:
        """A variable of a user; one whose value is JSON null is a deleted one."""
        ...

    async def user_values(self, user: str) -> Sequence[UserValue]:
        """All variables of a user, by name, without the deleted ones."""
        ...


class Threads(Protocol):
    """A store's sessions as their user sees them: conversations with branches, search, links.

    Nothing of it is written when a conversation goes on: what can be searched is brought forward
    by who searches (`unindexed`, then `index`), so it may lag behind the log.
    """

    async def threads(
        self,
        user: str,
        *,
        words: Sequence[str] = (),
        before: Cursor | None = None,
        limit: int = 50,
    ) -> Sequence[Thread]:
        """The user's threads, last updated first, those after the cursor `before`.

        A session without a title, in which the user has said nothing yet, is not listed.
        With `words`, only those with a session in whose title or text each of them is found,
        as a part of a word too; the excerpt is of the session that was updated last of these.
        """
        ...

    async def branches(self, session: str) -> Sequence[Branch]:
        """All sessions of the thread that `session` belongs to, itself too, oldest first.

        Nothing if there is no such session.
        """
        ...

    async def unindexed(self, user: str, limit: int = 100) -> Sequence[Unindexed]:
        """Sessions of the user with records that cannot be searched yet, last updated first."""
        ...

    async def index(self, passages: Sequence[Passage]) -> None:
        """Let passages be found; of each session the first `SEARCHED` characters are kept.

        One that does not follow what is known, or is of a session that is gone, is passed over.
        """
        ...

    async def share(self, share: Share) -> bool:
        """Keep a link; False if there is no such session, or if the token is taken."""
        ...

    async def unshare(self, token: str) -> bool:
        """Forget a link; False if there is none."""
        ...

    async def shared(self, token: str) -> Share | None:
        """The link with this token."""
        ...

    async def shares(self, user: str, limit: int = 1000) -> Sequence[Share]:
        """The links to sessions of the user, newest first."""
        ...


class Store(Reading, Threads, Protocol):
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

    async def count(self, user: str) -> int:
        """How many sessions of this user are not closed."""
        ...

    async def due(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        """Open sessions whose `due` is before that time, earliest first."""
        ...

    async def idle(self, before: float, limit: int = 1000) -> Sequence[str]:
        """Open sessions last updated before that time, longest idle first."""
        ...

    async def ended(self, before: float, limit: int = 1000) -> Sequence[str]:
        """Closed sessions last updated before that time, longest ended first."""
        ...

    async def fork(
        self, session: str, upto: int, append: Append, *, branch: bool = False
    ) -> Claim | None:
        """A new session of the same user: records 1 … `upto` of `session`, then what `append` adds.

        With `branch` it belongs to the thread of `session`, else it is a thread of its own.
        All in one transaction; the caller owns the new one. `append.session` is its id,
        `append.after` is `upto`, `append.epoch` is not looked at. Commands that caused the copied
        records are known in the copy too; inbox and snapshot are not copied. None if there is no
        such session, if it has fewer records, or if the new id is taken.
        """
        ...

    async def erase(self, session: str) -> bool:
        """Remove everything of a session, its links too, and fence its owner; False if none is."""
        ...

    async def erase_user(self, user: str) -> int:
        """Remove the variables of a user, and say how many; sessions are erased one by one."""
        ...

    async def scrub(self) -> None:
        """Return when nothing that was erased can be found in what the store wrote.

        Raises `StoreUnavailable` if somebody who reads an older state keeps it from that.
        """
        ...

    async def reclaim(self, *, compact: bool = False) -> Reclaimed:
        """Drop the snapshots of closed sessions, and count what is free.

        `compact` gives what is free back to the disk. Writing waits meanwhile, for as long as
        writing everything once takes, and the disk needs as much space again for that time.
        """
        ...
