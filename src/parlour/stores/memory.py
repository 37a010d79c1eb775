"""The store without a disk: all the promises of any other, but nothing survives the process.

It is a real store, not a mock: `parlour run --store memory:`, short-lived bots and tests use it.
Knows nothing of events, engines or time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from parlour.errors import StoreUnavailable
from parlour.events import encode_chunk
from parlour.stores.store import (
    Append,
    Appended,
    Chunk,
    Claim,
    Entry,
    Fenced,
    Outcome,
    Posted,
    PostedCommand,
    Repeated,
    SessionInfo,
    Snapshot,
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


class MemoryStore:
    """Logs in dictionaries. Closing keeps them, so that a test may open the same store again."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._values: dict[tuple[str, str], UserValue] = {}
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
        log = logs[session] = _Log(session, user, at, at, self._next_epoch())
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

    async def read(self, session: str, after: int, limit: int = 1000) -> Sequence[Chunk]:
        log = self._opened().get(session)
        if log is None or after >= log.head:
            return []
        place = max(bisect_right(log.chunks, after + 1, key=lambda chunk: chunk.first) - 1, 0)
        end, until = place, min(max(after, 0) + limit, log.head)
        while end < len(log.chunks) and log.chunks[end].first <= until:
            end += 1
        return log.chunks[place:end]

    async def find(self, session: str) -> SessionInfo | None:
        log = self._opened().get(session)
        return None if log is None else _info(log)

    async def sessions(
        self, user: str | None = None, *, before: float | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        found = [
            log
            for log in self._opened().values()
            if (user is None or log.user == user) and (before is None or log.updated < before)
        ]
        found.sort(key=lambda log: log.updated, reverse=True)
        # Those updated at the same instant as the last one belong to its page: `before` cannot
        # tell them apart, so they would never be seen.
        while 0 < limit < len(found) and found[limit].updated == found[limit - 1].updated:
            limit += 1
        return [_info(log) for log in found[:limit]]

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

    async def user_value(self, user: str, name: str) -> UserValue | None:
        self._opened()
        return self._values.get((user, name))

    async def erase(self, session: str) -> bool:
        return self._opened().pop(session, None) is not None

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
        if entry.records:
            here.add(command)
    return None


def _add(log: _Log, entry: Entry, at: float) -> None:
    log.inbox.pop(entry.command, None)
    count = len(entry.records)
    if not count:
        return
    first = log.head + 1
    if entry.command:
        log.seqs[entry.command] = first
    log.chunks.append(Chunk(first, count, at, encode_chunk(entry.records)))
    log.head += count
    log.updated = at


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
