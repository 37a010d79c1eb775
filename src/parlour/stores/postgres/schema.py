"""The tables: migrations forward only, each a `.sql` file, and whether this Parlour fits them.

Many workers may start at once; one of them migrates. A migration says the oldest Parlour that may
go on while it is there (`-- oldest: N`), so that workers can be replaced one after another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

from msgspec import Struct

from parlour.errors import StoreTooNew, StoreUnavailable
from parlour.stores.postgres.server import FAILURES, Connection, Server

_LOCK = 0x5061726C  # "Parl"
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_OLDEST = re.compile(r"^-- oldest: (\d+)$", re.MULTILINE)
_TABLE = """
CREATE SCHEMA IF NOT EXISTS parlour;
CREATE TABLE IF NOT EXISTS parlour.migration (
  version integer PRIMARY KEY,
  name text NOT NULL,
  oldest integer NOT NULL,
  applied timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


class Migration(Struct, frozen=True):
    """A step from the version before; `oldest` is that of the code that may run after it."""

    version: int
    name: str
    oldest: int
    sql: str


def migrations() -> Sequence[Migration]:
    """All that this Parlour knows, in order."""
    found: list[Migration] = []
    for file in resources.files("parlour.stores.postgres").joinpath("migrations").iterdir():
        named = _FILE.fullmatch(file.name)
        if named is not None:
            sql = file.read_text("utf-8")
            oldest = _OLDEST.search(sql)
            assert oldest is not None, f"{file.name} does not say how old a Parlour may be"
            found.append(Migration(int(named[1]), named[2], int(oldest[1]), sql))
    return sorted(found, key=lambda migration: migration.version)


VERSION = migrations()[-1].version


async def check(server: Server, *, makes: bool) -> None:
    """See that the tables fit; those of an empty database are made, if this `makes` any.

    Raises `StoreUnavailable` if they are too old, `StoreTooNew` if they are too new.
    """
    try:
        async with server.connection() as connection:
            version, oldest = await _version(connection)
    except FAILURES as error:
        raise server.explain(error) or error from error
    if not version and not makes:
        raise StoreUnavailable(
            f"{server.name} holds no conversations yet; `parlour run` makes its tables, or mend "
            "the --store"
        )
    if not version:
        await migrate(server)
    elif version < VERSION:
        raise StoreUnavailable(
            f"{server.name} was made by an older Parlour (its tables have version {version}, this "
            f"one needs {VERSION}); run `parlour migrate`, while the workers run if you like"
        )
    elif oldest > VERSION:
        raise _too_new(server, version)


async def migrate(server: Server) -> Sequence[Migration]:
    """Bring the tables to this Parlour's version; the steps that were taken.

    Each step is one transaction. Raises `StoreError`.
    """
    done: list[Migration] = []
    try:
        async with server.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=None)
            try:
                await connection.execute(_TABLE)
                version, oldest = await _version(connection)
                if oldest > VERSION:
                    raise _too_new(server, version)
                for migration in migrations():
                    if migration.version > version:
                        await _apply(connection, migration)
                        done.append(migration)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    except FAILURES as error:
        raise server.explain(error) or error from error
    return done


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=None)
        await connection.execute(
            "INSERT INTO parlour.migration (version, name, oldest) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.oldest,
        )


async def _version(connection: Connection) -> tuple[int, int]:
    """The newest migration, and the oldest code that may run with it; zeros where nothing is."""
    if not await connection.fetchval("SELECT to_regclass('parlour.migration') IS NOT NULL"):
        return 0, 0
    version, oldest = await connection.fetchrow(
        "SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM parlour.migration"
    )
    return version, oldest


def _too_new(server: Server, version: int) -> StoreTooNew:
    return StoreTooNew(
        f"{server.name} was made by a newer Parlour (its tables have version {version}, this one "
        f"knows {VERSION}); upgrade Parlour, or give another --store"
    )
