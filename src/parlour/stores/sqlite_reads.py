"""Questions to a SQLite store; each runs on a connection that only reads.

`fresh` is the JSON list of the ids of a session's chunks that may not be settled yet; of those,
only the committed ones are there to be found. Knows the schema and nothing of threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from parlour.stores.sqlite_file import digest, milliseconds
from parlour.stores.store import Chunk, Cursor, PostedCommand, SessionInfo, UserValue

_SettledRow = tuple[str, str, float, int, int, str, int, float | None]

_KEY = "(SELECT key FROM session WHERE id = :session)"
_FRESH = "id IN (SELECT value FROM json_each(:fresh))"
INFO = "id, user, created, updated, head, title, closed, due"
_FAR = 1 << 62


def inbox(db: sqlite3.Connection, session: str) -> list[PostedCommand]:
    rows = db.execute(
        f"SELECT command, data FROM inbox WHERE session = {_KEY} ORDER BY position",  # noqa: S608
        {"session": session},
    )
    return [PostedCommand(command, data) for command, data in rows]


def outcome(db: sqlite3.Connection, session: str, command: str, fresh: str) -> int | None:
    arguments = {"session": session, "command": digest(command), "fresh": fresh}
    row: tuple[int] | None = db.execute(
        f"SELECT first FROM chunk WHERE {_FRESH} AND command = :command "  # noqa: S608
        f"UNION SELECT first FROM command WHERE session = {_KEY} AND command = :command",
        arguments,
    ).fetchone()
    return None if row is None else row[0]


def read(
    db: sqlite3.Connection, session: str, after: int, limits: tuple[int, int], fresh: str
) -> list[Chunk]:
    limit, limit_bytes = limits
    arguments: dict[str, object] = {
        "session": session,
        "after": after,
        "limit": limit,
        "fresh": fresh,
    }
    chunks: list[Chunk] = []
    until, weight = max(after, 0) + limit, 0
    for chunk in _stored(db, arguments):
        last = chunk.first + chunk.count - 1
        if last > after:
            chunks.append(chunk)
            weight += len(chunk.data)
            if last >= until or weight >= limit_bytes:
                return chunks
    return chunks


def _stored(db: sqlite3.Connection, arguments: dict[str, object]) -> Iterator[Chunk]:
    """A session's chunks from the one that holds the record after `after`: settled, then fresh."""
    last = 0
    settled = db.execute(
        "SELECT chunk.first, count, at, data FROM place JOIN chunk ON chunk.id = place.chunk"  # noqa: S608
        f" WHERE place.session = {_KEY} AND place.first >= coalesce((SELECT max(first) FROM place"
        f" WHERE session = {_KEY} AND first <= :after + 1), 0)"
        " ORDER BY place.first LIMIT :limit + 1",
        arguments,
    )
    for chunk in _chunks(settled):
        last = chunk.first
        yield chunk
    if arguments["fresh"] == "[]":
        return
    fresh = db.execute(
        f"SELECT first, count, at, data FROM chunk WHERE {_FRESH}"  # noqa: S608
        " AND first + count - 1 > :after ORDER BY first LIMIT :limit",
        arguments,
    )
    for chunk in _chunks(fresh):
        if chunk.first > last:
            yield chunk


def _chunks(cursor: sqlite3.Cursor) -> Iterator[Chunk]:
    # A statement that is not read to its end holds its view of the file until it is closed.
    with closing(cursor):
        for first, count, at, data in cursor:
            yield Chunk(first, count, at / 1000, data)


def find(db: sqlite3.Connection, session: str, fresh: str) -> SessionInfo | None:
    row: _SettledRow | None = db.execute(
        f"SELECT {INFO} FROM session WHERE id = ?",  # noqa: S608
        (session,),
    ).fetchone()
    if row is None:
        return None
    head, updated = row[4], row[3]
    if fresh != "[]":
        latest: tuple[int, int] | None = db.execute(
            f"SELECT first + count - 1, at FROM chunk WHERE {_FRESH}"  # noqa: S608
            " ORDER BY id DESC LIMIT 1",
            {"fresh": fresh},
        ).fetchone()
        if latest is not None and latest[0] > head:
            head, updated = latest
    return info_of((*row[:3], updated, head, *row[5:]))


def sessions(
    db: sqlite3.Connection,
    user: str | None,
    before: Cursor | None,
    limit: int,
    *,
    without: str = "",
    threads: str = "[]",
) -> list[SessionInfo]:
    """A page of the listing; `without` is a condition on those that are not wanted.

    It may use `threads`, a JSON list.
    """
    arguments: dict[str, object] = {
        "user": user,
        "updated": _FAR if before is None else milliseconds(before.updated),
        "id": "" if before is None else before.id,
        "limit": limit,
        "threads": threads,
    }
    # Open and closed ones lie in two ranges of the index; each is read in its order.
    whose = "" if user is None else "user = :user AND "
    when = f"updated <= :updated AND (updated < :updated OR id < :id){without}"
    order = "ORDER BY updated DESC, id DESC LIMIT :limit"
    ranges = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {INFO} FROM session"  # noqa: S608
        f" WHERE {whose}closed = {closed} AND {when} {order})"
        for closed in (0, 1)
    )
    rows: list[_SettledRow] = db.execute(
        f"SELECT * FROM ({ranges}) {order}",  # noqa: S608
        arguments,
    ).fetchall()
    return [info_of(row) for row in rows]


def count(db: sqlite3.Connection, user: str) -> int:
    row: tuple[int] = db.execute(
        "SELECT count(*) FROM session WHERE user = ? AND closed = 0", (user,)
    ).fetchone()
    return row[0]


def due(db: sqlite3.Connection, before: float, limit: int) -> list[tuple[str, float]]:
    return db.execute(
        "SELECT id, due FROM session WHERE due < ? AND closed = 0 ORDER BY due LIMIT ?",
        (before, limit),
    ).fetchall()


def idle(db: sqlite3.Connection, before: float, limit: int) -> list[str]:
    rows = db.execute(
        "SELECT id FROM session WHERE closed = 0 AND updated < ? ORDER BY updated LIMIT ?",
        (milliseconds(before), limit),
    )
    return [session for (session,) in rows]


def ended(db: sqlite3.Connection, before: float, limit: int) -> list[str]:
    rows = db.execute(
        "SELECT id FROM session WHERE closed = 1 AND updated < ? ORDER BY updated LIMIT ?",
        (milliseconds(before), limit),
    )
    return [session for (session,) in rows]


def user_value(db: sqlite3.Connection, user: str, name: str) -> UserValue | None:
    row: tuple[bytes, str] | None = db.execute(
        "SELECT value, kind FROM user_value WHERE user = ? AND name = ?", (user, name)
    ).fetchone()
    return None if row is None else UserValue(name, *row)


def user_values(db: sqlite3.Connection, user: str) -> list[UserValue]:
    rows = db.execute(
        "SELECT name, value, kind FROM user_value WHERE user = ? ORDER BY name", (user,)
    )
    return [UserValue(*row) for row in rows]


def info_of(row: _SettledRow) -> SessionInfo:
    id_, user, created, updated, head, title, closed, due_ = row
    return SessionInfo(
        id=id_,
        user=user,
        created=created,
        updated=updated / 1000,
        head=head,
        title=title,
        closed=bool(closed),
        due=due_,
    )
