"""The one who writes to a SQLite store: groups of work become transactions here.

Runs in the writer's thread and owns the writing connection. What `append` must check (the epoch,
the head, commands not settled yet) is held in memory, so that the hot path is a single INSERT:
every call into SQLite gives the interpreter's lock away and waits to get it back from a busy event
loop. Does not know event loops, threads or queues.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from parlour.errors import StoreUnavailable
from parlour.stores.sqlite_copy import chunks_until, copy_chunk
from parlour.stores.sqlite_file import BUSY_MILLISECONDS, digest, explain, milliseconds
from parlour.stores.sqlite_scrub import Scan
from parlour.stores.store import (
    Append,
    Appended,
    Claim,
    Fenced,
    Outcome,
    Posted,
    Reclaimed,
    Repeated,
    Snapshot,
)

Work = Sequence[Append] | Callable[[], object]
"""Appends of one call, or anything else that is to be done in a transaction."""

MANY = 512
"""As many chunks go into one statement."""

_AROUND = 1024
"""About how many bytes of the log a chunk costs beside its data, with what finds it."""
_FENCED = Fenced()
_WIDTH = 7
# A statement with more rows than are needed costs little, one that is not prepared yet costs much.
_SIZES = (*range(1, 16), *range(16, 64, 4), *range(64, 256, 16), *range(256, MANY + 1, 32))
_STATEMENTS = tuple(
    # A command that is settled already makes `count` NULL, which fails the statement as a whole.
    "INSERT INTO chunk (id, session, first, count, at, command, data) "  # noqa: S608
    "SELECT column1, column2, column3, CASE WHEN column6 IS NOT NULL AND EXISTS "
    "(SELECT 1 FROM command WHERE session = column2 AND command = column6) "
    "THEN NULL ELSE column4 END, column5, column6, column7 "
    f"FROM (VALUES {','.join(['(?,?,?,?,?,?,?)'] * size)}) WHERE column1 IS NOT NULL"
    for size in _SIZES
)
_STATEMENT_FOR = tuple(
    next(index for index, size in enumerate(_SIZES) if size >= count) for count in range(MANY + 1)
)
_PADDING = tuple((None,) * (_WIDTH * size) for size in range(MANY + 1))


class Held:
    """What is known by heart of a session that somebody claimed.

    `fresh` are the ids of its chunks that are not settled, some of which may not be committed;
    `commands` maps the commands in them to their first record.
    """

    __slots__ = ("commands", "due", "epoch", "fresh", "head", "key", "released", "session")

    def __init__(self, session: str, key: int, head: int, due: float | None) -> None:
        self.session = session
        self.released = False
        self.key = key
        self.head = head
        self.due = due
        self.epoch = 0
        self.fresh: list[int] = []
        self.commands: dict[int, int] = {}


class _Changes:
    """What the appends of a transaction change besides the log."""

    __slots__ = ("closed", "due", "snapshots", "taken", "titles", "values")

    def __init__(self) -> None:
        self.due: dict[int, float | None] = {}
        self.titles: dict[int, str] = {}
        self.closed: dict[int, None] = {}
        self.snapshots: dict[int, Snapshot] = {}
        self.values: list[tuple[int, str, bytes, str]] = []
        self.taken: list[tuple[int, str]] = []


class Writer:
    """Performs work in order, each group of it in one transaction.

    `remember` bounds the sessions held in memory. An append for one that was let go of is fenced,
    as if somebody had claimed it; its owner claims it again.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, generation: int, remember: int
    ) -> None:
        self._db = connection
        self._path = path
        self._remember = remember
        self._epoch = generation << 32
        self._chunk = self._settled = self._number("SELECT value FROM meta WHERE name = 'settled'")
        self._key = self._number("SELECT coalesce(max(key), 0) FROM session")
        self._position = self._number("SELECT coalesce(max(position), 0) FROM inbox")
        self._posted: dict[int, set[str]] = {}
        for key, command in self._db.execute("SELECT session, command FROM inbox"):
            self._posted.setdefault(key, set()).add(command)
        self.held: OrderedDict[str, Held] = OrderedDict()
        self.written = 0
        """About how many bytes appends have added to the write-ahead log."""
        self.erased = False
        self.unscrubbed = bool(self._number("SELECT count(*) FROM meta WHERE name = 'unscrubbed'"))
        self._erasures = 0
        self._dirty: dict[int, Held] = {}
        self._rows: list[object] = []
        self._changes: _Changes | None = None
        self._taken: list[tuple[Held, Append, int]] = []
        self._undo: list[Callable[[], None]] = []

    @property
    def connection(self) -> sqlite3.Connection:
        """For other work within a transaction."""
        return self._db

    @property
    def unsettled(self) -> int:
        """How many chunks are known by heart only."""
        return self._chunk - self._settled

    def perform(self, group: Sequence[Work]) -> list[object]:
        """Do all of `group` in one transaction; one result, or one error, for each, in order.

        Work that cannot be done for a reason of its own does not harm its neighbours.
        """
        try:
            return self._in_one(group)
        except Exception as error:  # noqa: BLE001 - the caller of each piece of work gets it
            meaning = explain(error, self._path) if isinstance(error, sqlite3.Error) else None
            if len(group) == 1 or isinstance(meaning, StoreUnavailable):
                return [meaning or error for _ in group]
        return list(chain.from_iterable(self.perform([work]) for work in group))

    def settle(self) -> None:
        """Index what was appended since the last time; may raise sqlite3.Error."""
        if self._chunk == self._settled:
            return
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'settled'", (self._chunk,))
        self._settled = self._chunk
        for held in self._dirty.values():
            held.fresh.clear()
            held.commands.clear()
            if held.released:
                self.held.pop(held.session, None)
        self._dirty.clear()

    def release(self, session: str, epoch: int) -> None:
        """Let go of a session nobody writes to any more; its chunks must be settled first."""
        held = self.held.get(session)
        if held is None or held.epoch != epoch:
            return
        held.epoch = self._next_epoch()
        held.released = True
        if not held.fresh:
            del self.held[session]

    def checkpoint(self, *, scrub: bool = False) -> bool:
        """Move the write-ahead log into the file; `scrub` also empties it, and tells if it could.

        May raise sqlite3.Error.
        """
        if not scrub:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return False
        # Nobody waits here for a reader that takes its time; the next idle moment tries again.
        self._db.execute("PRAGMA busy_timeout = 0")
        try:
            busy = self._number("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        self.erased = self.erased and bool(busy)
        return not busy

    def scrub(self, scan: Scan) -> bool:
        """Overwrite what deleting has left behind in the next pages; False if somebody reads these.

        May raise sqlite3.Error and OSError.
        """
        self.settle()
        if not self.checkpoint(scrub=True):
            return False
        # A page that is kept in memory would bring back what is overwritten in the file.
        self._db.execute("PRAGMA shrink_memory")
        if scan.page == 1:
            scan.erasures, scan.last = self._erasures, self._number("PRAGMA page_count")
        scan.go_on(self._number("PRAGMA page_size"))
        if scan.done and scan.erasures == self._erasures:
            self._note_scrubbed()
        return True

    def _note_scrubbed(self) -> None:
        self._db.execute("DELETE FROM meta WHERE name = 'unscrubbed'")
        self.unscrubbed = False

    def reclaim(self, *, compact: bool) -> Reclaimed:
        """Drop what closed sessions do not need, and give free pages back to the disk if wanted.

        May raise sqlite3.Error.
        """
        size = self._number("PRAGMA page_size")
        before = self._number("PRAGMA page_count")
        dropped = self._db.execute(
            "DELETE FROM snapshot WHERE session IN (SELECT key FROM session WHERE closed = 1)"
        ).rowcount
        if compact:
            self.settle()
            self._db.execute("VACUUM")
            self._note_scrubbed()
        self.checkpoint(scrub=True)
        return Reclaimed(
            freed=max(0, before - self._number("PRAGMA page_count")) * size,
            free=self._number("PRAGMA freelist_count") * size,
            snapshots=dropped,
        )

    # Work other than appends; called by `perform`, inside its transaction.

    def create(self, session: str, user: str, at: float) -> Claim | None:
        if session in self.held:
            return None
        key = self._key + 1
        done = self._db.execute(
            "INSERT INTO session (key, id, user, created, updated) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO NOTHING",
            (key, session, user, at, milliseconds(at)),
        )
        if done.rowcount == 0:
            return None
        self._key = key
        held = Held(session, key, 0, None)
        self._hold(session, held)
        held.epoch = self._next_epoch()
        return Claim(epoch=held.epoch, head=0, user=user, created=at)

    def claim(self, session: str) -> Claim | None:
        row = self._db.execute(
            "SELECT key, user, created, closed, due, head, seq, data FROM session"
            " LEFT JOIN snapshot ON snapshot.session = key WHERE id = ?",
            (session,),
        ).fetchone()
        if row is None:
            return None
        key, user, created, closed, due, head, seq, data = row
        held = self.held.get(session)
        if held is None:
            # All its chunks are settled, so `head` is right.
            held = Held(session, key, head, due)
            self._hold(session, held)
        held.released = False
        held.epoch = self._next_epoch()
        return Claim(
            epoch=held.epoch,
            head=held.head,
            user=user,
            created=created,
            snapshot=None if seq is None else Snapshot(seq, data),
            closed=bool(closed),
            due=held.due,
        )

    def post(self, session: str, command: str, data: bytes) -> Posted | None:
        key = self._key_of(session)
        if key is None:
            return None
        first = self._known(key, self.held.get(session), digest(command))
        if first is not None:
            return Posted(fresh=False, seq=first)
        waiting = self._posted.setdefault(key, set())
        if command in waiting:
            return Posted(fresh=False)
        self._position += 1
        self._db.execute(
            "INSERT INTO inbox (session, position, command, data) VALUES (?, ?, ?, ?)",
            (key, self._position, command, data),
        )
        waiting.add(command)
        self._undo.append(lambda: waiting.discard(command))
        return Posted(fresh=True)

    def fork(self, session: str, upto: int, append: Append, *, branch: bool) -> Claim | None:
        row = self._db.execute(
            "SELECT key, user, title FROM session WHERE id = ?", (session,)
        ).fetchone()
        if row is None:
            return None
        source = self.held.get(session)
        chunks = chunks_until(self._db, row[0], upto, [] if source is None else source.fresh)
        claim = self.create(append.session, row[1], append.at) if chunks else None
        if claim is None:
            return None
        held = self.held[append.session]
        for id_, first, _, command in chunks:
            self._chunk += 1
            copy_chunk(self._db, id_, new=self._chunk, session=held.key, upto=upto)
            held.fresh.append(self._chunk)
            if command is not None:
                held.commands[command] = first
        held.head = upto
        self._dirty[held.key] = held
        self._db.execute("UPDATE session SET title = ? WHERE key = ?", (row[2], held.key))
        if branch:
            self._db.execute(
                "INSERT INTO branch (session, thread, origin, upto) VALUES"
                " (?, coalesce((SELECT thread FROM branch WHERE session = ?), ?), ?, ?)",
                (held.key, row[0], session, session, upto),
            )
        self._take([replace(append, epoch=held.epoch, after=upto)], careful=True)
        return replace(claim, head=held.head, due=held.due)

    def erase_user(self, user: str) -> int:
        done = self._db.execute("DELETE FROM user_value WHERE user = ?", (user,))
        self._note_erasure()
        return done.rowcount

    def erase(self, session: str) -> bool:
        key = self._key_of(session)
        if key is None:
            return False
        held = self.held.get(session)
        self._delete_chunks([] if held is None else held.fresh)
        self._db.execute(
            "DELETE FROM chunk WHERE id IN (SELECT chunk FROM place WHERE session = ?)", (key,)
        )
        for table in ("place", "command", "snapshot", "inbox", "branch", "passage", "share"):
            self._db.execute(f"DELETE FROM {table} WHERE session = ?", (key,))  # noqa: S608
        self._db.execute("DELETE FROM session WHERE key = ?", (key,))
        waiting = self._posted.pop(key, None)
        if waiting is not None:
            self._undo.append(lambda: self._posted.update({key: waiting}))
        if held is not None:
            del self.held[session]
            self._undo.append(lambda: self.held.update({session: held}))
        self._note_erasure()
        return True

    def _note_erasure(self) -> None:
        """Remember, even if this process ends now, that something is left to be scrubbed."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('unscrubbed', 1)")
        self._erasures += 1
        self.erased = self.unscrubbed = True

    # Transactions.

    def _in_one(self, group: Sequence[Work]) -> list[object]:
        try:
            return self._attempt(group, careful=False)
        except sqlite3.IntegrityError:
            # Some command is in the log already: look at each before it goes into the statement.
            return self._attempt(group, careful=True)

    def _attempt(self, group: Sequence[Work], *, careful: bool) -> list[object]:
        results: list[object] = []
        try:
            for work in group:
                if callable(work):
                    self._flush()
                    results.append(work())
                else:
                    results.append(self._take(work, careful=careful))
            if self._db.in_transaction or self._changes or len(self._rows) > MANY * _WIDTH:
                self._flush()
                self._db.execute("COMMIT")
            elif self._rows:
                self._insert(self._rows)
        except BaseException:
            self._roll_back()
            raise
        self._rows.clear()
        self._taken.clear()
        self._undo.clear()
        return results

    def _take(self, batch: Sequence[Append], *, careful: bool) -> list[Outcome]:
        """Check appends and gather their rows; heads move at once, `_roll_back` moves them back."""
        outcomes: list[Outcome] = []
        get, rows = self.held.get, self._rows
        for append in batch:
            held = get(append.session)
            after = append.after
            if held is None or held.epoch != append.epoch or held.head != after:
                outcomes.append(_FENCED)
                continue
            start, fresh, seq = len(rows), len(held.fresh), after + 1
            at = int(append.at * 1000 + 0.5)
            for entry in append.entries:
                command = None
                if entry.command:
                    command = digest(entry.command)
                    if careful or not entry.count:
                        first = self._known(held.key, held, command)
                    else:
                        first = held.commands.get(command)
                    if first is not None:
                        outcomes.append(Repeated(entry.command, first if first <= after else 0))
                        break
                    if entry.count:
                        held.commands[command] = seq
                count = entry.count
                if count:
                    self._chunk = chunk = self._chunk + 1
                    held.fresh.append(chunk)
                    rows += (chunk, held.key, seq, count, at, command, entry.data)
                    seq += count
            else:
                self._accept(append, held, seq - 1, fresh)
                outcomes.append(Appended(seq - 1))
                continue
            del rows[start:]
            _take_back(held, append, fresh)
        return outcomes

    def _accept(self, append: Append, held: Held, last: int, fresh: int) -> None:
        self._taken.append((held, append, fresh))
        held.head = last
        if not fresh and held.fresh:
            self._dirty[held.key] = held
        self.held.move_to_end(append.session)
        if (
            append.due != held.due
            or append.snapshot is not None
            or append.title is not None
            or append.user_values
            or append.closed
        ):
            self._note(held, append)
        if self._posted and held.key in self._posted:
            self._note_taken(held.key, append)

    def _note(self, held: Held, append: Append) -> None:
        changes = self._changes = self._changes or _Changes()
        key, due = held.key, held.due
        if append.due != due:
            changes.due[key] = held.due = append.due
            self._undo.append(lambda: setattr(held, "due", due))
        if append.snapshot is not None:
            changes.snapshots[key] = append.snapshot
        if append.title is not None:
            # A lone surrogate would make SQLite refuse the whole transaction.
            changes.titles[key] = append.title.encode("utf-8", "replace").decode()
        if append.closed:
            changes.closed[key] = None
        for value in append.user_values:
            changes.values.append((key, value.name, value.value, value.kind))

    def _note_taken(self, key: int, append: Append) -> None:
        waiting = self._posted[key]
        for entry in append.entries:
            command = entry.command
            if command in waiting:
                changes = self._changes = self._changes or _Changes()
                changes.taken.append((key, command))
                waiting.discard(command)
                self._undo.append(partial(waiting.add, command))

    def _flush(self) -> None:
        """Bring the transaction up to what was taken so far."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        rows = self._rows
        for start in range(0, len(rows), MANY * _WIDTH):
            self._insert(rows[start : start + MANY * _WIDTH])
        rows.clear()
        if self._changes is not None:
            self._change(self._changes)
            self._changes = None

    def _insert(self, rows: list[object]) -> None:
        count = len(rows) // _WIDTH
        index = _STATEMENT_FOR[count]
        self.written += sum(map(len, rows[_WIDTH - 1 :: _WIDTH])) + count * _AROUND  # type: ignore[arg-type]
        self._db.execute(_STATEMENTS[index], [*rows, *_PADDING[_SIZES[index] - count]])

    def _change(self, changes: _Changes) -> None:
        self._spread(
            "UPDATE session SET due = v.column2 FROM (VALUES {}) AS v WHERE key = v.column1",
            list(changes.due.items()),
        )
        self._spread(
            "UPDATE session SET title = v.column2 FROM (VALUES {}) AS v WHERE key = v.column1",
            list(changes.titles.items()),
        )
        self._spread(
            "UPDATE session SET closed = 1 WHERE key IN (VALUES {})",
            [(key,) for key in changes.closed],
        )
        self._spread(
            "INSERT OR REPLACE INTO snapshot (session, seq, data) VALUES {}",
            [(key, snapshot.seq, snapshot.data) for key, snapshot in changes.snapshots.items()],
        )
        self._spread(
            "DELETE FROM inbox WHERE (session, command) IN (VALUES {})",
            changes.taken,
        )
        if changes.values:
            self._spread(
                "INSERT OR REPLACE INTO user_value (user, name, value, kind)"
                " SELECT user, column2, column3, column4"
                " FROM (VALUES {}) AS v CROSS JOIN session WHERE key = v.column1",
                changes.values,
            )
            self._db.execute("DELETE FROM user_value WHERE value = x'6e756c6c'")

    def _spread(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """One statement for many rows: each call costs a turn of the interpreter's lock."""
        for start in range(0, len(rows), 32):
            some = rows[start : start + 32]
            self._db.execute(
                _with_values(sql, len(some), len(some[0])), list(chain.from_iterable(some))
            )

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        for held, append, fresh in reversed(self._taken):
            held.head = append.after
            _take_back(held, append, fresh)
        for undo in reversed(self._undo):
            undo()
        self._rows.clear()
        self._taken.clear()
        self._undo.clear()
        self._changes = None

    # What is known.

    def _hold(self, session: str, held: Held) -> None:
        self.held[session] = held
        self._undo.append(lambda: self._let_go(session))
        for _ in range(len(self.held) - self._remember):
            oldest, other = self.held.popitem(last=False)
            if other.fresh or other is held:
                self.held[oldest] = other  # its chunks are found through it until they are settled

    def _let_go(self, session: str) -> None:
        self.held.pop(session, None)

    def _known(self, key: int, held: Held | None, command: int) -> int | None:
        """The seq of the first record of a command, if it is in the log."""
        if held is not None and command in held.commands:
            return held.commands[command]
        row = self._db.execute(
            "SELECT first FROM command WHERE session = ? AND command = ?", (key, command)
        ).fetchone()
        return None if row is None else cast("int", row[0])

    def _key_of(self, session: str) -> int | None:
        held = self.held.get(session)
        if held is not None:
            return held.key
        row = self._db.execute("SELECT key FROM session WHERE id = ?", (session,)).fetchone()
        return None if row is None else cast("int", row[0])

    def _delete_chunks(self, chunks: Sequence[int]) -> None:
        for start in range(0, len(chunks), 512):
            some = chunks[start : start + 512]
            marks = ",".join("?" * len(some))
            self._db.execute(f"DELETE FROM chunk WHERE id IN ({marks})", some)  # noqa: S608

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _number(self, sql: str) -> int:
        return cast("int", self._db.execute(sql).fetchone()[0])


def _take_back(held: Held, append: Append, fresh: int) -> None:
    del held.fresh[fresh:]
    for entry in append.entries:
        if entry.command:
            command = digest(entry.command)
            if held.commands.get(command, 0) > append.after:
                del held.commands[command]


@lru_cache(maxsize=512)
def _with_values(sql: str, rows: int, columns: int) -> str:
    return sql.format(",".join(["(" + ",".join("?" * columns) + ")"] * rows))
