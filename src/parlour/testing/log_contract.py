"""The part of the store contract about records: their numbers, their owners, reading them."""

# ruff: noqa: PLR2004 - literal expectations are the point of a test

from __future__ import annotations

import asyncio

from parlour.events import encode_chunk
from parlour.stores.store import (
    PAGE_BYTES,
    Append,
    Appended,
    Fenced,
    Repeated,
    Store,
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


class LogContract(ContractBase):
    """Records are dense, in order, and written by one owner."""

    # Numbers and order.

    @scenario("P2")
    async def test_records_are_numbered_from_one_without_a_gap(self, store: Store) -> None:
        ann = await owner(store)
        assert ann.head == 0
        assert await ann.say("a") == Appended(1)
        assert await ann.say("b", "c", "d") == Appended(4)
        assert await ann.append(ann.next(entry("e"), entry("f", "g"))) == Appended(7)
        assert [(c.first, c.count) for c in await log(store, ann.session)] == [
            (1, 1),
            (2, 3),
            (5, 1),
            (6, 2),
        ]

    @scenario("P2")
    async def test_chunks_come_back_as_they_were_written(self, store: Store) -> None:
        ann = await owner(store)
        await ann.append(ann.next(entry("a", "b"), entry("c"), at=NOW + 0.5))
        first, second = await store.read(ann.session, 0)
        assert first.data == encode_chunk([record("a"), record("b")])
        assert second.data == encode_chunk([record("c")])
        assert abs(first.at - (NOW + 0.5)) < 0.01

    @scenario("P2")
    async def test_several_appends_of_one_session_in_a_batch_follow_each_other(
        self, store: Store
    ) -> None:
        ann = await owner(store)
        batch: list[Append] = []
        for text in "abc":
            batch.append(ann.next(entry(text)))
            ann.head += 1
        assert await store.append(batch) == [Appended(1), Appended(2), Appended(3)]
        assert [c.data for c in await log(store, ann.session)] == [
            encode_chunk([record(text)]) for text in "abc"
        ]

    @scenario("P2")
    async def test_time_orders_nothing(self, store: Store) -> None:
        ann = await owner(store, at=NOW)
        times = [NOW, NOW - 86_400, 0.0, NOW + 1e9, 1.5, NOW]
        for number, at in enumerate(times):
            assert await ann.say(str(number), at=at) == Appended(number + 1)
        chunks = await log(store, ann.session)
        assert [c.data for c in chunks] == [
            encode_chunk([record(str(number))]) for number in range(len(times))
        ]
        claim = await store.claim(ann.session)
        assert claim is not None
        assert claim.head == len(times)

    @scenario("P3")
    async def test_an_owner_whose_clock_is_wrong_is_fenced_like_any_other(
        self, store: Store
    ) -> None:
        ann = await owner(store, at=NOW)
        claim = await store.claim(ann.session)
        assert claim is not None
        assert await ann.say("from the future", at=NOW + 1e6) == Fenced()
        other = Owner(store, ann.session, claim)
        assert await other.say("from the past", at=NOW - 1e6) == Appended(1)

    @scenario("P2")
    async def test_any_json_comes_back_unchanged(self, store: Store) -> None:
        ann = await owner(store, user="Анна \U0001f99c ' \" \\ %")
        texts = [
            "",
            "ünï©ödé \U0001f468‍\U0001f469‍\U0001f467 \u202e\u0000".replace("\u0000", "\\u0000"),
            "'; DROP TABLE chunk; --",
            "\\ud800",
            "x" * 2_000_000,
        ]
        for number, text in enumerate(texts):
            assert await ann.say(text, "[]") == Appended(2 * number + 2)
        assert [c.data for c in await log(store, ann.session)] == [
            encode_chunk([record(text), record("[]")]) for text in texts
        ]
        info = await store.find(ann.session)
        assert info is not None
        assert info.user == "Анна \U0001f99c ' \" \\ %"

    @scenario("P2")
    async def test_a_large_batch_is_kept_whole(self, store: Store) -> None:
        owners = [await owner(store, number) for number in range(40)]
        batch: list[Append] = []
        for text in range(40):
            for each in owners:
                batch.append(each.next(entry(f"{text}", command=f"c{text}")))
                each.head += 1
        assert await store.append(batch) == [Appended(n + 1) for n in range(40) for _ in owners]
        for each in owners:
            chunks = await log(store, each.session, page=7)
            assert [c.data for c in chunks] == [encode_chunk([record(f"{n}")]) for n in range(40)]

    # Reading.

    @scenario("P6")
    async def test_reading_begins_after_any_seq(self, store: Store) -> None:
        ann = await owner(store)
        for number in range(10):
            await ann.say(f"{number}a", f"{number}b", f"{number}c")
        for after in range(31):
            found = await store.read(ann.session, after)
            if after == 30:
                assert not found
                break
            assert found[0].first <= after + 1 < found[0].first + found[0].count
            assert found[-1].first + found[-1].count - 1 == 30
        assert not await store.read(ann.session, 1000)

    @scenario("P6")
    async def test_a_page_has_at_least_as_many_records_as_asked_for(self, store: Store) -> None:
        ann = await owner(store)
        for number in range(50):
            await ann.say(*(f"{number}.{part}" for part in range(1 + number % 4)))
        for limit in (1, 2, 3, 10, 119, 1000):
            for after in (0, 1, 5, 60):
                found = await store.read(ann.session, after, limit)
                last = found[-1].first + found[-1].count - 1
                assert last >= min(after + limit, ann.head)
                if len(found) > 1:
                    assert found[-1].first <= after + limit, "and hardly more"
        assert await log(store, ann.session, page=3) == await log(store, ann.session)

    @scenario("P12")
    async def test_a_page_ends_with_the_chunk_that_fills_its_bytes(self, store: Store) -> None:
        ann = await owner(store)
        for number in range(30):
            await ann.say(*(f"{number}.{part}" + "x" * 1000 for part in range(1 + number % 3)))
        chunks = await log(store, ann.session)
        for after in (0, 1, 4, ann.head - 1):
            for limit_bytes in (1, 1000, 5000, 20_000, 1_000_000):
                found = await store.read(ann.session, after, limit_bytes=limit_bytes)
                first = chunks.index(found[0])
                assert list(found) == chunks[first : first + len(found)], "without a gap"
                assert found[0].first <= after + 1
                assert sum(len(chunk.data) for chunk in found[:-1]) < limit_bytes
                ends = found[-1].first + found[-1].count - 1 == ann.head
                assert ends or sum(len(chunk.data) for chunk in found) >= limit_bytes

    @scenario("P12")
    async def test_a_page_is_bounded_where_its_reader_does_not_say(self, store: Store) -> None:
        ann = await owner(store)
        for _ in range(5):
            await ann.say("x" * (PAGE_BYTES // 2))
        assert len(await store.read(ann.session, 0)) == 2
        assert len(await log(store, ann.session)) == 5

    @scenario("P17")
    async def test_an_unknown_session_has_nothing(self, store: Store) -> None:
        unknown = session_id(99)
        assert await store.claim(unknown) is None
        assert await store.find(unknown) is None
        assert not await store.read(unknown, 0)
        assert not await store.inbox(unknown)
        assert await store.outcome(unknown, "c") is None
        assert await store.post(unknown, "c", b"{}") is None
        assert await store.erase(unknown) is False
        append = Append(session=unknown, epoch=1, after=0, at=NOW, entries=(entry("a"),))
        assert await store.append([append]) == [Fenced()]

    # Owners.

    @scenario("P3")
    async def test_a_new_claim_fences_the_owner_before(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a")
        claim = await store.claim(ann.session)
        assert claim is not None
        assert claim.epoch > ann.epoch
        assert (claim.head, claim.user, claim.created) == (1, "ann", NOW)
        assert await ann.say("stale") == Fenced()
        other = Owner(store, ann.session, claim)
        assert await other.say("b") == Appended(2)
        assert await ann.say("stale") == Fenced()
        assert len(await log(store, ann.session)) == 2

    @scenario("P3")
    async def test_an_append_that_does_not_follow_the_head_is_refused(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a", "b")
        for after in (0, 1, 3, 1000):
            ann.head = after
            assert await ann.say("wrong") == Fenced()
        ann.head = 2
        assert await ann.say("c") == Appended(3)

    @scenario("P1", "P3")
    async def test_a_refused_append_does_not_harm_its_neighbours(self, store: Store) -> None:
        ann, bob, eve = [await owner(store, number) for number in (1, 2, 3)]
        await bob.say("before", command="known")
        fenced = eve.next(entry("x"), title="x", due=1.0, closed=True)
        await store.claim(eve.session)
        batch = [
            ann.next(entry("a", command="a")),
            fenced,
            bob.next(entry("fine"), entry("again", command="known"), title="x", due=1.0),
            bob.next(entry("b", command="b")),
        ]
        outcomes = await store.append(batch)
        assert outcomes == [Appended(1), Fenced(), Repeated("known", 1), Appended(2)]
        info = await store.find(eve.session)
        assert info is not None
        assert (info.head, info.title, info.due, info.closed) == (0, "", None, False)
        info = await store.find(bob.session)
        assert info is not None
        assert (info.head, info.title, info.due) == (2, "", None)
        assert [c.data for c in await log(store, bob.session)] == [
            encode_chunk([record("before")]),
            encode_chunk([record("b")]),
        ]

    @scenario("P3")
    async def test_what_follows_a_refused_append_in_a_batch_is_refused_too(
        self, store: Store
    ) -> None:
        ann = await owner(store)
        await ann.say("a", command="a")
        first = ann.next(entry("b", command="a"))
        ann.head += 1
        second = ann.next(entry("c"))
        assert await store.append([first, second]) == [Repeated("a", 1), Fenced()]

    @scenario("P3")
    async def test_of_many_claimants_only_the_newest_appends(self, store: Store) -> None:
        ann = await owner(store)
        kept: list[str] = []

        async def contend(number: int) -> None:
            for turn in range(10):
                claim = await store.claim(ann.session)
                assert claim is not None
                mine = Owner(store, ann.session, claim)
                for part in range(2):
                    text = f"{number}.{turn}.{part}"
                    if isinstance(await mine.say(text), Appended):
                        kept.append(text)
                    await asyncio.sleep(0)

        await asyncio.gather(*(contend(number) for number in range(16)))
        chunks = await log(store, ann.session)
        assert sorted(c.data for c in chunks) == sorted(encode_chunk([record(t)]) for t in kept)
        assert kept, "somebody must get through"

    @scenario("P3")
    async def test_epochs_only_grow(self, store: Store) -> None:
        ann = await owner(store)
        epochs = [ann.epoch]
        for _ in range(20):
            claim = await store.claim(ann.session)
            assert claim is not None
            epochs.append(claim.epoch)
        assert epochs == sorted(set(epochs))

    @scenario("P17")
    async def test_an_id_is_given_to_one_session_only(self, store: Store) -> None:
        claims = await asyncio.gather(
            *(store.create(session_id(1), f"user {number}", NOW) for number in range(20))
        )
        assert sum(claim is not None for claim in claims) == 1
        winner = next(claim for claim in claims if claim is not None)
        assert await store.create(session_id(1), "late", NOW) is None
        ann = Owner(store, session_id(1), winner)
        assert await ann.say("the others did not fence me") == Appended(1)
        info = await store.find(ann.session)
        assert info is not None
        assert info.user == winner.user
