"""The part of the store contract about what is there after the store was opened again."""

# ruff: noqa: PLR2004 - literal expectations are the point of a test

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from parlour.events import encode_chunk
from parlour.stores.store import (
    Appended,
    Fenced,
    PostedCommand,
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
)


class DurabilityContract(ContractBase):
    """What was acknowledged is kept. Skipped for a store that has no `reopen`."""

    # Durability; for stores that have `reopen`.

    @scenario("P5", "P7")
    async def test_everything_is_there_when_it_is_opened_again(self, store: Store) -> None:
        ann = await owner(store, user="ann")
        await ann.append(
            ann.next(
                entry("a", command="a"),
                snapshot=Snapshot(1, b"\x00s"),
                user_values=(UserValue("n", b"1", "k"),),
                due=NOW + 9,
                title="title",
            )
        )
        await ann.append(ann.next(entry("b"), at=NOW + 1, due=NOW + 9))
        await store.post(ann.session, "waiting", b"{}")
        before = await store.find(ann.session), await store.read(ann.session, 0)
        again = await self.open_again(store)
        try:
            assert (await again.find(ann.session), await again.read(ann.session, 0)) == before
            assert await again.due(NOW + 10) == [(ann.session, NOW + 9)]
            assert await again.inbox(ann.session) == [PostedCommand("waiting", b"{}")]
            assert await again.outcome(ann.session, "a") == 1
            assert await again.user_value("ann", "n") == UserValue("n", b"1", "k")
            assert [info.head for info in await again.sessions("ann")] == [2]
            claim = await again.claim(ann.session)
            assert claim is not None
            assert (claim.head, claim.snapshot) == (2, Snapshot(1, b"\x00s"))
            mine = Owner(again, ann.session, claim)
            assert await mine.say("again", command="a") == Repeated("a", 1)
            assert await mine.say("c") == Appended(3)
        finally:
            await again.close()

    @scenario("P3")
    async def test_an_owner_of_the_time_before_is_fenced_by_a_claim(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a")
        again = await self.open_again(store)
        try:
            ann.store = again
            for _ in range(3):
                claim = await again.claim(ann.session)
                assert claim is not None
                assert claim.epoch > ann.epoch
                assert await ann.say("stale") == Fenced()
        finally:
            await again.close()

    @scenario("P2", "P4", "P5")
    async def test_what_was_acknowledged_survives_closing_in_the_middle(self, store: Store) -> None:
        owners = [await owner(store, number) for number in range(10)]
        acknowledged: dict[str, int] = {each.session: 0 for each in owners}
        enough = asyncio.Event()

        async def write(each: Owner) -> None:
            for number in range(1000):
                outcome = await each.say("a", "b", command=f"{number}")
                assert isinstance(outcome, Appended)
                acknowledged[each.session] = outcome.last
                if min(acknowledged.values()) >= 10:
                    enough.set()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(write(each)) for each in owners]
        await enough.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        again = await self.open_again(store)
        try:
            await self._check_survivors(again, owners, acknowledged)
        finally:
            await again.close()

    async def _check_survivors(
        self, store: Store, owners: Sequence[Owner], acknowledged: dict[str, int]
    ) -> None:
        for each in owners:
            chunks = await log(store, each.session)
            head = 2 * len(chunks)
            assert head >= acknowledged[each.session]
            claim = await store.claim(each.session)
            assert claim is not None
            assert claim.head == head
            mine = Owner(store, each.session, claim)
            last = len(chunks) - 1
            assert await mine.say("again", command=f"{last}") == Repeated(f"{last}", head - 1)
            assert await mine.say("on", command=f"{last + 1}") == Appended(head + 1)

    @scenario("P11")
    async def test_erased_sessions_stay_erased(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        await ann.say("a", command="a")
        await bob.say("b", command="b")
        await store.erase(bob.session)
        again = await self.open_again(store)
        try:
            assert await again.find(bob.session) is None
            new = await owner(again, 3)
            assert await new.say("c", command="b") == Appended(1)
            assert [c.data for c in await log(again, new.session)] == [encode_chunk([record("c")])]
            assert [c.data for c in await log(again, ann.session)] == [encode_chunk([record("a")])]
            assert not await again.read(bob.session, 0)
        finally:
            await again.close()
