"""Reads a SQLite store that another process may be serving: no lock is taken, nothing is written.

The owner indexes its newest chunks a little later (`sqlite_writer`), and knows them by heart
meanwhile; here they are found by their ids, which are the highest. Each question sees one state of
the file. Knows the schema and nothing of owners.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from parlour.errors import StoreUnavailable
from parlour.stores import sqlite_reads as reads
from parlour.stores.sqlite_file import check_owner, connect_to_read, explain
from parlour.stores.store import PAGE_BYTES, Chunk, Cursor, SessionInfo, UserValue

T = TypeVar("T")

_NEWEST = "chunk.id > (SELECT value FROM meta WHERE name = 'settled')"


class SqliteReader:
    """What the file at `path` holds, for those who only look (`Reading`)."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).resolve()
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parlour-sqlite-look")
        try:
            await self._in_thread(self._connect)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        connection, self._connection = self._connection, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
        if connection is not None:
            connection.close()

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        return await self._ask(
            lambda db: reads.read(db, session, after, (limit, limit_bytes), _fresh(db, session))
        )

    async def find(self, session: str) -> SessionInfo | None:
        return await self._ask(lambda db: reads.find(db, session, _fresh(db, session)))

    async def sessions(
        self, user: str | None = None, *, before: Cursor | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        return await self._ask(lambda db: _sessions(db, user, before, limit))

    async def user_value(self, user: str, name: str) -> UserValue | None:
        return await self._ask(lambda db: reads.user_value(db, user, name))

    async def user_values(self, user: str) -> Sequence[UserValue]:
        return await self._ask(lambda db: reads.user_values(db, user))

    def _connect(self) -> None:
        connection = connect_to_read(self._path)
        try:
            check_owner(connection, self._path)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    async def _ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        def ask() -> T:
            connection = cast("sqlite3.Connection", self._connection)
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                connection.execute("COMMIT")

        return await self._in_thread(ask)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreUnavailable(f"{self._path} is not open for reading; open it first")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise explain(error, self._path) or error from error


def _fresh(db: sqlite3.Connection, session: str) -> str:
    """The ids of a session's chunks that the owner has not indexed yet, as `sqlite_reads` wants."""
    row: tuple[str] = db.execute(
        f"SELECT json_group_array(id) FROM chunk WHERE {_NEWEST}"  # noqa: S608
        " AND session = (SELECT key FROM session WHERE id = ?)",
        (session,),
    ).fetchone()
    return row[0]


def _sessions(
    db: sqlite3.Connection, user: str | None, before: Cursor | None, limit: int
) -> list[SessionInfo]:
    """A page of the indexed sessions, and among them those that have been written to since."""
    rows = db.execute(
        f"SELECT DISTINCT session.id FROM chunk JOIN session ON key = session WHERE {_NEWEST}"  # noqa: S608
    ).fetchall()
    written = [reads.find(db, session, _fresh(db, session)) for (session,) in rows]
    found = [
        info
        for info in written
        if info is not None
        and (user is None or info.user == user)
        and (before is None or info.cursor < before)
    ]
    without = f" AND key NOT IN (SELECT session FROM chunk WHERE {_NEWEST})"  # noqa: S608
    found += reads.sessions(db, user, before, limit, without=without)
    return sorted(found, key=lambda info: info.cursor, reverse=True)[:limit]
