"""What a store's keeper does: backups, exports, erasing, forks, sweeping up.

Looking is done on the file, whoever serves it; what changes something is done by the server, if one
runs (`web.office`). Knows stores and servers, no terminal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from parlour.cli.conversations import find_session, opened
from parlour.errors import Refused
from parlour.stores.address import files_for, open_postgres
from parlour.stores.backup import BackedUp
from parlour.stores.export import export_sessions
from parlour.stores.store import SessionInfo
from parlour.stores.sweep import sessions_of
from parlour.transports.terminal.visible import one_line
from parlour.web.office import Erase, EraseUser, Fork, Import, Sweep, run_errand


def tell_backup(told: BackedUp, where: object, how: str) -> str:
    return (
        f"{how} {where}: {_many(told.sessions, 'session')}, {_many(told.records, 'record')}, "
        f"{_many(told.files, 'file')}, {told.size:,} bytes"
    )


async def export(address: str, session: str, user: str | None, target: Path) -> str:
    """Export one session, or with an empty `session` all of a user's."""
    files = files_for(address)
    async with opened(address) as store:
        if session:
            info = await find_session(store, session, user)
            count = await export_sessions(store, files, _only(info), target, user=info.user)
        else:
            infos = sessions_of(store, user)
            count = await export_sessions(store, files, infos, target, user=user)
    return f"Wrote {target}: {_many(count, 'session')}"


async def import_(address: str, source: Path, user: str | None) -> str:
    """Import an export; what came of it."""
    report = await run_errand(address, Import(str(source), user))
    if report.count == 1:
        return f"Imported session {report.session}"
    return f"Imported {_many(report.count, 'session')}"


async def _only(info: SessionInfo) -> AsyncGenerator[SessionInfo]:
    yield info


async def to_be_erased(address: str, session: str, user: str | None) -> tuple[str, str]:
    """The whole id of a session, and what would be erased, in words."""
    async with opened(address) as store:
        if session:
            info = await find_session(store, session, user)
            return info.id, f"session {info.id} of {info.user!r}, {_many(info.head, 'record')}"
        count = 0
        async for _ in sessions_of(store, user):
            count += 1
        values = await store.user_values(user or "")
        if not count and not values:
            raise Refused(
                "unknown_session",
                f"nothing is kept of the user {user}; `parlour sessions ls` lists the users",
            )
        return "", f"{_many(count, 'session')} and {_many(len(values), 'variable')} of {user!r}"


async def erase(address: str, session: str, user: str | None) -> str:
    errand = Erase(session) if session else EraseUser(user or "")
    report = await run_errand(address, errand)
    return f"Erased {_many(report.count, 'session')}. Backups still have what they had."


async def fork(address: str, beginning: str, at: int | None, *, again: bool) -> str:
    """Fork a session; the new one's id."""
    async with opened(address) as store:
        info = await find_session(store, beginning)
    report = await run_errand(address, Fork(info.id, at, again))
    return report.session


async def collect(address: str, *, hours: float, compact: bool) -> list[str]:
    """Sweep up; what came of it."""
    report = await run_errand(address, Sweep(hours * 3600, compact))
    swept = report.swept
    if swept is None:
        return []
    removed = f"{_many(swept.uploads, 'upload')} that nobody names"
    lines = [
        f"Removed {removed}, {_many(swept.folders, 'folder')} of no session",
        f"Freed by that: {swept.file_bytes:,} bytes",
        f"Dropped {_many(swept.snapshots, 'snapshot')} of closed sessions",
        f"Free in the database for new records: {swept.free:,} bytes",
    ]
    if compact:
        lines.append(f"Given back to the disk: {swept.freed:,} bytes")
    elif swept.free:
        lines.append("  (--compact gives them back to the disk)")
    return lines


async def migrate(address: str) -> list[str]:
    """Bring a store in PostgreSQL to this version; what was done."""
    done = await open_postgres(address).migrate()
    lines = [f"Made version {each.version}: {each.name.replace('_', ' ')}" for each in done]
    return lines or ["Nothing to do: its tables are those of this version."]


async def list_workers(address: str, *, as_json: bool) -> list[str]:
    """A line for each worker that the store knows."""
    store = open_postgres(address, makes=False)
    await store.open()
    try:
        workers = await store.workers()
    finally:
        await store.close()
    if as_json:
        return [msgspec.json.encode(worker).decode() for worker in workers]
    if not workers:
        return ["No workers."]
    lines = [f"{'WORKER':8}  {'WHERE':24}  {'STATE':5}  {'SESSIONS':>8}  {'LIVE':>8}  HEARD    LAG"]
    for worker in workers:
        about = worker.about
        where = one_line(f"{about.get('host', '?')}:{about.get('pid', '?')}", 24)
        state = "alive" if worker.alive else "dead"
        lines.append(
            f"{worker.id[:8]}  {where:24}  {state:5}  {worker.sessions:8,}  "
            f"{about.get('live', 0):>8}  {worker.silent:4.1f} s  {about.get('lag', 0):.3f} s"
        )
    return lines


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
