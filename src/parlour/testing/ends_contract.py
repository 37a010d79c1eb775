"""The part of the store contract about copies of sessions and about what is no longer wanted."""

# ruff: noqa: PLR2004 - literal expectations are the point of a test

from __future__ import annotations

import asyncio

from parlour.events import encode_chunk
from parlour.stores.store import (
    Append,
    Appended,
    Cursor,
    Fenced,
    Reclaimed,
    Repeated,
    Snapshot,
    Store,
    UserValue,
)
from parlour.testing.contract_base import (
    NOW,
    ContractBase,
    Owner,
    entry,
    log,
    owner,
    record,
    scenario,
    session_id,
)

_NEW = session_id(500)


def _fork(after: int, *texts: str, at: float = NOW + 50, due: float | None = None) -> Append:
    entries = (entry(*texts),) if texts else ()
    return Append(session=_NEW, epoch=0, after=after, at=at, entries=entries, due=due)


class EndsContract(ContractBase):
    """Forks, retention, users' variables, scrubbing, free space."""

    # Forks.

    @scenario("P15")
    async def test_a_fork_has_the_records_up_to_its_place_and_then_its_own(
        self, store: Store
    ) -> None:
        ann = await owner(store)
        await ann.append(ann.next(entry("a", "b"), title="Ann's", at=NOW + 1))
        await ann.say("c", "d", "e", at=NOW + 2)
        await ann.say("f", at=NOW + 3)
        claim = await store.fork(ann.session, 4, _fork(4, "forked", due=9.0))
        assert claim is not None
        assert (claim.head, claim.user, claim.created) == (5, "ann", NOW + 50)
        chunks = await log(store, _NEW)
        assert [c.data for c in chunks] == [
            encode_chunk([record("a"), record("b")]),
            encode_chunk([record("c"), record("d")]),
            encode_chunk([record("forked")]),
        ]
        assert [c.at for c in chunks] == [NOW + 1, NOW + 2, NOW + 50]
        info = await store.find(_NEW)
        assert info is not None
        assert (info.head, info.user, info.title, info.due) == (5, "ann", "Ann's", 9.0)
        assert (info.updated, info.closed) == (NOW + 50, False)
        assert await store.count("ann") == 2
        assert await store.due(10.0) == [(_NEW, 9.0)]

    @scenario("P15", "P4")
    async def test_a_fork_knows_the_commands_of_its_records_and_no_others(
        self, store: Store
    ) -> None:
        ann = await owner(store)
        await ann.say("a", command="one")
        await ann.say("b", "c", command="two")
        await ann.say("d", command="three")
        await store.post(ann.session, "waiting", b"{}")
        claim = await store.fork(ann.session, 2, _fork(2))
        assert claim is not None
        assert [await store.outcome(_NEW, name) for name in ("one", "two", "three")] == [1, 2, None]
        assert not await store.inbox(_NEW)
        copy = Owner(store, _NEW, claim)
        assert await copy.say("again", command="one") == Repeated("one", 1)
        assert await copy.say("again", command="two") == Repeated("two", 2)
        assert await copy.say("new", command="three") == Appended(3)
        assert await store.outcome(ann.session, "three") == 4

    @scenario("P15", "P1")
    async def test_a_fork_and_its_origin_live_apart(self, store: Store) -> None:
        ann = await owner(store)
        await ann.append(ann.next(entry("a"), snapshot=Snapshot(1, b"s")))
        claim = await store.fork(ann.session, 1, _fork(1))
        assert claim is not None
        assert claim.snapshot is None
        copy = Owner(store, _NEW, claim)
        assert await ann.say("ann's") == Appended(2)
        assert await copy.say("copy's") == Appended(2)
        assert await store.erase(ann.session)
        assert [c.data for c in await log(store, _NEW)] == [
            encode_chunk([record("a")]),
            encode_chunk([record("copy's")]),
        ]
        assert await copy.say("on") == Appended(3)
        again = await store.claim(_NEW)
        assert again is not None
        assert (again.head, again.epoch > claim.epoch) == (3, True)
        assert await copy.say("stale") == Fenced()

    @scenario("P15")
    async def test_a_fork_of_what_is_not_there_makes_nothing(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a", "b")
        assert await store.fork(session_id(99), 1, _fork(1)) is None
        assert await store.fork(ann.session, 3, _fork(3)) is None
        assert await store.find(_NEW) is None
        taken = Append(session=ann.session, epoch=0, after=1, at=NOW)
        assert await store.fork(ann.session, 1, taken) is None
        assert await ann.say("c") == Appended(3)

    @scenario("P15")
    async def test_a_session_may_be_forked_while_it_is_written(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("0")

        async def write() -> None:
            for number in range(1, 100):
                await ann.say(f"{number}", command=f"{number}")

        async def fork(number: int) -> None:
            upto = ann.head
            append = Append(session=session_id(600 + number), epoch=0, after=upto, at=NOW)
            assert await store.fork(ann.session, upto, append) is not None
            chunks = await log(store, append.session)
            assert [c.data for c in chunks] == [
                encode_chunk([record(f"{place}")]) for place in range(upto)
            ]

        async def forks() -> None:
            for number in range(20):
                await fork(number)
                await asyncio.sleep(0)

        await asyncio.gather(write(), forks())

    # Listings.

    @scenario("P11")
    async def test_closed_sessions_are_told_by_when_they_ended(self, store: Store) -> None:
        owners = [await owner(store, number, at=NOW) for number in range(4)]
        for number, each in enumerate(owners[:3]):
            await each.append(each.next(entry("end"), at=NOW + 30 - number, closed=True))
        ids = [each.session for each in owners]
        assert await store.ended(NOW + 100) == [ids[2], ids[1], ids[0]]
        assert await store.ended(NOW + 100, 2) == [ids[2], ids[1]]
        assert await store.ended(NOW + 30) == [ids[2], ids[1]]
        assert await store.ended(NOW + 28) == []
        await store.erase(ids[2])
        assert await store.ended(NOW + 100) == [ids[1], ids[0]]

    @scenario("P11")
    async def test_a_page_is_never_longer_than_asked_and_none_is_skipped(
        self, store: Store
    ) -> None:
        anns = [await owner(store, number, at=NOW + number // 7) for number in range(30)]
        for each in anns[::3]:
            await each.append(each.next(closed=True))
        for user in ("ann", None):
            paged: list[Cursor] = []
            before = None
            while page := await store.sessions(user, before=before, limit=4):
                assert len(page) <= 4
                paged += [info.cursor for info in page]
                before = page[-1].cursor
            assert paged == sorted(paged, reverse=True)
            assert {cursor.id for cursor in paged} == {each.session for each in anns}
            assert len(paged) == 30

    @scenario("P11")
    async def test_a_page_goes_on_although_its_last_session_was_erased(self, store: Store) -> None:
        anns = [await owner(store, number, at=NOW) for number in range(6)]
        first = await store.sessions("ann", limit=3)
        await store.erase(first[-1].id)
        rest = await store.sessions("ann", before=first[-1].cursor, limit=3)
        assert [info.id for info in (*first, *rest)] == [each.session for each in anns[::-1]]

    # What is no longer wanted.

    @scenario("P11")
    async def test_the_variables_of_a_user_are_listed_and_erased(self, store: Store) -> None:
        ann, bob = await owner(store, 1, user="ann"), await owner(store, 2, user="bob")
        values = (UserValue("m", b"[]", "set"), UserValue("n", b"1"))
        await ann.append(ann.next(user_values=(*values[::-1], UserValue("o", b"2"))))
        await ann.append(ann.next(user_values=(UserValue("o", b"null"),)))
        await bob.append(bob.next(user_values=values[:1]))
        assert list(await store.user_values("ann")) == list(values)
        assert list(await store.user_values("nobody")) == []
        assert await store.erase_user("ann") == 2
        assert await store.erase_user("ann") == 0
        assert list(await store.user_values("ann")) == []
        assert await store.user_value("ann", "n") is None
        assert list(await store.user_values("bob")) == [values[0]]

    @scenario("P11")
    async def test_scrubbing_takes_nothing_that_was_not_erased(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        for each in (ann, bob):
            await each.say("a", command="a")
        await store.erase(bob.session)
        await store.scrub()
        assert await ann.say("b") == Appended(2)
        await store.scrub()
        assert [c.first for c in await log(store, ann.session)] == [1, 2]
        assert await store.find(bob.session) is None

    @scenario("P11")
    async def test_reclaiming_drops_the_snapshots_of_closed_sessions_only(
        self, store: Store
    ) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        for each in (ann, bob):
            await each.append(each.next(entry("a"), snapshot=Snapshot(1, b"s" * 5000)))
        await ann.append(ann.next(entry("end"), closed=True))
        for compact in (False, True):
            done = await store.reclaim(compact=compact)
            assert isinstance(done, Reclaimed)
            assert done.snapshots == (0 if compact else 1)
        claims = [await store.claim(each.session) for each in (ann, bob)]
        assert [None if c is None else c.snapshot for c in claims] == [
            None,
            Snapshot(1, b"s" * 5000),
        ]
        assert [len(await log(store, each.session)) for each in (ann, bob)] == [2, 1]

    @scenario("P11")
    async def test_a_store_may_be_compacted_while_it_is_written(self, store: Store) -> None:
        owners = [await owner(store, number) for number in range(8)]

        async def write(each: Owner) -> None:
            for number in range(20):
                assert await each.say("x" * 2000, command=f"{number}") == Appended(number + 1)

        async def compact() -> None:
            for each in owners[:2]:
                gone = await owner(store, 100 + owners.index(each))
                await gone.say("y" * 100_000)
                await store.erase(gone.session)
                await store.reclaim(compact=True)

        await asyncio.gather(compact(), *(write(each) for each in owners))
        for each in owners:
            assert len(await log(store, each.session)) == 20
            assert await store.outcome(each.session, "7") == 8
