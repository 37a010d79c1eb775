"""Threads in a SQLite file: lists with branches, what can be found, links.

Each function runs on a connection, in the thread that has it; those that write do so within the
writer's transaction. Knows the schema and nothing of threads of Python.
"""

# ruff: noqa: S608 - what is put together here are the parts of this file

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from msgspec import structs

from parlour.stores import sqlite_reads as reads
from parlour.stores.store import (
    EXCERPT,
    EXCERPT_BEFORE,
    SEARCHED,
    Branch,
    Cursor,
    Passage,
    Share,
    Thread,
    Unindexed,
)

_LATER = "(other.updated, other.id) > (session.updated, session.id)"
_SUPERSEDED = (
    # it began the thread, and a branch is newer
    " AND NOT EXISTS (SELECT 1 FROM branch JOIN session AS other ON other.key = branch.session"
    f" WHERE branch.thread = session.id AND {_LATER})"
    # it is a branch, and another one or the session that began the thread is newer
    " AND NOT EXISTS (SELECT 1 FROM branch AS own JOIN branch ON branch.thread = own.thread"
    " JOIN session AS other ON other.key = branch.session"
    f" WHERE own.session = session.key AND {_LATER})"
    " AND NOT EXISTS (SELECT 1 FROM branch AS own JOIN session AS other ON other.id = own.thread"
    f" WHERE own.session = session.key AND {_LATER})"
)
_THREAD = "coalesce((SELECT thread FROM branch WHERE branch.session = session.key), session.id)"


def threads(
    db: sqlite3.Connection,
    user: str,
    words: Sequence[str],
    before: Cursor | None,
    limit: int,
) -> list[Thread]:
    excerpts = _found(db, user, words) if words else None
    wanted = ""
    if excerpts is not None:
        wanted = f" AND {_THREAD} IN (SELECT value FROM json_each(:threads))"
    infos = reads.sessions(
        db,
        user,
        before,
        limit,
        without=_SUPERSEDED + wanted + " AND title <> ''",
        threads=json.dumps(list(excerpts or ())),
    )
    names: dict[str, str] = dict(
        db.execute(
            "SELECT id, thread FROM branch JOIN session ON key = branch.session"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([info.id for info in infos]),),
        )
    )
    found: list[Thread] = []
    for info in infos:
        thread = names.get(info.id, info.id)
        found.append(Thread(id=thread, info=info, excerpt=(excerpts or {}).get(thread, "")))
    return found


def _found(db: sqlite3.Connection, user: str, words: Sequence[str]) -> dict[str, str]:
    """The threads in which the words are found, with an excerpt of each."""
    each = "".join(
        f" AND (instr(folded, :word{place}) OR instr(passage.title, :word{place}))"
        for place in range(len(words))
    )
    rows = db.execute(
        f"SELECT {_THREAD}, CASE instr(folded, :word0) WHEN 0 THEN '' ELSE"
        f" substr(text, max(instr(folded, :word0) - {EXCERPT_BEFORE}, 1), {EXCERPT}) END"
        f" FROM session JOIN passage ON passage.session = key WHERE user = :user{each}"
        " ORDER BY updated DESC, id DESC",
        {"user": user, **{f"word{place}": word for place, word in enumerate(words)}},
    )
    found: dict[str, str] = {}
    for thread, excerpt in rows:
        found.setdefault(thread, excerpt)
    return found


def branches(db: sqlite3.Connection, session: str) -> list[Branch]:
    rows = db.execute(
        f"SELECT {reads.INFO}, coalesce(origin, ''), coalesce(upto, 0)"
        " FROM session LEFT JOIN branch ON branch.session = key WHERE key IN ("
        f"SELECT other.key FROM session JOIN session AS other ON other.id = {_THREAD}"
        " WHERE session.id = :session UNION"
        f" SELECT branch.session FROM session JOIN branch ON branch.thread = {_THREAD}"
        " WHERE session.id = :session) ORDER BY created, id",
        {"session": session},
    )
    return [
        Branch(info=reads.info_of(row[:-2]), origin=row[-2], upto=row[-1])
        for row in rows.fetchall()
    ]


def unindexed(db: sqlite3.Connection, user: str, limit: int) -> list[Unindexed]:
    rows = db.execute(
        "SELECT id, coalesce(upto, 0), head, session.title"
        " FROM session LEFT JOIN passage ON session = key"
        " WHERE user = ? AND head > coalesce(upto, 0) ORDER BY updated DESC, id DESC LIMIT ?",
        (user, limit),
    )
    return [
        Unindexed(session=id_, after=upto, head=head, title=title)
        for id_, upto, head, title in rows
    ]


def shared(db: sqlite3.Connection, token: str) -> Share | None:
    row = db.execute(
        "SELECT token, id, upto, at FROM share JOIN session ON key = share.session WHERE token = ?",
        (token,),
    ).fetchone()
    return None if row is None else _share(row)


def shares(db: sqlite3.Connection, user: str, limit: int) -> list[Share]:
    rows = db.execute(
        "SELECT token, id, upto, at FROM share JOIN session ON key = share.session"
        " WHERE user = ? ORDER BY at DESC, token DESC LIMIT ?",
        (user, limit),
    )
    return [_share(row) for row in rows]


def _share(row: tuple[str, str, int, float]) -> Share:
    token, session, upto, at = row
    return Share(token=token, session=session, upto=upto, at=at)


# Writing, within the writer's transaction.


def index(db: sqlite3.Connection, passages: Sequence[Passage]) -> None:
    for passage in passages:
        db.execute(
            "INSERT INTO passage (session, upto, title, folded, text)"
            f" SELECT key, :upto, :title, substr(:folded, 1, {SEARCHED}),"
            f" substr(:text, 1, {SEARCHED})"
            " FROM session WHERE id = :session"
            " AND (:after = 0 OR EXISTS (SELECT 1 FROM passage WHERE session = key))"
            " ON CONFLICT (session) DO UPDATE SET upto = :upto, title = :title,"
            f" folded = substr(folded || :folded, 1, {SEARCHED}),"
            f" text = substr(text || :text, 1, {SEARCHED}) WHERE upto = :after",
            structs.asdict(passage),
        )


def share(db: sqlite3.Connection, share: Share) -> bool:
    done = db.execute(
        "INSERT INTO share (token, session, upto, at)"
        " SELECT ?, key, ?, ? FROM session WHERE id = ? ON CONFLICT (token) DO NOTHING",
        (share.token, share.upto, share.at, share.session),
    )
    return done.rowcount > 0


def unshare(db: sqlite3.Connection, token: str) -> bool:
    return db.execute("DELETE FROM share WHERE token = ?", (token,)).rowcount > 0
