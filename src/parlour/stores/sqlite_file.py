"""The file of a SQLite store: who may open it, whether it is one of ours, what its errors mean.

Knows how to take the lock, how to connect, how to lay out a new file and how values are kept in
it. Does not know sessions.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from hashlib import blake2b
from importlib import resources
from pathlib import Path

from parlour.errors import StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable

APPLICATION = 0x5061726C  # "Parl"
VERSION = 2
BUSY_MILLISECONDS = 5000
_CACHE_KIB = 16 * 1024
_SCHEMAS = ("schema.sql", "schema_2.sql")
"""What makes version 1 of nothing, version 2 of version 1, and so on."""
_OLDEST_SQLITE = (3, 35)
_CURE = {
    sqlite3.SQLITE_BUSY: "another program is writing to it; let it finish or stop it",
    sqlite3.SQLITE_LOCKED: "another program is writing to it; let it finish or stop it",
    sqlite3.SQLITE_READONLY: "it is read-only; mend the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "access is refused; mend the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; mend the permissions of the file and its folder",
    sqlite3.SQLITE_FULL: "the disk is full; free space, then try again",
    sqlite3.SQLITE_IOERR: "the disk reports an error; check the disk and its free space",
    sqlite3.SQLITE_NOMEM: "memory ran out; free memory, then try again",
}


class FileLock:
    """An exclusive lock; the operating system lets go of it however this process ends.

    Raises `StoreUnavailable` if another process, or another store in this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreUnavailable(
                f"{path} cannot be opened ({error.strerror}); mend the permissions of its folder, "
                "or choose another --store"
            ) from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise StoreUnavailable(
                f"{path} is in use by another process{self._holder()}; stop that one, or choose "
                "another --store"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def release(self) -> None:
        # The file stays: removing it could take it from under the next one who locks it.
        os.close(self._descriptor)

    def _holder(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return f" (its id is {int(self._path.read_text())})"
        return ""


if sys.platform == "win32":
    import msvcrt

    # Beyond the process id, so that others can still read that.
    _LOCKED_BYTE = 1 << 20

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_folder(path: Path) -> None:
    """Raise `StoreUnavailable` if there is no folder for the file, or a folder in its place."""
    if not path.parent.is_dir():
        raise StoreUnavailable(
            f"the folder {path.parent} does not exist; make it, or choose another --store"
        )
    if path.is_dir():
        raise StoreUnavailable(f"{path} is a folder; name a file in it as the --store")
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnavailable(
            f"this Python has SQLite {sqlite3.sqlite_version}, and Parlour needs 3.35 or newer; "
            "use a newer Python, or another store"
        )


def distrust_cache(path: Path) -> None:
    """Have the newest transactions read from the disk and not from memory.

    Linux keeps what it could not write in its cache, as if it had been written. A process that
    died of that would find its lost transactions there, and SQLite would write new ones behind
    them, which nobody could read when the cache is gone. What was committed is on the disk.
    """
    try:
        descriptor = os.open(f"{path}-wal", os.O_RDWR)
    except OSError:
        return
    try:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def connect(path: Path, *, writes: bool, shared: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; one that is `shared` may be handed between threads."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_MILLISECONDS / 1000,
        isolation_level=None,
        cached_statements=256,
        check_same_thread=not shared,
    )
    try:
        if writes:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            # Whoever writes checkpoints when it is least in the way; this is for what is not
            # foreseen: in pages.
            connection.execute("PRAGMA wal_autocheckpoint = 16000")
        else:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, *, settled: bool = False) -> sqlite3.Connection:
    """A connection to a file that others may write; `settled` promises that nobody does.

    It may be handed between threads. Raises `StoreUnavailable` if there is no such file.
    """
    if not path.is_file():
        raise StoreUnavailable(f"there is no store {path}; give the --store of one")
    try:
        return sqlite3.connect(
            f"{path.as_uri()}?mode=ro{'&immutable=1' if settled else ''}",
            uri=True,
            timeout=BUSY_MILLISECONDS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise explain(error, path) or error from error


def prepare(connection: sqlite3.Connection, path: Path) -> int:
    """Lay out a new file or check an old one; settle it; give this opening's generation."""
    check_owner(connection, path, empty=True)
    mode = str(_value(connection, "PRAGMA journal_mode = WAL"))
    if mode != "wal":
        raise StoreUnavailable(
            f"{path} lies on a file system without the locks that SQLite needs; put it on a "
            "local disk"
        )
    for name in _SCHEMAS[_value(connection, "PRAGMA user_version") :]:
        schema = resources.files("parlour.stores").joinpath(name).read_text("utf-8")
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{schema}\n"
            f"PRAGMA application_id = {APPLICATION};"
            f" PRAGMA user_version = {_SCHEMAS.index(name) + 1}; COMMIT;"
        )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "UPDATE meta SET value = max(value, (SELECT coalesce(max(id), 0) FROM chunk))"
        " WHERE name = 'settled'"
    )
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
    generation = _value(connection, "SELECT value FROM meta WHERE name = 'generation'")
    connection.execute("COMMIT")
    return generation


def check_owner(connection: sqlite3.Connection, path: Path, *, empty: bool = False) -> None:
    """Raise `StoreCorrupt` or `StoreTooNew` for a file that is not ours to read.

    One that has nothing in it yet will do where it may be `empty`.
    """
    application = _value(connection, "PRAGMA application_id")
    version = _value(connection, "PRAGMA user_version")
    bare = application == version == _value(connection, "SELECT count(*) FROM sqlite_master") == 0
    if application != APPLICATION and not (empty and bare):
        raise StoreCorrupt(
            f"{path} is a database of some other program and was not touched; choose another "
            "--store"
        )
    if version > VERSION:
        raise StoreTooNew(
            f"{path} was written by a newer Parlour (its format is {version}, this one knows "
            f"{VERSION}); upgrade Parlour, or choose another --store"
        )


def explain(error: sqlite3.Error, path: Path) -> StoreError | None:
    """What SQLite's error means for whoever runs the store; None if it is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreCorrupt(
            f"{path} is damaged or no Parlour store ({error}); restore a backup, or choose another "
            "--store"
        )
    cure = _CURE.get(code)
    return None if cure is None else StoreUnavailable(f"{path} cannot be used ({error}): {cure}")


def digest(command: str) -> int:
    """The 64 bits by which the file knows a command of a session."""
    try:
        data = command.encode()
    except UnicodeEncodeError:
        data = command.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def milliseconds(at: float) -> int:
    """A time as the file keeps it."""
    return int(at * 1000 + 0.5)


def _value(connection: sqlite3.Connection, sql: str) -> int:
    row: tuple[int] = connection.execute(sql).fetchone()
    return row[0]
