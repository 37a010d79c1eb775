"""Threads in PostgreSQL: lists with branches, what can be found, links."""

from __future__ import annotations

from collections.abc import Sequence

from parlour.stores.postgres.queries import QUERIES, given, kept, searched
from parlour.stores.postgres.rows import info_of, place_of
from parlour.stores.postgres.server import FAILURES, Row, Server
from parlour.stores.store import (
    EXCERPT,
    EXCERPT_BEFORE,
    SEARCHED,
    Branch,
    Cursor,
    Passage,
    Share,
    Thread,
    Unindexed,
)


class PostgresThreads:
    """The part of a store that is `Threads`, on the server of the whole."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def threads(
        self,
        user: str,
        *,
        words: Sequence[str] = (),
        before: Cursor | None = None,
        limit: int = 50,
    ) -> Sequence[Thread]:
        wanted = [searched(word) for word in words]
        rows = await self._ask(
            "threads", kept(user), *place_of(before), limit, wanted, EXCERPT_BEFORE, EXCERPT
        )
        return [
            Thread(id=given(row[8]), info=info_of(list(row)[:8]), excerpt=row[9]) for row in rows
        ]

    async def branches(self, session: str) -> Sequence[Branch]:
        rows = await self._ask("branches", kept(session))
        return [
            Branch(info=info_of(list(row)[:8]), origin=given(row[8]), upto=row[9]) for row in rows
        ]

    async def unindexed(self, user: str, limit: int = 100) -> Sequence[Unindexed]:
        rows = await self._ask("unindexed", kept(user), limit)
        return [
            Unindexed(session=given(id_), after=upto, head=head, title=given(title))
            for id_, upto, head, title in rows
        ]

    async def index(self, passages: Sequence[Passage]) -> None:
        arguments = [
            (
                kept(passage.session),
                passage.after,
                passage.upto,
                searched(passage.title),
                searched(passage.folded),
                searched(passage.text),
                SEARCHED,
            )
            # In one order for all, or two who do the same would wait for each other.
            for passage in sorted(passages, key=lambda passage: (passage.session, passage.after))
        ]
        try:
            async with self._server.connection() as connection:
                await connection.executemany(QUERIES["index"], arguments)
        except FAILURES as error:
            raise self._server.explain(error) or error from error

    async def share(self, share: Share) -> bool:
        made = await self._ask(
            "share", kept(share.session), kept(share.token), share.upto, share.at
        )
        return bool(made)

    async def unshare(self, token: str) -> bool:
        return bool(await self._ask("unshare", kept(token)))

    async def shared(self, token: str) -> Share | None:
        rows = await self._ask("shared", kept(token))
        return _share(rows[0]) if rows else None

    async def shares(self, user: str, limit: int = 1000) -> Sequence[Share]:
        return [_share(row) for row in await self._ask("shares", kept(user), limit)]

    async def _ask(self, query: str, *arguments: object) -> list[Row]:
        return await self._server.fetch(QUERIES[query], *arguments)


def _share(row: Row) -> Share:
    token, session, upto, at = row
    return Share(token=given(token), session=given(session), upto=upto, at=at)
