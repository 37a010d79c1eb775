"""Backups of a store while it is in use: its database, its users' files, its key, in one folder.

The database is copied as it is at one moment, which lies after the call; files are copied after
it, so that every one it names is there: a file is stored before it is said, and never changed.
Knows files and SQLite, no sessions' meaning and no engine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from parlour.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from parlour.stores.address import beside, database_of, place_of
from parlour.stores.sqlite_file import (
    FileLock,
    check_folder,
    check_owner,
    connect_to_read,
    explain,
)

_FORMAT = 1
_PAGES_AT_ONCE = 4096
_DATABASE = "store.db"
_FILES = "files"
_SECRET = "secret"  # noqa: S105 - the name of a file
_KEYS = "keys"
_MANIFEST = "backup.json"


class BackedUp(Struct, frozen=True, kw_only=True):
    """What a backup holds. `at` is in Unix seconds, `size` in bytes."""

    format: int = _FORMAT
    at: float
    sessions: int
    records: int
    files: int
    size: int


def back_up(address: str, target: Path) -> BackedUp:
    """Copy the store at `address` into the new folder `target`, whoever serves it meanwhile.

    There is no `target` unless all of it is there. Raises `StoreError`.
    """
    database = database_of(address)
    if target.exists() or target.is_symlink():
        raise StoreUnavailable(f"{target} is there already; give the name of a new folder")
    draft = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
    with _explained(database):
        draft.mkdir(mode=0o700, parents=True)
        try:
            sessions, records = _copy_database(database, draft / _DATABASE)
            files = _copy_files(beside(database, "files"), draft / _FILES)
            if beside(database, "secret").is_file():
                _copy(beside(database, "secret"), draft / _SECRET)
            if beside(database, "keys").is_file():
                _copy(beside(database, "keys"), draft / _KEYS)
            size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
            told = BackedUp(
                at=time.time(), sessions=sessions, records=records, files=files, size=size
            )
            (draft / _MANIFEST).write_bytes(msgspec.json.encode(told) + b"\n")
            _sync(draft / _MANIFEST)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return told


def restore(backup: Path, address: str) -> BackedUp:
    """Make the store at `address` out of a backup; there must be none yet.

    Raises `StoreError`; then nothing was made.
    """
    database = place_of(address)
    told = _check_backup(backup)
    check_folder(database)
    lock = FileLock(database)
    try:
        files, secret = beside(database, "files"), beside(database, "secret")
        keys = beside(database, "keys")
        wal = database.with_name(f"{database.name}-wal")
        for place in (database, wal, files, secret, keys):
            if place.exists():
                raise StoreUnavailable(
                    f"{place} is there already, and nothing was changed; move it away, or restore "
                    "to another --store"
                )
        made: list[Path] = []
        with _explained(database):
            try:
                if (backup / _FILES).is_dir():
                    made.append(files)
                    _copy_files(backup / _FILES, files)
                if (backup / _SECRET).is_file():
                    made.append(secret)
                    _copy(backup / _SECRET, secret)
                if (backup / _KEYS).is_file():
                    made.append(keys)
                    _copy(backup / _KEYS, keys)
                draft = beside(database, "part")
                made.append(draft)
                _copy(backup / _DATABASE, draft)
                draft.rename(database)
            except BaseException:
                for place in made:
                    _remove(place)
                raise
    finally:
        lock.release()
    return told


def _check_backup(backup: Path) -> BackedUp:
    try:
        told = msgspec.json.decode((backup / _MANIFEST).read_bytes(), type=BackedUp)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreCorrupt(
            f"{backup} is no backup of Parlour's; give the folder that `parlour backup` made"
        ) from error
    if told.format > _FORMAT:
        raise StoreTooNew(f"{backup} was made by a newer Parlour; upgrade this one")
    database = backup / _DATABASE
    with _explained(database), closing(connect_to_read(database.resolve(), settled=True)) as db:
        check_owner(db, database)
    return told


def _copy_database(source: Path, target: Path) -> tuple[int, int]:
    """Copy the database as it is now, read the copy, and count its sessions and records."""
    with closing(connect_to_read(source.resolve())) as read:
        check_owner(read, source)
        # One view of the file for all the steps: else every commit of the owner starts it anew.
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM meta").fetchone()
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(target, isolation_level=None)) as write:
            read.backup(write, pages=_PAGES_AT_ONCE)
    with closing(connect_to_read(target.resolve(), settled=True)) as copy:
        [(found,)] = copy.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise StoreCorrupt(f"{source} is damaged ({found}); restore an older backup")
        sessions, records = copy.execute(
            "SELECT (SELECT count(*) FROM session), (SELECT coalesce(sum(count), 0) FROM chunk)"
        ).fetchone()
    _sync(target)
    return sessions, records


def _copy_files(source: Path, target: Path) -> int:
    """Copy a folder of workspaces, without uploads under way and what is erased meanwhile."""
    count = 0
    target.mkdir(mode=0o700)
    for folder, folders, names in os.walk(source):
        folders[:] = [each for each in folders if not each.endswith(".erased")]
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".part") or path.is_symlink() or not path.is_file():
                continue
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                _copy(path, place)
            except FileNotFoundError:
                continue
            count += 1
    return count


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its mode and times; durable when this returns."""
    shutil.copy2(source, target)
    _sync(target)


def _sync(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """What goes wrong with files and databases, told as a store's failure."""
    try:
        yield
    except StoreError:
        raise
    except sqlite3.Error as error:
        raise explain(error, path) or error from error
    except OSError as error:
        name = error.filename or path
        raise StoreUnavailable(
            f"{name} cannot be copied ({error.strerror}); free space or mend its permissions"
        ) from error
