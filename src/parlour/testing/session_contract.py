"""The part of the store contract about what is known of sessions, and about their ends."""

# ruff: noqa: PLR2004 - literal expectations are the point of a test

from __future__ import annotations

import asyncio

from parlour.events import encode_chunk
from parlour.stores.store import (
    Appended,
    Fenced,
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
)


class SessionContract(ContractBase):
    """Listings, snapshots, times, users' values; erasing."""

    # What else an append may say.

    @scenario("P3")
    async def test_who_released_a_session_can_write_no_more_and_another_goes_on(
        self, store: Store
    ) -> None:
        ann = await owner(store)
        await ann.say("a")
        await store.release(ann.session, ann.epoch)
        claim = await store.claim(ann.session)
        assert claim is not None
        assert claim.head == 1
        assert claim.epoch > ann.epoch
        assert await ann.append(ann.next(entry("b"))) == Fenced()
        await store.release(ann.session, ann.epoch)
        bob = Owner(store, ann.session, claim)
        assert await bob.append(bob.next(entry("c"))) == Appended(2)

    @scenario("P10")
    async def test_the_newest_snapshot_comes_with_a_claim(self, store: Store) -> None:
        ann = await owner(store)
        data = bytes(range(256)) * 100
        await ann.append(ann.next(entry("a"), snapshot=Snapshot(1, b"old")))
        await ann.append(ann.next(entry("b"), snapshot=Snapshot(2, data)))
        await ann.say("c")
        claim = await store.claim(ann.session)
        assert claim is not None
        assert claim.snapshot == Snapshot(2, data)
        assert claim.head == 3

    @scenario("P7")
    async def test_an_append_says_when_the_session_is_due(self, store: Store) -> None:
        owners = [await owner(store, number) for number in range(4)]
        for each, due in zip(owners, (30.0, 10.0, None, 20.0), strict=True):
            await each.append(each.next(entry("a"), due=due))
        ids = [each.session for each in owners]
        assert await store.due(25.0) == [(ids[1], 10.0), (ids[3], 20.0)]
        assert await store.due(20.0) == [(ids[1], 10.0)]
        assert await store.due(1000.0, 2) == [(ids[1], 10.0), (ids[3], 20.0)]
        await owners[1].append(owners[1].next(entry("b"), due=40.0))
        await owners[3].append(owners[3].next(due=None))
        await owners[0].append(owners[0].next(entry("end"), due=30.0, closed=True))
        assert await store.due(1000.0) == [(ids[1], 40.0)]
        info = await store.find(ids[1])
        assert info is not None
        assert info.due == 40.0

    @scenario("P11")
    async def test_idle_sessions_are_the_open_ones_nobody_wrote_to(self, store: Store) -> None:
        owners = [await owner(store, number, at=NOW + number) for number in range(5)]
        ids = [each.session for each in owners]
        await owners[0].say("a", at=NOW + 100)
        await owners[1].append(owners[1].next(closed=True))
        assert await store.idle(NOW + 4) == [ids[2], ids[3]]
        assert await store.idle(NOW + 1000) == [ids[2], ids[3], ids[4], ids[0]]
        assert await store.idle(NOW + 1000, 1) == [ids[2]]
        assert await store.idle(NOW) == []

    @scenario()
    async def test_users_have_values_of_their_own(self, store: Store) -> None:
        ann, bob = await owner(store, 1, user="ann"), await owner(store, 2, user="bob")
        again = await owner(store, 3, user="ann")
        await ann.append(ann.next(user_values=(UserValue("n", b"1"), UserValue("m", b"[]", "set"))))
        await bob.append(bob.next(user_values=(UserValue("n", b"2"),)))
        assert await store.user_value("ann", "n") == UserValue("n", b"1")
        assert await store.user_value("ann", "m") == UserValue("m", b"[]", "set")
        assert await store.user_value("bob", "n") == UserValue("n", b"2")
        assert await store.user_value("bob", "m") is None
        await again.append(
            again.next(user_values=(UserValue("n", b"3"), UserValue("n", b"4", "x")))
        )
        assert await store.user_value("ann", "n") == UserValue("n", b"4", "x")
        await store.append(
            [
                ann.next(user_values=(UserValue("n", b"null"),)),
                again.next(user_values=(UserValue("m", b"null"),)),
            ]
        )
        for name in ("n", "m"):
            value = await store.user_value("ann", name)
            assert value is None or value.value == b"null"
        assert await store.user_value("bob", "n") == UserValue("n", b"2")

    @scenario("P11")
    async def test_a_session_is_found_as_it_was_left(self, store: Store) -> None:
        ann = await owner(store)
        info = await store.find(ann.session)
        assert info is not None
        assert (info.id, info.user, info.created) == (ann.session, "ann", NOW)
        assert (info.head, info.title, info.closed, info.due) == (0, "", False, None)
        assert info.updated == NOW
        await ann.append(ann.next(entry("a", "b"), at=NOW + 5, title="Ä title", due=NOW + 60))
        await ann.say("c", at=NOW + 7)
        info = await store.find(ann.session)
        assert info is not None
        assert (info.head, info.title, info.due) == (3, "Ä title", None)
        assert abs(info.updated - (NOW + 7)) < 0.01
        await ann.append(ann.next(closed=True))
        claim = await store.claim(ann.session)
        info = await store.find(ann.session)
        assert claim is not None
        assert info is not None
        assert claim.closed
        assert info.closed
        assert info.title == "Ä title"

    @scenario("P17")
    async def test_sessions_are_listed_last_updated_first(self, store: Store) -> None:
        anns = [await owner(store, number, user="ann", at=NOW + number) for number in range(9)]
        bob = await owner(store, 50, user="bob", at=NOW + 50)
        await anns[3].say("a", at=NOW + 60)
        await anns[4].append(anns[4].next(entry("end"), at=NOW + 61, closed=True))
        listed = [info.id for info in await store.sessions("ann")]
        order = [4, 3, 8, 7, 6, 5, 2, 1, 0]
        assert listed == [anns[number].session for number in order]
        everyone = [info.id for info in await store.sessions()]
        assert everyone == [*listed[:2], bob.session, *listed[2:]]
        assert await store.count("ann") == 8
        assert await store.count("nobody") == 0
        paged: list[str] = []
        before = None
        while page := await store.sessions("ann", before=before, limit=2):
            assert len(page) <= 2
            paged += [info.id for info in page]
            before = page[-1].cursor
        assert paged == listed

    # Ends.

    @scenario("P11")
    async def test_erasing_leaves_nothing_and_fences_the_owner(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2, user="bob")
        for each in (ann, bob):
            await each.append(
                each.next(entry("a", command="a"), snapshot=Snapshot(1, b"s"), due=1.0, title="t")
            )
            await store.post(each.session, "waiting", b"{}")
        assert await store.erase(ann.session) is True
        assert await store.erase(ann.session) is False
        assert await ann.say("straggler") == Fenced()
        assert await store.find(ann.session) is None
        assert await store.claim(ann.session) is None
        assert not await store.read(ann.session, 0)
        assert not await store.inbox(ann.session)
        assert await store.outcome(ann.session, "a") is None
        assert await store.post(ann.session, "late", b"{}") is None
        assert await store.sessions("ann") == []
        assert await store.count("ann") == 0
        assert await store.due(NOW) == [(bob.session, 1.0)]
        assert len(await log(store, bob.session)) == 1
        assert await bob.say("neighbour") == Appended(2)

    @scenario("P3", "P11")
    async def test_an_erased_id_begins_anew(self, store: Store) -> None:
        ann = await owner(store)
        await ann.append(
            ann.next(entry("a", command="a"), snapshot=Snapshot(1, b"s"), due=1.0, title="t")
        )
        await store.post(ann.session, "waiting", b"{}")
        await store.erase(ann.session)
        again = await owner(store)
        assert again.epoch > ann.epoch
        assert await ann.say("straggler") == Fenced()
        claim = await store.claim(again.session)
        assert claim is not None
        assert (claim.head, claim.snapshot) == (0, None)
        assert not await store.inbox(again.session)
        mine = Owner(store, again.session, claim)
        assert await mine.say("b", command="a") == Appended(1)
        assert [c.data for c in await log(store, mine.session)] == [encode_chunk([record("b")])]

    @scenario("P11")
    async def test_sessions_may_be_erased_while_they_are_written(self, store: Store) -> None:
        owners = [await owner(store, number) for number in range(20)]

        async def write(each: Owner) -> None:
            outcome = await each.say("a")
            while isinstance(outcome, Appended):
                await asyncio.sleep(0)
                outcome = await each.say("a")

        async def erase() -> None:
            for each in owners:
                await asyncio.sleep(0)
                assert await store.erase(each.session)

        await asyncio.gather(erase(), *(write(each) for each in owners))
        assert await store.sessions() == []
        for each in owners:
            assert not await store.read(each.session, 0)

    @scenario()
    async def test_closing_twice_is_allowed(self, store: Store) -> None:
        await owner(store)
        await store.close()
        await store.close()
