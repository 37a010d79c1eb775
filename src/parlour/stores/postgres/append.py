"""Appends of many sessions as one statement: each is checked by itself, all are durable together.

A connection that is lost in the middle leaves it open whether the statement was carried out. Then
the sessions are looked at by another one: what was written is told as written, and what was not
never will be, because its epoch is used up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

from parlour.errors import StoreError, StoreUnavailable
from parlour.stores.postgres.queries import QUERIES, kept
from parlour.stores.postgres.rows import hour
from parlour.stores.postgres.server import FAILURES, Connection, Row, Server, again, lost
from parlour.stores.sqlite_file import digest
from parlour.stores.store import Append, Appended, Fenced, Outcome, Repeated

_FENCED = Fenced()
_MANY = 1000
_BYTES = 16 * 1024 * 1024
_TRIES = 5
_SETTLE_SECONDS = 5.0

Wave = list[tuple[int, Append]]
"""Appends of different sessions, with their places in the batch."""


async def append_all(server: Server, batch: Sequence[Append]) -> Sequence[Outcome]:
    """Keep a batch in one transaction; one outcome for each. Raises `StoreError`."""
    waves = _waves(batch)
    for _ in range(_TRIES):
        try:
            async with server.connection() as connection:
                return await write(connection, batch, waves)
        except FAILURES as error:
            if lost(error):
                return await _settle(server, batch, error)
            if not again(error):
                raise server.explain(error) or error from error
    raise StoreUnavailable(f"{server.name} is busy with the same sessions; try again")


def _waves(batch: Sequence[Append]) -> list[Wave]:
    """A statement changes a session once, and is of a sensible size."""
    waves: list[Wave] = [[]]
    seen: set[str] = set()
    size = 0
    for place, append in enumerate(batch):
        weight = sum(len(entry.data) for entry in append.entries)
        if append.session in seen or len(seen) >= _MANY or (size and size + weight > _BYTES):
            waves.append([])
            seen.clear()
            size = 0
        waves[-1].append((place, append))
        seen.add(append.session)
        size += weight
    return waves


async def write(
    connection: Connection, batch: Sequence[Append], waves: Sequence[Wave] = ()
) -> Sequence[Outcome]:
    """The same on a connection that is at hand. Raises what the server raises."""
    waves = waves or _waves(batch)
    outcomes: list[Outcome] = [_FENCED] * len(batch)
    if len(waves) == 1 and not any(each.snapshot or each.user_values for each in batch):
        await _write_wave(connection, waves[0], outcomes)
        return outcomes
    async with connection.transaction():
        for wave in waves:
            accepted = await _write_wave(connection, wave, outcomes)
            await _write_rest(connection, accepted)
    return outcomes


async def _write_wave(
    connection: Connection, wave: Wave, outcomes: list[Outcome]
) -> list[tuple[Append, int, str]]:
    """Fill in the outcomes; what was accepted, with the session's key and user."""
    whole = [each for each in wave if not _repeats_itself(each[1])]
    for place, append in wave:
        repeated = _repeats_itself(append)
        if repeated is not None:
            outcomes[place] = repeated
    rows: list[Row] = await connection.fetch(QUERIES["append"], *_arguments(whole))
    number: int
    accepted: list[tuple[Append, int, str]] = []
    for number, key, user, command, first in rows:
        place, append = whole[number - 1]
        if key is not None:
            outcomes[place] = Appended(_last(append))
            accepted.append((append, key, user))
        else:
            outcomes[place] = Repeated(_named(append, command), first)
    return accepted


def _repeats_itself(append: Append) -> Repeated | None:
    if len(append.entries) < 2:  # noqa: PLR2004 - one entry repeats nothing
        return None
    here: set[str] = set()
    for entry in append.entries:
        if entry.command and entry.command in here:
            return Repeated(entry.command, 0)
        if entry.count:
            here.add(entry.command)
    return None


def _named(append: Append, command: int) -> str:
    return next(e.command for e in append.entries if e.command and digest(e.command) == command)


def _last(append: Append) -> int:
    return append.after + sum(entry.count for entry in append.entries)


def _arguments(wave: Wave) -> tuple[list[Any], ...]:
    appends = [append for _, append in wave]
    entries: list[tuple[int, int, int, int | None, bytes]] = []
    lasts: list[int] = []
    for number, append in enumerate(appends, 1):
        seq = append.after + 1
        for entry in append.entries:
            command = digest(entry.command) if entry.command else None
            if entry.count or command is not None:
                entries.append((number, seq, entry.count, command, entry.data))
            seq += entry.count
        lasts.append(seq - 1)
    return (
        [kept(append.session) for append in appends],
        [append.epoch for append in appends],
        [append.after for append in appends],
        lasts,
        [append.at for append in appends],
        [hour(append.at) for append in appends],
        [append.due for append in appends],
        [None if append.title is None else kept(append.title) for append in appends],
        [append.closed for append in appends],
        *map(list, zip(*entries, strict=True) if entries else ([] for _ in range(5))),
    )


async def _write_rest(connection: Connection, accepted: Sequence[tuple[Append, int, str]]) -> None:
    """Snapshots and users' variables, which few appends bring."""
    snapshots = [(key, each.snapshot) for each, key, _ in accepted if each.snapshot is not None]
    if snapshots:
        await connection.execute(
            QUERIES["snapshots"],
            [key for key, _ in snapshots],
            [snapshot.seq for _, snapshot in snapshots],
            [snapshot.data for _, snapshot in snapshots],
        )
    values = list(
        chain.from_iterable([(user, v) for v in each.user_values] for each, _, user in accepted)
    )
    if not values:
        return
    await connection.execute(
        QUERIES["values"],
        [user for user, _ in values],
        [kept(value.name) for _, value in values],
        [value.value for _, value in values],
        [kept(value.kind) for _, value in values],
    )
    deleted = {user for user, value in values if value.value == b"null"}
    if deleted:
        await connection.execute(QUERIES["delete_values"], sorted(deleted))


async def _settle(server: Server, batch: Sequence[Append], error: BaseException) -> list[Outcome]:
    """What became of a batch whose connection was lost; `StoreUnavailable` if nothing did."""
    latest = {append.session: append for append in batch}
    unknown = server.explain(error) or StoreUnavailable(f"{server.name} was lost")
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            heads = await _look(server, list(latest.values()))
    except (TimeoutError, StoreError):
        # Whoever owns the sessions next claims them, which fences what may still be under way.
        raise unknown from error
    if not any(heads.get(a.session, -1) >= _last(a) > a.after for a in latest.values()):
        raise unknown from error
    # All is one transaction. What did not move the head may have been refused: it is told so.
    return [
        Appended(_last(append))
        if heads.get(append.session, -1) >= _last(append) > append.after
        else _FENCED
        for append in batch
    ]


async def _look(server: Server, appends: Sequence[Append]) -> dict[str, int]:
    """How far the logs go of those sessions that still have the epochs they had."""
    arguments = (
        [kept(append.session) for append in appends],
        [append.epoch for append in appends],
        [append.after for append in appends],
        [_last(append) for append in appends],
    )
    while True:
        try:
            rows = await server.fetch(QUERIES["settle"], *arguments)
        except StoreUnavailable:
            await asyncio.sleep(0.1)
        else:
            return {appends[cast("int", number) - 1].session: head for number, head in rows}
