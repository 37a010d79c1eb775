"""Chunks of one session copied to another, within the writer's transaction.

Knows the schema; what is held in memory of either session is the writer's business.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from parlour.events import encode_chunk, split_chunk

ChunkRow = tuple[int, int, int, int | None]
"""Id, first record, count and command of a chunk."""


def chunks_until(
    db: sqlite3.Connection, session: int, upto: int, fresh: Sequence[int]
) -> list[ChunkRow]:
    """The chunks that hold a session's records up to `upto`; `fresh` are those not settled yet.

    None at all if there are not so many records.
    """
    chunks: list[ChunkRow] = db.execute(
        "SELECT id, first, count, command FROM chunk WHERE first <= ? AND id IN"
        " (SELECT chunk FROM place WHERE session = ? UNION SELECT value FROM json_each(?))"
        " ORDER BY first",
        (upto, session, json.dumps(list(fresh))),
    ).fetchall()
    if not chunks or chunks[-1][1] + chunks[-1][2] - 1 < upto:
        return []
    return chunks


def copy_chunk(db: sqlite3.Connection, chunk: int, *, new: int, session: int, upto: int) -> None:
    """The records of `chunk` up to `upto` as the chunk `new` of a session, with its time."""
    first, count, at, command, data = db.execute(
        "SELECT first, count, at, command, data FROM chunk WHERE id = ?", (chunk,)
    ).fetchone()
    if first + count - 1 > upto:
        count = upto + 1 - first
        data = encode_chunk(map(bytes, split_chunk(data)[:count]))
    db.execute(
        "INSERT INTO chunk (id, session, first, count, at, command, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new, session, first, count, at, command, data),
    )
