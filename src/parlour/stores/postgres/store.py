"""The store of many workers: every method is one statement, or one short transaction.

Appends, posts and releases gather while the ones before are written (`batches`). A session belongs
to the worker that claimed it last, for as long as that worker's heart beats by the server's clock.
Knows no events, no engine and no bus.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import chain

import msgspec

from parlour.errors import StoreError, StoreUnavailable
from parlour.events import encode_chunk, split_chunk
from parlour.stores.postgres import schema
from parlour.stores.postgres.append import append_all, write
from parlour.stores.postgres.batches import Gatherer
from parlour.stores.postgres.queries import QUERIES, given, kept
from parlour.stores.postgres.rows import claim_of, hour, info_of, place_of, value_of
from parlour.stores.postgres.server import FAILURES, Connection, Server
from parlour.stores.postgres.threads import PostgresThreads
from parlour.stores.shared import Beat, Elsewhere, Place, Verdict, Worker
from parlour.stores.sqlite_file import digest
from parlour.stores.store import (
    PAGE_BYTES,
    Append,
    Appended,
    Chunk,
    Claim,
    Cursor,
    Outcome,
    Posted,
    PostedCommand,
    Reclaimed,
    SessionInfo,
    UserValue,
)

_SECRET_BYTES = 32
_MANY = 1000
_MOST_SEQ = 2**53
_Post = tuple[str, str, bytes]
_PostResult = tuple[Posted, str | None] | None


class PostgresStore(PostgresThreads):
    """Logs in the database at `address`, `postgresql://user:password@host/name`.

    `seconds` bounds a statement: a server that answers later counts as lost. An empty database is
    given its tables, if this `makes` any.
    """

    def __init__(self, address: str, *, seconds: float = 20.0, makes: bool = True) -> None:
        self._makes = makes
        super().__init__(Server(address, seconds=seconds))
        self._worker: str | None = None
        self._appends: Gatherer[Sequence[Append], Sequence[Outcome]] = Gatherer(self._append, _MANY)
        self._posts: Gatherer[_Post, _PostResult] = Gatherer(self._post, _MANY)
        self._releases: Gatherer[tuple[str, int], None] = Gatherer(self._release, _MANY)

    async def open(self) -> None:
        await self._server.open()
        try:
            await schema.check(self._server, makes=self._makes)
        except BaseException:
            await self._server.close()
            raise

    async def close(self) -> None:
        for gatherer in (self._appends, self._posts, self._releases):
            await gatherer.finish()
        await self._server.close()

    async def migrate(self) -> Sequence[schema.Migration]:
        """Bring the tables to this version instead of opening; what was done.

        Raises `StoreError`.
        """
        await self._server.open()
        try:
            return await schema.migrate(self._server)
        finally:
            await self._server.close()

    # -- owners -----------------------------------------------------------------------------

    async def create(self, session: str, user: str, at: float) -> Claim | None:
        rows = await self._ask("create", kept(session), kept(user), at, hour(at), self._worker)
        return Claim(epoch=rows[0][0], head=0, user=user, created=at) if rows else None

    async def claim(self, session: str) -> Claim | None:
        rows = await self._ask("claim", kept(session), self._worker, True)  # noqa: FBT003
        return claim_of(rows[0]) if rows else None

    async def release(self, session: str, epoch: int) -> None:
        await self._releases.do((session, epoch))

    async def append(self, batch: Sequence[Append]) -> Sequence[Outcome]:
        return await self._appends.do(batch) if batch else []

    async def post(self, session: str, command: str, data: bytes) -> Posted | None:
        found = await self._posts.do((session, command, data))
        return None if found is None else found[0]

    # -- reading ----------------------------------------------------------------------------

    async def inbox(self, session: str) -> Sequence[PostedCommand]:
        rows = await self._ask("inbox", kept(session))
        return [PostedCommand(given(command), data) for command, data in rows]

    async def outcome(self, session: str, command: str) -> int | None:
        rows = await self._ask("outcome", kept(session), digest(command))
        return rows[0][0] if rows else None

    async def read(
        self, session: str, after: int, limit: int = 1000, *, limit_bytes: int = PAGE_BYTES
    ) -> Sequence[Chunk]:
        place, most = min(max(0, after), _MOST_SEQ), min(limit, _MOST_SEQ)
        rows = await self._ask("read", kept(session), place, most, min(limit_bytes, _MOST_SEQ))
        return [Chunk(*row) for row in rows]

    async def find(self, session: str) -> SessionInfo | None:
        rows = await self._ask("find", kept(session))
        return info_of(rows[0]) if rows else None

    async def sessions(
        self, user: str | None = None, *, before: Cursor | None = None, limit: int = 50
    ) -> Sequence[SessionInfo]:
        place = place_of(before)
        if user is None:
            rows = await self._ask("sessions", *place, limit)
        else:
            rows = await self._ask("sessions_of_user", kept(user), *place, limit)
        return [info_of(row) for row in rows]

    async def count(self, user: str) -> int:
        [(count,)] = await self._ask("count", kept(user))
        return int(count)

    async def due(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        rows = await self._ask("due", before, limit)
        return [(given(session), due) for session, due in rows]

    async def idle(self, before: float, limit: int = 1000) -> Sequence[str]:
        rows = await self._ask("idle", hour(before), before, limit)
        return [given(session) for (session,) in rows]

    async def ended(self, before: float, limit: int = 1000) -> Sequence[str]:
        rows = await self._ask("ended", hour(before), before, limit)
        return [given(session) for (session,) in rows]

    async def user_value(self, user: str, name: str) -> UserValue | None:
        rows = await self._ask("user_value", kept(user), kept(name))
        return value_of(rows[0]) if rows else None

    async def user_values(self, user: str) -> Sequence[UserValue]:
        return [value_of(row) for row in await self._ask("user_values", kept(user))]

    # -- copies and ends --------------------------------------------------------------------

    async def fork(
        self, session: str, upto: int, append: Append, *, branch: bool = False
    ) -> Claim | None:
        try:
            async with self._server.connection() as connection, connection.transaction():
                return await self._fork(connection, session, upto, append, branch=branch)
        except FAILURES as error:
            raise self._server.explain(error) or error from error

    async def _fork(
        self, connection: Connection, session: str, upto: int, append: Append, *, branch: bool
    ) -> Claim | None:
        source = await connection.fetchrow(QUERIES["source_of_fork"], kept(session), upto)
        if source is None:
            return None
        key, user, title, thread = source
        at, new = append.at, kept(append.session)
        place = (thread, kept(session), upto) if branch else (new, "", 0)
        made = await connection.fetchrow(
            QUERIES["copy_session"],
            *(new, user, at, hour(at), upto, title, self._worker, *place),
        )
        if made is None:
            return None
        copy, epoch = made
        await connection.execute(QUERIES["copy_chunks"], key, copy, upto)
        await _cut(connection, copy, upto)
        mine = msgspec.structs.replace(append, epoch=epoch, after=upto)
        [outcome] = await write(connection, [mine])
        head = outcome.last if isinstance(outcome, Appended) else upto
        return Claim(epoch=epoch, head=head, user=given(user), created=at, due=append.due)

    async def erase(self, session: str) -> bool:
        try:
            async with self._server.connection() as connection, connection.transaction():
                key = await connection.fetchval(QUERIES["lock_to_erase"], kept(session))
                if key is not None:
                    await connection.execute(QUERIES["erase"], key)
                return key is not None
        except FAILURES as error:
            raise self._server.explain(error) or error from error

    async def erase_user(self, user: str) -> int:
        [(count,)] = await self._ask("erase_user", kept(user))
        return int(count)

    async def scrub(self) -> None:
        """Nothing more to do here: the server's own vacuum clears away what was deleted."""
        self._server.check_open()

    async def reclaim(self, *, compact: bool = False) -> Reclaimed:
        [(dropped,)] = await self._ask("drop_snapshots")
        if not compact:
            return Reclaimed(snapshots=dropped)
        [(before,)] = await self._ask("size")
        try:
            async with self._server.connection() as connection:
                for table in ("chunk", "session", "snapshot", "inbox", "user_value"):
                    await connection.execute(f"VACUUM FULL parlour.{table}", timeout=86_400)
        except FAILURES as error:
            raise self._server.explain(error) or error from error
        [(after,)] = await self._ask("size")
        return Reclaimed(freed=max(0, before - after), snapshots=dropped)

    async def secret(self) -> bytes:
        """The key of this deployment: the first who asks makes it, all get the same."""
        [(secret,)] = await self._ask("secret", secrets.token_bytes(_SECRET_BYTES))
        return bytes(secret)

    # -- workers ----------------------------------------------------------------------------

    async def beat(self, worker: str, lease: float, about: dict[str, object]) -> Beat:
        told = msgspec.json.encode(about).decode()
        [(now, silent)] = await self._ask("beat", worker, lease, told)
        self._worker = worker
        return Beat(now, silent)

    async def leave(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await self._ask("leave", worker)

    async def workers(self) -> Sequence[Worker]:
        return [
            Worker(
                id=id_,
                silent=silent,
                lease=lease,
                started=started,
                sessions=sessions,
                about=msgspec.json.decode(about, type=dict[str, object]),
            )
            for id_, silent, lease, started, about, sessions in await self._ask("workers")
        ]

    async def living(self) -> Sequence[str]:
        return [id_ for (id_,) in await self._ask("living")]

    async def take(self, session: str) -> Claim | Elsewhere | None:
        rows = await self._ask("claim", kept(session), self._worker, False)  # noqa: FBT003
        if not rows:
            return None
        epoch, worker = rows[0][0], rows[0][9]
        return Elsewhere(worker or "") if epoch is None else claim_of(rows[0])

    async def adopt(self, limit: int) -> Sequence[tuple[str, Claim]]:
        rows = await self._ask("adopt", self._worker, limit)
        return [(given(row[9]), claim_of(row)) for row in rows]

    async def due_free(self, before: float, limit: int = 1000) -> Sequence[tuple[str, float]]:
        rows = await self._ask("due_free", before, limit, self._worker)
        return [(given(session), due) for session, due in rows]

    async def places(self, sessions: Sequence[str]) -> dict[str, Place]:
        rows = await self._ask("places", [kept(session) for session in sessions])
        return {given(session): Place(head, worker) for session, head, worker in rows}

    async def owned(self) -> dict[str, int]:
        return {given(id_): epoch for id_, epoch in await self._ask("owned", self._worker)}

    async def posted(self) -> Sequence[str]:
        return [given(session) for (session,) in await self._ask("posted", self._worker)]

    async def post_for(
        self, session: str, command: str, data: bytes
    ) -> tuple[Posted, str | None] | None:
        return await self._posts.do((session, command, data))

    async def refuse(self, session: str, command: str, refusal: bytes) -> None:
        await self._ask("refuse", kept(session), digest(command), refusal)

    async def verdicts(self, commands: Sequence[tuple[str, str]]) -> Sequence[Verdict]:
        sessions = [kept(session) for session, _ in commands]
        found = [Verdict() for _ in commands]
        rows = await self._ask("verdicts", sessions, [digest(command) for _, command in commands])
        for number, seq, refusal, waits in rows:
            found[number - 1] = Verdict(seq, refusal, waits)
        return found

    async def tidy(self) -> None:
        await self._ask("forget_refusals")
        await self._ask("bury")

    # -- batches ----------------------------------------------------------------------------

    async def _append(
        self, jobs: Sequence[Sequence[Append]]
    ) -> Sequence[Sequence[Outcome] | Exception]:
        try:
            outcomes = list(await append_all(self._server, [*chain.from_iterable(jobs)]))
        except StoreUnavailable:
            raise
        except (StoreError, *FAILURES, OverflowError, UnicodeError):
            if len(jobs) == 1:
                raise
            # One of them is at fault; the others are kept.
            return [await self._alone(job) for job in jobs]
        found: list[Sequence[Outcome]] = []
        for job in jobs:
            found.append(outcomes[: len(job)])
            del outcomes[: len(job)]
        return found

    async def _alone(self, job: Sequence[Append]) -> Sequence[Outcome] | Exception:
        try:
            return await append_all(self._server, job)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            return error

    async def _post(self, posts: Sequence[_Post]) -> Sequence[_PostResult]:
        rows = await self._ask(
            "post",
            [kept(session) for session, _, _ in posts],
            [digest(command) for _, command, _ in posts],
            [kept(command) for _, command, _ in posts],
            [data for _, _, data in posts],
        )
        found: list[_PostResult] = [None] * len(posts)
        told: set[tuple[str, str]] = set()
        number: int
        for number, fresh, seq, owner in rows:
            session, command, _ = posts[number - 1]
            first = (session, command) not in told
            told.add((session, command))
            found[number - 1] = Posted(fresh=fresh and first, seq=seq), owner
        return found

    async def _release(self, released: Sequence[tuple[str, int]]) -> Sequence[None]:
        sessions = [kept(session) for session, _ in released]
        await self._ask("release", sessions, [epoch for _, epoch in released])
        return [None] * len(released)


async def _cut(connection: Connection, key: int, upto: int) -> None:
    """Take the records after `upto` out of the last chunk."""
    row = await connection.fetchrow(QUERIES["last_chunk"], key)
    if row is not None and row[0] + row[1] - 1 > upto:
        first, _, data = row
        count = upto + 1 - first
        less = encode_chunk(map(bytes, split_chunk(data)[:count]))
        await connection.execute(QUERIES["cut_chunk"], key, first, count, less)
