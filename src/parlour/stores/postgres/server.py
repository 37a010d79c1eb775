"""Connections to a PostgreSQL server, and what its errors mean for whoever runs the store.

Knows no sessions and no tables. Passwords of the address are never shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from parlour.errors import BadSettings, StoreCorrupt, StoreError, StoreUnavailable

try:
    import asyncpg  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ImportError as missing:
    raise BadSettings(
        "a store in PostgreSQL needs one more package: pip install 'parlour[postgres]'"
    ) from missing

log = logging.getLogger("parlour.stores")

Row = Any
"""A row of a result: a sequence of values."""
Connection = Any
"""An asyncpg connection, or the pool's stand-in for one."""

_CONNECTIONS = 8
_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 20.0
_OLDEST = 13
_SETTINGS = {
    "application_name": "parlour",
    # Each table is found by its indexes, however little the planner knows of its size yet.
    "enable_seqscan": "off",
    "jit": "off",
    "idle_in_transaction_session_timeout": "30000",
}
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""What leaves it open whether a statement was carried out."""
_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
"""What a second try settles: somebody else was there a moment before."""
FAILURES = (*_LOST, asyncpg.PostgresError)
"""Everything that a call to the server may raise."""


class Server:
    """A few connections to the database at `address`, made when they are needed."""

    def __init__(self, address: str, *, seconds: float = _STATEMENT_SECONDS) -> None:
        self._address = address
        self._seconds = seconds
        self._pool: Any = None
        self.name = shown(address)

    async def open(self) -> None:
        """Connect, and check that the server can be written. Raises `StoreUnavailable`."""
        try:
            pool: Any = asyncpg
            self._pool = await pool.create_pool(
                self._address,
                min_size=0,
                max_size=_CONNECTIONS,
                timeout=_CONNECT_SECONDS,
                command_timeout=self._seconds,
                max_inactive_connection_lifetime=300.0,
                reset=_leave_as_it_is,
                server_settings=_SETTINGS,
            )
            async with self.connection() as connection:
                await self._check(connection)
        except (*FAILURES, ValueError) as error:
            await self.close()
            raise self.explain(error) or error from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await pool.close()
        except (TimeoutError, *FAILURES):
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection for a while. Raises what the server raises; `explain` tells what it means.

        One that is cancelled in the middle of something is not used again.
        """
        self.check_open()
        try:
            async with self._pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                yield connection
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The driver cancels what waits for a connection that it loses; nobody cancelled us.
            raise ConnectionResetError("the connection was lost") from None

    def check_open(self) -> None:
        """Raises `StoreUnavailable` unless it is."""
        if self._pool is None:
            raise StoreUnavailable(f"{self.name} is not open; call `await store.open()` first")

    async def fetch(self, statement: str, *arguments: object) -> list[Row]:
        """The rows of a statement. Raises `StoreError`."""
        try:
            async with self.connection() as connection:
                rows: list[Row] = await connection.fetch(statement, *arguments)
                return rows
        except FAILURES as error:
            raise self.explain(error) or error from error

    def explain(self, error: BaseException) -> StoreError | None:
        """What an error means for whoever runs the store; None if it is a mistake of ours."""
        match error:
            case StoreError():
                return error
            case ValueError() if not isinstance(error, asyncpg.PostgresError | UnicodeError):
                return StoreUnavailable(f"{self.name} is no address of a database; mend it")
            case asyncpg.DataCorruptedError() | asyncpg.IndexCorruptedError():
                return StoreCorrupt(f"{self.name} is damaged ({_said(error)}); restore a backup")
            case _:
                cure = _cure(error)
                return None if cure is None else StoreUnavailable(f"{self.name} {cure}")

    async def _check(self, connection: Connection) -> None:
        version = connection.get_server_version().major
        if version < _OLDEST:
            raise StoreUnavailable(
                f"{self.name} is PostgreSQL {version}, and Parlour needs {_OLDEST} or newer"
            )
        replica, durable, safe, encoding = await connection.fetchrow(
            "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,"
            " current_setting('synchronous_commit') <> 'off',"
            " current_setting('fsync')::bool, current_setting('server_encoding')"
        )
        if replica:
            raise StoreUnavailable(f"{self.name} {_REPLICA}")
        if encoding != "UTF8":
            raise StoreUnavailable(
                f"{self.name} has the encoding {encoding}; make a database with ENCODING 'UTF8'"
            )
        if not (durable and safe):
            log.warning(
                "%s runs with synchronous_commit or fsync off: a crash of its machine may lose "
                "messages that were acknowledged; turn them on",
                self.name,
            )


async def connect(address: str, seconds: float, **settings: str) -> Connection:
    """One connection by itself, whose statements may take so long. Raises what asyncpg raises."""
    driver: Any = asyncpg
    return await driver.connect(
        address,
        timeout=seconds,
        command_timeout=seconds,
        server_settings={"application_name": "parlour", **settings},
    )


def lost(error: BaseException) -> bool:
    """Whether it is unknown what became of the statement."""
    return isinstance(error, _LOST)


def again(error: BaseException) -> bool:
    """Whether the same statement may well succeed now."""
    return isinstance(error, _AGAIN)


def shown(address: str) -> str:
    """An address as it may be shown: without password and options."""
    parts = urlsplit(address)
    place = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["localhost"])[0]
    return f"postgresql://{place}{parts.path}"


def _cure(error: BaseException) -> str | None:
    """What is the matter with the server and what helps, after its name."""
    for kinds, cure in _CURES:
        if isinstance(error, kinds):
            return cure.format(_said(error))
    return None


_REPLICA = "is a read-only replica; give the address of the primary server"
# The first that fits; what was lost comes last, because some of the others are losses too.
_CURES: tuple[tuple[Any, str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "does not let us in; check the user and the password of the address",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "does not exist; make the database with `createdb`, or mend the address",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "refuses that ({}); grant it, or connect as the database's owner",
    ),
    (asyncpg.ReadOnlySQLTransactionError, _REPLICA),
    (asyncpg.DiskFullError, "has a full disk; free space there, then try again"),
    (
        asyncpg.TooManyConnectionsError,
        "has no connection left; raise its max_connections, or run fewer workers",
    ),
    (asyncpg.CannotConnectNowError, "is not ready ({}); it will be in a moment"),
    (
        (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError),
        "has lost tables of Parlour's; restore a backup",
    ),
    (
        (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError),
        "cannot go on ({}); mend the server, then try again",
    ),
    (
        (asyncpg.DeadlockDetectedError, asyncpg.SerializationError),
        "is busy with the same sessions; try again",
    ),
    (
        (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError),
        "took too long ({}); look at what else it does",
    ),
    (_LOST, "cannot be reached ({}); start it, or mend the address"),
)


def _said(error: BaseException) -> str:
    """What went wrong in a few words; never what was sent."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error).partition("\n")[0][:200]
    if isinstance(error, OSError) and error.strerror and not isinstance(error, TimeoutError):
        return error.strerror
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


async def _leave_as_it_is(_: Connection) -> None:
    """Nothing here changes a connection, so nothing needs to be put back."""
