"""Removes what is no longer wanted: erased sessions, files nobody names, folders of no session.

Sweeping works beside a running engine: what is younger than `grace` is left alone, because an
upload is stored before it is said. Knows stores by their protocol and folders by their names.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from parlour.stores.files import Files
from parlour.stores.store import Cursor, Reading, SessionInfo, Store

GRACE_SECONDS = 86_400.0
"""How long a file that nobody names may wait to be named."""

_PAGE = 500
_UPLOAD = re.compile(r"([0-9a-f]{32})(\.json|\.part)?")


class Swept(Struct, frozen=True, kw_only=True):
    """What was removed or is free to be used again; sizes are in bytes."""

    uploads: int = 0
    """Files that nobody names, and uploads that were cut off."""
    folders: int = 0
    """Folders of sessions that do not exist."""
    file_bytes: int = 0
    """The size of both."""
    snapshots: int = 0
    """Snapshots of closed sessions."""
    freed: int = 0
    """By how much the database has shrunk."""
    free: int = 0
    """How much of the database is free for records that are to come."""


async def erase_session(store: Store, files: Files, session: str) -> bool:
    """Remove a session and its files; False if there is none. What is begun is finished later.

    Nobody may run it meanwhile. Raises `StoreError`.
    """
    await asyncio.to_thread(files.condemn, session)
    found = await store.erase(session)
    await asyncio.to_thread(files.erase, session)
    return found


async def erase_user(store: Store, files: Files, user: str) -> int:
    """Remove a user's sessions, files and variables; how many sessions there were.

    Nobody may run them meanwhile. Raises `StoreError`.
    """
    ids = [info.id async for info in sessions_of(store, user)]
    for session in ids:
        await erase_session(store, files, session)
    await store.erase_user(user)
    return len(ids)


async def sessions_of(store: Reading, user: str | None) -> AsyncGenerator[SessionInfo]:
    """All sessions of a user, or of everybody; last updated first."""
    before: Cursor | None = None
    while infos := await store.sessions(user, before=before, limit=_PAGE):
        for info in infos:
            yield info
        before = infos[-1].cursor


async def sweep(
    store: Store, files: Files, now: float, *, grace: float = GRACE_SECONDS, compact: bool = False
) -> Swept:
    """Remove what is kept for nothing; `now` and `grace` are in seconds.

    `compact` also gives free space of the database back to the disk (`Store.reclaim`). Raises
    `StoreError`.
    """
    swept = Swept()
    for session in await asyncio.to_thread(files.sessions):
        old = now - grace
        if await store.find(session) is None:
            swept = await asyncio.to_thread(_remove_folder, files, session, old, swept)
            continue
        unsure = await asyncio.to_thread(_old_uploads, files, session, old)
        if unsure:
            unnamed = await _unnamed(store, session, set(map(_id_of, unsure)))
            unwanted = [path for path in unsure if _id_of(path) in unnamed]
            swept = await asyncio.to_thread(_remove, unwanted, swept)
    done = await store.reclaim(compact=compact)
    return replace(swept, snapshots=done.snapshots, freed=done.freed, free=done.free)


async def _unnamed(store: Store, session: str, ids: set[str]) -> set[str]:
    """Those of the ids that stand nowhere in a session's log or inbox."""
    left = {id_.encode() for id_ in ids}
    for posted in await store.inbox(session):
        left -= {id_ for id_ in left if id_ in posted.data}
    seq = 0
    while left and (chunks := await store.read(session, seq, _PAGE)):
        for chunk in chunks:
            left -= {id_ for id_ in left if id_ in chunk.data}
        seq = chunks[-1].first + chunks[-1].count - 1
    return {id_.decode() for id_ in left}


def _id_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _old_uploads(files: Files, session: str, old: float) -> list[Path]:
    """The parts of uploads that have had time to be named."""
    folder = files.root / session
    return [
        path
        for path in sorted(folder.iterdir())
        if _UPLOAD.fullmatch(path.name) and path.is_file() and path.stat().st_mtime <= old
    ]


def _remove(paths: list[Path], swept: Swept) -> Swept:
    size = sum(path.stat().st_size for path in paths)
    for path in paths:
        path.unlink(missing_ok=True)
    uploads = len({_id_of(path) for path in paths})
    return replace(swept, uploads=swept.uploads + uploads, file_bytes=swept.file_bytes + size)


def _remove_folder(files: Files, session: str, old: float, swept: Swept) -> Swept:
    """A fork has its files before it exists, so a young folder is left alone."""
    folder = files.root / session
    if folder.stat().st_mtime > old:
        return swept
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    files.erase(session)
    return replace(swept, folders=swept.folders + 1, file_bytes=swept.file_bytes + size)
