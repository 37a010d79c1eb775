"""Databases on the PostgreSQL server that is at hand, made for a test and dropped after it.

`PARLOUR_TEST_POSTGRES` names another server than the one on this machine. Where there is none the
tests that need one are skipped; with `CI` set they fail.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Self
from urllib.parse import urlsplit

import pytest

SERVER = os.environ.get("PARLOUR_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres?user=root")


@cache
def why_not() -> str:
    """Why there is no server to test on; empty if there is one."""
    try:
        import asyncpg

        async def look() -> None:
            await (await asyncpg.connect(SERVER, timeout=5)).close()

        asyncio.run(look())
    except (ImportError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        return f"no PostgreSQL at hand: {type(error).__name__}"
    return ""


def needs_postgres() -> None:
    reason = why_not()
    if reason and not os.environ.get("CI"):
        pytest.skip(reason)
    assert not reason, reason


def run_sql(sql: str, address: str = SERVER) -> list[tuple]:
    import asyncpg

    async def go() -> list[tuple]:
        connection = await asyncpg.connect(address, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(go())


def address_of(name: str) -> str:
    return urlsplit(SERVER)._replace(path=f"/{name}").geturl()


@contextmanager
def database() -> Iterator[str]:
    """The address of a new and empty database."""
    needs_postgres()
    name = f"parlour_test_{secrets.token_hex(6)}"
    run_sql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield address_of(name)
    finally:
        run_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Wire:
    """A TCP wire to the server that a test may cut, in the middle of an answer too."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = parts.hostname or "127.0.0.1", parts.port or 5432
        self._parts = parts
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallow_answers = False
        """Cut the wire where an answer would come back: the server has done what was asked."""
        self.swallow_questions = False
        """Cut the wire where a question would go to the server, which does not hear it."""
        self.stall = False
        """Let nothing through, and say nothing."""
        self.refuse = False
        """Hang up on whoever comes."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._parts.username}@" if self._parts.username else ""
        self.address = self._parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        there, here = await asyncio.open_connection(*self._target)
        pair = {writer, here}
        self._writers |= pair
        both = (
            asyncio.ensure_future(self._copy(reader, here, "swallow_questions")),
            asyncio.ensure_future(self._copy(there, writer, "swallow_answers")),
        )
        self._tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for end in pair:
            end.transport.abort()
        self._writers -= pair

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: str
    ) -> None:
        try:
            while data := await reader.read(65536):
                while self.stall:
                    await asyncio.sleep(0.01)
                if getattr(self, swallow):
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            return
