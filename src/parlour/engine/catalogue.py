"""A user's conversations: listed, searched, named, deleted and shared.

Nothing of it is kept up while a conversation goes on: what a list shows is read when somebody looks
(design/0012). A *thread* is a conversation with all its branches.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakValueDictionary

from msgspec import Struct

from parlour.engine.branching import branch_here
from parlour.engine.outcome import Accepted
from parlour.engine.standing import Standing, read_standing
from parlour.engine.wording import fold_text, said_in, words_of
from parlour.errors import Refused, StoreError
from parlour.events import Rename
from parlour.stores.store import (
    SEARCHED,
    Branch,
    Cursor,
    Passage,
    SessionInfo,
    Share,
    Thread,
    Unindexed,
)

if TYPE_CHECKING:
    from parlour.engine.engine import Engine

log = logging.getLogger("parlour.engine")

_PAGE = 100
_BATCH = 50
_RECORDS = 256
_SECONDS = 0.25
_REMEMBERED = 10_000
_CURSOR = re.compile(r"(\d{1,12}\.\d{3})-([0-9a-f]{32})")


class ThreadInfo(Struct, frozen=True, kw_only=True):
    """A thread as a list shows it: its branch that was last updated, and how that one stands.

    `id` is that of the session it began with, `told` the number of the bot's newest record,
    `excerpt` where the text was found. Times are in Unix seconds.
    """

    id: str
    session: str
    title: str
    created: float
    updated: float
    standing: Standing
    closed: bool = False
    excerpt: str = ""


class ThreadPage(Struct, frozen=True, kw_only=True):
    """A page of a list. `next` is where the next page begins, "" at the end.

    Not `complete`: there are conversations that could not be searched in the time; ask again.
    """

    threads: tuple[ThreadInfo, ...]
    next: str = ""
    complete: bool = True


class Catalogue:
    """The conversations of an engine's users. All calls raise `Refused`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._standings: OrderedDict[str, tuple[int, Standing]] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- lists ------------------------------------------------------------------------------

    async def page(
        self, user: str, query: str = "", *, after: str = "", limit: int = 30
    ) -> ThreadPage:
        """A user's threads, last updated first; with `query` those that have all its words.

        `after` is the `next` of the page before, `limit` at most 100.
        """
        store, before = self._engine.store, _read_cursor(after)
        limit = max(1, min(limit, _PAGE))
        words = words_of(query)
        try:
            complete = not words or await self._bring_forward(user)
            found = await store.threads(user, words=words, before=before, limit=limit)
            threads = tuple([await self._info(thread) for thread in found])
        except StoreError as error:
            raise _unavailable(error) from error
        return ThreadPage(
            threads=threads,
            next=_cursor(found[-1].info.cursor) if len(found) == limit else "",
            complete=complete,
        )

    async def _info(self, thread: Thread) -> ThreadInfo:
        info = thread.info
        return ThreadInfo(
            id=thread.id,
            session=info.id,
            title=info.title,
            created=info.created,
            updated=info.updated,
            standing=await self._standing(info),
            closed=info.closed,
            excerpt=thread.excerpt,
        )

    async def _standing(self, info: SessionInfo) -> Standing:
        known = self._standings.get(info.id)
        if known is not None and known[0] == info.head:
            self._standings.move_to_end(info.id)
            return known[1]
        standing = await read_standing(self._engine.store, info.id, info.head)
        self._standings[info.id] = info.head, standing
        if len(self._standings) > _REMEMBERED:
            self._standings.popitem(last=False)
        return standing

    async def _bring_forward(self, user: str) -> bool:
        """Let what the user said since be found; False if there is more than there is time for."""
        engine = self._engine
        until = engine.monotonic() + _SECONDS
        # One at a time for each user: what one brings forward the other need not.
        async with self._locks.setdefault(user, asyncio.Lock()):
            while behind := await engine.store.unindexed(user, _BATCH):
                passages: list[Passage] = []
                for each in behind:
                    passages.append(await self._passage(each, until))
                    if engine.monotonic() > until:
                        break
                await engine.store.index(passages)
                if engine.monotonic() > until:
                    return len(passages) == len(behind) < _BATCH
        return True

    async def _passage(self, behind: Unindexed, until: float) -> Passage:
        """What the user said in a session's next records, as far as there is time for."""
        place = behind.after
        texts: list[str] = []
        length = 0
        while place < behind.head and length < SEARCHED:
            chunks = await self._engine.store.read(behind.session, place, _RECORDS)
            if not chunks:
                place = behind.head  # it is erased
                break
            for chunk in chunks:
                said = said_in(chunk, place)
                texts += said
                length += sum(map(len, said))
            place = chunks[-1].first + chunks[-1].count - 1
            if self._engine.monotonic() > until:
                break
        text = "".join(texts)[:SEARCHED]
        return Passage(
            session=behind.session,
            after=behind.after,
            upto=max(place, behind.head) if length >= SEARCHED else place,
            title=fold_text(behind.title),
            text=text,
            folded=fold_text(text),
        )

    # -- one thread -------------------------------------------------------------------------

    async def branches(self, session: str, user: str) -> tuple[Branch, ...]:
        """All branches of the thread that `session` belongs to, oldest first."""
        await self._engine.authorise(session, user)
        try:
            return tuple(await self._engine.store.branches(session))
        except StoreError as error:
            raise _unavailable(error) from error

    async def branch(
        self,
        session: str,
        user: str,
        *,
        before: int,
        command: str,
        text: str | None = None,
        files: Sequence[str] | None = None,
    ) -> Accepted:
        """Say `text` with `files` (ids) instead of the message at record `before`, in a branch.

        None: as it was said there, which has it answered anew. The session itself stays as it is,
        and what its rounds did to the world outside is done. The same `command` again gives the
        same branch.
        """
        return await branch_here(
            self._engine, session, user, before=before, command=command, text=text, files=files
        )

    async def rename(self, session: str, user: str, title: str) -> None:
        """Call a thread `title`, with all its branches; "": by its first words again."""
        for branch in await self.branches(session, user):
            await self._engine.send(branch.info.id, user, Rename(id=uuid4().hex, title=title))

    async def erase(self, session: str, user: str) -> None:
        """End a thread with all its branches, and leave nothing of it."""
        engine = self._engine
        branches = await self.branches(session, user)
        try:
            while branches:
                for branch in branches:
                    await engine.ends.erase_from_store(branch.info.id)
                # Somebody may have made another one meanwhile.
                branches = tuple(await engine.store.branches(branches[-1].info.id))
        except StoreError as error:
            raise _unavailable(error) from error
        engine.spawn(self._scrub())

    async def _scrub(self) -> None:
        try:
            await self._engine.store.scrub()
        except StoreError as error:
            log.warning("what was erased is not overwritten yet: %s", error)

    # -- links ------------------------------------------------------------------------------

    async def share(self, session: str, user: str) -> Share:
        """A link by which anybody may read the session as it is now."""
        engine = self._engine
        self._check_sharing()
        await engine.authorise(session, user)
        try:
            info = await engine.store.find(session)
            most = engine.settings.limits.links_per_user
            if len(await engine.store.shares(user, most)) >= most:
                raise Refused("too_many", f"You have {most} links already; revoke some.")
            share = Share(
                token=secrets.token_urlsafe(24),
                session=session,
                upto=0 if info is None else info.head,
                at=round(engine.time(), 3),
            )
            if not share.upto or not await engine.store.share(share):
                raise Refused("unknown_session", "There is no such session.")
        except StoreError as error:
            raise _unavailable(error) from error
        return share

    async def shares(self, user: str) -> tuple[tuple[Share, SessionInfo], ...]:
        """A user's links, newest first, each with the session it leads to."""
        store = self._engine.store
        try:
            found = await store.shares(user, self._engine.settings.limits.links_per_user)
            infos = {
                session: await store.find(session) for session in {share.session for share in found}
            }
        except StoreError as error:
            raise _unavailable(error) from error
        pairs = ((share, infos[share.session]) for share in found)
        return tuple((share, info) for share, info in pairs if info is not None)

    async def unshare(self, token: str, user: str) -> None:
        """Revoke a link of the user's; it leads nowhere from now on."""
        store = self._engine.store
        try:
            share = await store.shared(token)
            info = None if share is None else await store.find(share.session)
            if info is None or info.user != user or not await store.unshare(token):
                raise Refused("unknown_link", "There is no such link.")
        except StoreError as error:
            raise _unavailable(error) from error

    async def shared(self, token: str) -> Share:
        """What a link leads to, for anybody who has it."""
        self._check_sharing()
        try:
            share = await self._engine.store.shared(token)
        except StoreError as error:
            raise _unavailable(error) from error
        if share is None:
            raise Refused("unknown_link", "There is no such link.")
        return share

    def _check_sharing(self) -> None:
        if not self._engine.settings.sharing:
            raise Refused("unhandled", "Conversations cannot be shared here.")


def _cursor(cursor: Cursor) -> str:
    return f"{cursor.updated:.3f}-{cursor.id}"


def _read_cursor(text: str) -> Cursor | None:
    if not text:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Refused("invalid", "That is no place in a list; begin at its start.")
    return Cursor(float(found[1]), found[2])


def _unavailable(error: StoreError) -> Refused:
    log.error("the store failed: %s", error)
    return Refused("unavailable", "The store cannot be reached; try again.", 1.0)
