"""The store without a disk: all the promises of any other, but nothing survives the process.

It is a real store, not a mock: `parlour run --store memory:`, short-lived bots and tests use it.
Knows nothing of events, engines or time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from parlour.errors import StoreUnavailable
from parlour.events import encode_chunk, split_chunk
from parlour.stores.store import (
    EXCERPT,
    EXCERPT_BEFORE,
    PAGE_BYTES,
    SEARCHED,
    Append,
    Appended,
    Branch,
    Chunk,
    Claim,
    Cursor,
    Entry,
    Fenced,
    Outcome,
    Passage,
    Posted,
    PostedCommand,
    Reclaimed,
    Repeated,
    SessionInfo,
    Share,
    Snapshot,
    Thread,
    Unindexed,
    UserValue,
)

_FENCED = Fenced()


@dataclass(slots=True)
class _Log:
    """One session. `seqs` maps a command to its first record, `inbox` a waiting one to its data."""

    id: str
    user: str
    created: float
    updated: float
    epoch: int
    head: int = 0
    title: str = ""
    closed: bool = False
    due: float | None = None
    snapshot: Snapshot | None = None
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    seqs: dict[str, int] = field(default_factory=dict[str, int])
    inbox: dict[str, bytes] = field(default_factory=dict[str, bytes])
    thread: str = ""
    origin: str = ""
    upto: int = 0
    found: Passage | None = None
    """What can be found of it: from its first record on."""


class MemoryStore:
    """Logs in dictionaries. Closing keeps them, so that a test may open the same store again."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._values: dict[tuple[str, str], UserValue] = {}
        self._shares: dict[str, Share] = {}
        self._epoch = 0
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def create(self, session: str, user: str, at: float) -> Claim | None:
        logs = self._opened()
        if session in logs:
            return None
        log = logs[session] = _Log(session, user, at, at, self._next_epoch(), thread=session)
        return _claim(log)

    async def claim(self, session: str) -> Claim | None:
        log = self._opened().get(session)
        if log is None:
            return None
        log.epoch = self._next_epoch()
        return _claim(log)

    async def release(self, session: str, epoch: int) -> None:
        log = self._opened().get(session)
        if log is not None and log.epoch == epoch:
            log.epoch = self._next_epoch()

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        logs = self._opened()
        return [self._append(logs.get(append.session), append) for append in batch]

    async def post(self, session: str, command: str, data: bytes) -> Posted | None:
        log = self._opened().get(session)
        if log is None:
            return None
        if command in log.seqs:
            return Posted(fresh=False, seq=log.seqs[command])
        if command in log.inbox:
            return Posted(fresh=False)
        log.inbox[command] = data
        return Posted(fresh=True)

    async def inbox(self, session: str) -> Sequence[PostedCommand]:
        log = self._opened().get(session)
        return [] if log is None else [PostedCommand(*item) for item in log.inbox.items()]

    async def outcome(self, session: str, command: str) -> int | None:
        log = self._opened().get(session)
        return None if log is None else log.seqs.get(command)

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        log = self._opened().get(session)
        if log is None or after >= log.head:
            return []
        place = max(bisect_right(log.chunks, after + 1, key=lambda chunk: chunk.first) - 1, 0)
        end, until = place, min(max(after, 0) + limit, log.head)
        weight = 0
        while end < len(log.chunks) and log.chunks[end].first <= until and weight < limit_bytes:
            weight += len(log.chunks[end].data)
            end += 1
        return log.chunks[place:end]

    async def find(self, session: str) -> SessionInfo | None:
        log = self._opened().get(session)
        return None if log is None else _info(log)

    async def sessions(
        self, user: str | None = None, *, before: Cursor | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        found = [
            info
            for info in map(_info, self._opened().values())
            if (user is None or info.user == user) and (before is None or info.cursor < before)
        ]
        found.sort(key=lambda info: info.cursor, reverse=True)
        return found[:limit]

    async def count(self, user: str) -> int:
        return sum(1 for log in self._alive() if log.user == user)

    async def due(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        found = [
            (log.id, log.due) for log in self._alive() if log.due is not None and log.due < before
        ]
        return sorted(found, key=lambda item: item[1])[:limit]

    async def idle(self, before: float, limit: int = 1000) -> Sequence[str]:
        found = [(log.updated, log.id) for log in self._alive() if log.updated < before]
        return [session for _, session in sorted(found)[:limit]]

    async def ended(self, before: float, limit: int = 1000) -> Sequence[str]:
        logs = self._opened().values()
        found = [(log.updated, log.id) for log in logs if log.closed and log.updated < before]
        return [session for _, session in sorted(found)[:limit]]

    async def user_value(self, user: str, name: str) -> UserValue | None:
        self._opened()
        return self._values.get((user, name))

    async def user_values(self, user: str) -> Sequence[UserValue]:
        self._opened()
        return [value for (whose, _), value in sorted(self._values.items()) if whose == user]

    async def fork(
        self, session: str, upto: int, append: Append, *, branch: bool = False
    ) -> Claim | None:
        logs = self._opened()
        source = logs.get(session)
        if source is None or source.head < upto or append.session in logs:
            return None
        chunks = [_cut(chunk, upto) for chunk in source.chunks if chunk.first <= upto]
        log = logs[append.session] = _Log(
            append.session,
            source.user,
            append.at,
            append.at,
            self._next_epoch(),
            head=upto,
            title=source.title,
            chunks=chunks,
            seqs={command: seq for command, seq in source.seqs.items() if seq <= upto},
            thread=source.thread if branch else append.session,
        )
        if branch:
            log.origin, log.upto = session, upto
        self._append(log, replace(append, epoch=log.epoch, after=upto))
        return _claim(log)

    async def erase(self, session: str) -> bool:
        found = self._opened().pop(session, None) is not None
        self._shares = {t: share for t, share in self._shares.items() if share.session != session}
        return found

    async def threads(
        self,
        user: str,
        *,
        words: Sequence[str] = (),
        before: Cursor | None = None,
        limit: int = 50,
    ) -> Sequence[Thread]:
        newest: dict[str, _Log] = {}
        matching: dict[str, _Log] = {}
        for log in sorted(self._of(user), key=_cursor, reverse=True):
            newest.setdefault(log.thread, log)
            if _holds(log, words):
                matching.setdefault(log.thread, log)
        found = [
            Thread(id=thread, info=_info(log), excerpt=_excerpt(matching[thread], words))
            for thread, log in newest.items()
            if thread in matching and log.title and (before is None or _cursor(log) < before)
        ]
        return found[:limit]

    async def branches(self, session: str) -> Sequence[Branch]:
        logs = self._opened()
        log = logs.get(session)
        found = [] if log is None else [b for b in logs.values() if b.thread == log.thread]
        found.sort(key=lambda each: (each.created, each.id))
        return [Branch(info=_info(each), origin=each.origin, upto=each.upto) for each in found]

    async def unindexed(self, user: str, limit: int = 100) -> Sequence[Unindexed]:
        found = [
            (log, 0 if log.found is None else log.found.upto)
            for log in sorted(self._of(user), key=_cursor, reverse=True)
        ]
        behind = [
            Unindexed(session=log.id, after=upto, head=log.head, title=log.title)
            for log, upto in found
            if upto < log.head
        ]
        return behind[:limit]

    async def index(self, passages: Sequence[Passage]) -> None:
        logs = self._opened()
        for passage in passages:
            log = logs.get(passage.session)
            if log is None or passage.after != (0 if log.found is None else log.found.upto):
                continue
            before = log.found or Passage(session=log.id, after=0, upto=0)
            log.found = replace(
                passage,
                after=0,
                text=(before.text + passage.text)[:SEARCHED],
                folded=(before.folded + passage.folded)[:SEARCHED],
            )

    async def share(self, share: Share) -> bool:
        if share.session not in self._opened() or share.token in self._shares:
            return False
        self._shares[share.token] = share
        return True

    async def unshare(self, token: str) -> bool:
        self._opened()
        return self._shares.pop(token, None) is not None

    async def shared(self, token: str) -> Share | None:
        self._opened()
        return self._shares.get(token)

    async def shares(self, user: str, limit: int = 1000) -> Sequence[Share]:
        logs = self._opened()
        found = [share for share in self._shares.values() if logs[share.session].user == user]
        return sorted(found, key=lambda share: (share.at, share.token), reverse=True)[:limit]

    async def erase_user(self, user: str) -> int:
        self._opened()
        names = [key for key in self._values if key[0] == user]
        for key in names:
            del self._values[key]
        return len(names)

    async def scrub(self) -> None:
        self._opened()

    async def reclaim(self, *, compact: bool = False) -> Reclaimed:
        del compact
        dropped = 0
        for log in self._opened().values():
            if log.closed and log.snapshot is not None:
                log.snapshot = None
                dropped += 1
        return Reclaimed(snapshots=dropped)

    def _append(self, log: _Log | None, append: Append) -> Outcome:
        if log is None or log.epoch != append.epoch or log.head != append.after:
            return _FENCED
        repeated = _repeated(log, append.entries)
        if repeated is not None:
            return repeated
        for entry in append.entries:
            _add(log, entry, append.at)
        if append.snapshot is not None:
            log.snapshot = append.snapshot
        for value in append.user_values:
            self._keep(log.user, value)
        if append.title is not None:
            log.title = append.title
        log.due = append.due
        log.closed = log.closed or append.closed
        return Appended(log.head)

    def _keep(self, user: str, value: UserValue) -> None:
        if value.value == b"null":
            self._values.pop((user, value.name), None)
        else:
            self._values[user, value.name] = value

    def _opened(self) -> dict[str, _Log]:
        if not self._open:
            raise StoreUnavailable("the store is not open; call `await store.open()` first")
        return self._logs

    def _alive(self) -> Iterable[_Log]:
        return (log for log in self._opened().values() if not log.closed)

    def _of(self, user: str) -> list[_Log]:
        return [log for log in self._opened().values() if log.user == user]

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch


def _repeated(log: _Log, entries: Iterable[Entry]) -> Repeated | None:
    here: set[str] = set()
    for entry in entries:
        command = entry.command
        if not command:
            continue
        if command in log.seqs:
            return Repeated(command, log.seqs[command])
        if command in here:
            return Repeated(command, 0)
        if entry.count:
            here.add(command)
    return None


def _add(log: _Log, entry: Entry, at: float) -> None:
    log.inbox.pop(entry.command, None)
    count = entry.count
    if not count:
        return
    first = log.head + 1
    if entry.command:
        log.seqs[entry.command] = first
    log.chunks.append(Chunk(first, count, at, entry.data))
    log.head += count
    log.updated = at


def _cut(chunk: Chunk, upto: int) -> Chunk:
    """The same without the records after `upto`."""
    count = min(chunk.count, upto + 1 - chunk.first)
    if count == chunk.count:
        return chunk
    return Chunk(chunk.first, count, chunk.at, encode_chunk(split_chunk(chunk.data)[:count]))


def _cursor(log: _Log) -> Cursor:
    return Cursor(log.updated, log.id)


def _holds(log: _Log, words: Sequence[str]) -> bool:
    found = log.found
    if found is None:
        return not words
    return all(word in found.title or word in found.folded for word in words)


def _excerpt(log: _Log, words: Sequence[str]) -> str:
    if not words or log.found is None:
        return ""
    place = log.found.folded.find(words[0])
    start = max(place - EXCERPT_BEFORE, 0)
    return "" if place < 0 else log.found.text[start : start + EXCERPT]


def _claim(log: _Log) -> Claim:
    return Claim(
        epoch=log.epoch,
        head=log.head,
        user=log.user,
        created=log.created,
        snapshot=log.snapshot,
        closed=log.closed,
        due=log.due,
    )


def _info(log: _Log) -> SessionInfo:
    return SessionInfo(
        id=log.id,
        user=log.user,
        created=log.created,
        updated=log.updated,
        head=log.head,
        title=log.title,
        closed=log.closed,
        due=log.due,
    )
