"""The back office: what an operator's command asks of the server that owns the store.

A server listens on loopback and says where in a file beside the store, with a token that only who
may read that file knows; so `parlour sessions erase` works while it runs. One errand is a line of
JSON, and so is its report. Where nobody serves, the same errand is done on the store itself; on one
that many may use at once always.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from parlour.engine import Engine
from parlour.engine.fork import fork_session
from parlour.engine.importing import import_sessions
from parlour.errors import ParlourError, StoreUnavailable
from parlour.stores.address import (
    beside,
    database_of,
    files_for,
    is_shared,
    open_store,
    place_of,
)
from parlour.stores.files import Files
from parlour.stores.store import Store
from parlour.stores.sweep import GRACE_SECONDS, Swept, erase_session, erase_user, sweep

log = logging.getLogger("parlour.web")

_LINE = 64 * 1024
_CONNECTIONS = 16
_PATIENCE = 5.0


class Erase(Struct, tag=True, frozen=True):
    """Leave nothing of a session."""

    session: str


class EraseUser(Struct, tag=True, frozen=True):
    """Leave nothing of a user."""

    user: str


class Fork(Struct, tag=True, frozen=True):
    """Make a new session out of an old one's past."""

    session: str
    at: int | None = None
    again: bool = False


class Sweep(Struct, tag=True, frozen=True):
    """Remove what is kept for nothing."""

    grace: float = GRACE_SECONDS
    compact: bool = False


class Import(Struct, tag=True, frozen=True):
    """Make sessions of what a zip has, for `user` or whoever they were of."""

    path: str
    user: str | None = None


Errand = Erase | EraseUser | Fork | Sweep | Import


class Report(Struct, omit_defaults=True):
    """What came of an errand: `refused` says why nothing did."""

    refused: str = ""
    count: int = 0
    session: str = ""
    swept: Swept | None = None


class _Letter(Struct):
    token: str
    errand: Errand


class _Door(Struct):
    port: int
    token: str


async def run_errand(address: str, errand: Errand) -> Report:
    """Have the server do it that serves the store at `address`, or do it here if none does.

    Raises `ParlourError`.
    """
    report = None if is_shared(address) else await _ask(place_of(address), errand)
    if report is None:
        if not is_shared(address):
            database_of(address)
        store, files = open_store(address), files_for(address)
        await store.open()
        try:
            return await _do_here(errand, store, files)
        finally:
            await store.close()
    if report.refused:
        raise StoreUnavailable(report.refused)
    return report


async def _ask(database: Path, errand: Errand) -> Report | None:
    """The server's report; None if nobody serves this store."""
    try:
        door = msgspec.json.decode(beside(database, "office").read_bytes(), type=_Door)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=_LINE)
    except (OSError, msgspec.DecodeError):
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            if await reader.readline() != _greeting(door.token):
                return None  # the server has ended, and somebody else has its port by now
    except (OSError, ValueError, TimeoutError):
        return None
    else:
        return await _hand_over(_Letter(door.token, errand), reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _hand_over(
    letter: _Letter, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Report:
    try:
        writer.write(msgspec.json.encode(letter) + b"\n")
        await writer.drain()
        return msgspec.json.decode(await reader.readline(), type=Report)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise StoreUnavailable(
            "the server ended before it said whether it was done; look, then do it again"
        ) from error


def _greeting(token: str) -> bytes:
    """Shows that the server knows the token, without telling it."""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest().encode() + b"\n"


async def _do_here(errand: Errand, store: Store, files: Files) -> Report:
    match errand:
        case Erase():
            found = await erase_session(store, files, errand.session)
            await store.scrub()
            return Report(count=int(found))
        case EraseUser():
            count = await erase_user(store, files, errand.user)
            await store.scrub()
            return Report(count=count)
        case Fork():
            fork = await fork_session(
                store, files, errand.session, now=time.time(), at=errand.at, again=errand.again
            )
            return Report(session=fork.session)
        case Sweep():
            return await _sweep(errand, store, files)
        case Import():
            return await _import(errand, store, files)


async def _sweep(errand: Sweep, store: Store, files: Files) -> Report:
    swept = await sweep(store, files, time.time(), grace=errand.grace, compact=errand.compact)
    return Report(swept=swept)


async def _import(errand: Import, store: Store, files: Files) -> Report:
    made = await import_sessions(store, files, Path(errand.path), now=time.time(), user=errand.user)
    return Report(count=len(made), session=made[0].session)


class Office:
    """Runs errands for those who may read the file beside the store: `async with Office(…)`."""

    def __init__(self, engine: Engine, address: str) -> None:
        self._engine = engine
        self._place = beside(place_of(address), "office")
        self._token = secrets.token_hex(16)
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0, limit=_LINE)
        port: int = self._server.sockets[0].getsockname()[1]
        await asyncio.to_thread(_write, self._place, _Door(port, self._token))
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(OSError):
            self._place.unlink()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            writer.write(_greeting(self._token))
            async with asyncio.timeout(_PATIENCE):
                letter = msgspec.json.decode(await reader.readline(), type=_Letter)
            if not hmac.compare_digest(letter.token.encode(), self._token.encode()):
                return
            async with self._one:
                report = await self._run(letter.errand)
            writer.write(msgspec.json.encode(report) + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError, msgspec.DecodeError):
            return  # not one of ours, or gone
        finally:
            writer.close()

    async def _run(self, errand: Errand) -> Report:
        try:
            return await self._do(errand)
        except ParlourError as error:
            return Report(refused=str(error))
        except Exception:
            log.exception("an errand failed")
            return Report(refused="the server could not do it; its log says why")

    async def _do(self, errand: Errand) -> Report:
        engine = self._engine
        match errand:
            case Erase():
                return Report(count=int(await engine.erase(errand.session)))
            case EraseUser():
                return Report(count=await engine.erase_user(errand.user))
            case Fork():
                fork = await engine.fork(errand.session, at=errand.at, again=errand.again)
                return Report(session=fork.session)
            case Sweep():
                return await _sweep(errand, engine.store, engine.files)
            case Import():
                return await _import(errand, engine.store, engine.files)


def _write(place: Path, door: _Door) -> None:
    """Put the file into place whole, for its owner only."""
    draft = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
            file.write(msgspec.json.encode(door))
        draft.replace(place)
    except OSError as error:
        raise StoreUnavailable(
            f"{place} cannot be written ({error.strerror}); mend the permissions of its folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
