"""From the address of a store, as on a command line, to the store and what lies beside it.

The address is all that is known here; nothing is opened and no folder is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from parlour.errors import BadSettings, StoreCorrupt, StoreUnavailable
from parlour.stores.files import Files
from parlour.stores.keys import Keys
from parlour.stores.memory import MemoryStore
from parlour.stores.store import Reading, Store

if TYPE_CHECKING:
    from parlour.stores.postgres import PostgresStore

_SECRET_BYTES = 32
_FILES = "PARLOUR_FILES"
_KEY = "PARLOUR_API_KEY"


def open_store(address: str) -> Store:
    """The store at `address`: of SQLite, of PostgreSQL, or in memory.

    `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user:password@host/database`,
    `memory:`. It is still to be opened. Raises `BadSettings` for an address of another form.
    """
    if is_shared(address):
        return open_postgres(address)
    path = _path(address)
    if path is None:
        return MemoryStore()
    from parlour.stores.sqlite import SqliteStore

    return SqliteStore(path)


def open_reader(address: str) -> Reading:
    """The store at `address` for those who only look, while another process may serve it.

    It is still to be opened. Raises `BadSettings` and `StoreUnavailable`; makes nothing.
    """
    if is_shared(address):
        return open_postgres(address, makes=False)
    path = database_of(address)
    from parlour.stores.sqlite_reader import SqliteReader

    return SqliteReader(path)


def is_shared(address: str) -> bool:
    """Whether many processes may serve the store at `address` at once."""
    return address.partition(":")[0] in {"postgresql", "postgres"}


def open_postgres(address: str, *, makes: bool = True) -> PostgresStore:
    """The store in PostgreSQL, still to be opened; it `makes` its tables where there are none.

    Raises `BadSettings` for another address, and where a package is missing.
    """
    if not is_shared(address):
        raise BadSettings(
            f"{_kind(address)} is no address of PostgreSQL; write "
            "postgresql://user:password@host/database"
        )
    from parlour.stores.postgres import PostgresStore

    return PostgresStore(address, makes=makes)


def database_of(address: str) -> Path:
    """The file of a store that is there. Raises `BadSettings` and `StoreUnavailable`."""
    path = place_of(address)
    if not path.exists():
        raise StoreUnavailable(
            f"there is no store {path}; `parlour run` and `parlour chat` make one, or give its "
            "--store"
        )
    return path


def place_of(address: str) -> Path:
    """Where a store has its file, or would have it. Raises `BadSettings` if it has none."""
    if is_shared(address):
        raise BadSettings(
            "a store in PostgreSQL is no file; back it up and restore it with pg_dump and "
            "pg_restore, and copy its folder of files"
        )
    path = _path(address)
    if path is None:
        raise BadSettings("a store in memory ends with its process; give the --store of a file")
    return path


def beside(path: Path, kind: str) -> Path:
    """What belongs to the database at `path` and lies beside it: its files, its secret."""
    return path.with_name(f"{path.name}.{kind}")


def files_for(address: str) -> Files:
    """The users' files that belong to a store: beside the database, temporary for `memory:`.

    Those of a store in PostgreSQL are in the folder that `PARLOUR_FILES` names, which all workers
    share, or in `parlour.files`.
    """
    if is_shared(address):
        return Files(Path(os.environ.get(_FILES) or "parlour.files").absolute())
    path = _path(address)
    return Files() if path is None else Files(beside(path, "files"))


def keys_for(address: str) -> Keys:
    """The API keys of a store: beside the database, or among the files that all workers share.

    `PARLOUR_API_KEY` is another one, and the only one of a store in memory. Raises `BadSettings`.
    """
    given = os.environ.get(_KEY, "")
    if is_shared(address):
        return Keys(files_for(address).root / "keys", given)
    path = _path(address)
    return Keys(None if path is None else beside(path, "keys"), given)


def secret_for(address: str) -> bytes:
    """The key with which a store's deployment signs: made at the first call, the same ever after.

    Two processes that start together get the same one. For `memory:` each call makes a new one.
    That of a store in PostgreSQL is kept in the database.
    """
    if is_shared(address):
        # The caller may be in an event loop, which this one must not disturb.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _secret_in(open_postgres(address))).result()
    path = _path(address)
    if path is None:
        return secrets.token_bytes(_SECRET_BYTES)
    place = beside(path, "secret")
    try:
        if not place.exists():
            _make_secret(place)
        secret = place.read_bytes()
    except OSError as error:
        raise StoreUnavailable(
            f"the key {place} cannot be read or made ({error.strerror}); make its folder or mend "
            "the permissions, or choose another --store"
        ) from error
    if len(secret) != _SECRET_BYTES:
        raise StoreCorrupt(
            f"the key {place} is damaged; restore it, or remove it, and all users sign in again"
        )
    return secret


def _path(address: str) -> Path | None:
    """Where the database is; None for a store in memory."""
    scheme, colon, rest = address.partition(":")
    match scheme:
        case "memory" if colon and not rest.strip("/"):
            return None
        case "sqlite" if rest.startswith("///") and rest[3:] not in {"", "/", ":memory:"}:
            return Path(unquote(rest[3:])).expanduser()
        case "sqlite":
            raise BadSettings(
                f"{address!r} names no file; write sqlite:///name.db for one in this folder, "
                "sqlite:////folder/name.db for one elsewhere, or memory: to keep nothing"
            )
        case _:
            raise BadSettings(
                f"{_kind(address)} is no store's address; write sqlite:///parlour.db, "
                "postgresql://user:password@host/database or memory:"
            )


def _kind(address: str) -> str:
    """An address as it may be shown: one of a server may hold a password."""
    scheme, slashes, _ = address.partition("://")
    return repr(f"{scheme}://…" if slashes and "@" in address else address)


async def _secret_in(store: PostgresStore) -> bytes:
    await store.open()
    try:
        return await store.secret()
    finally:
        await store.close()


def _make_secret(place: Path) -> None:
    """Put a whole key into place, or leave the one that somebody else put there meanwhile."""
    draft = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            _move(draft, place)
    finally:
        draft.unlink(missing_ok=True)


def _move(draft: Path, place: Path) -> None:
    """Give the file its name unless the name is taken (`FileExistsError`)."""
    if os.name == "nt":
        draft.rename(place)
    else:
        # A rename would replace a key that somebody may have read by now.
        place.hardlink_to(draft)
