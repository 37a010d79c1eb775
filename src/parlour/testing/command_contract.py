"""The part of the store contract about commands: each is kept once, whoever brings it."""

# ruff: noqa: PLR2004 - literal expectations are the point of a test

from __future__ import annotations

import asyncio

from parlour.stores.store import (
    Appended,
    Chunk,
    Entry,
    Fenced,
    Posted,
    PostedCommand,
    Repeated,
    Store,
)
from parlour.testing.contract_base import (
    ContractBase,
    Owner,
    entry,
    log,
    owner,
    scenario,
)


class CommandContract(ContractBase):
    """A command is kept once, however often and by however many it is sent."""

    # Commands.

    @scenario("P4")
    async def test_a_command_is_kept_once_in_a_session(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        await ann.say("before")
        assert await ann.say("hello", "hi", command="c1") == Appended(3)
        for _ in range(3):
            assert await ann.say("hello", command="c1") == Repeated("c1", 2)
        assert await bob.say("hello", command="c1") == Appended(1), "another session's own"
        assert await store.outcome(ann.session, "c1") == 2
        assert await store.outcome(bob.session, "c1") == 1
        assert await store.outcome(ann.session, "c2") is None
        assert await ann.say("more", command="c2") == Appended(4)

    @scenario("P4")
    async def test_a_repeated_command_spoils_the_whole_append(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a", command="a")
        append = ann.next(entry("b", command="b"), entry("a", command="a"), entry("c"))
        assert await ann.append(append) == Repeated("a", 1)
        assert await store.outcome(ann.session, "b") is None
        assert await ann.say("b", command="b") == Appended(2)

    @scenario("P4")
    async def test_a_command_repeated_in_one_append_is_refused(self, store: Store) -> None:
        ann = await owner(store)
        append = ann.next(entry("a", command="a"), entry("b", command="a"))
        outcome = await ann.append(append)
        assert isinstance(outcome, Repeated)
        assert outcome.command == "a"
        assert await store.outcome(ann.session, "a") is None
        assert await ann.say("a", command="a") == Appended(1)

    @scenario("P4")
    async def test_a_command_repeated_in_one_batch_is_kept_once(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        first = ann.next(entry("a", command="a"))
        ann.head += 1
        second = ann.next(entry("again", command="a"))
        outcomes = await store.append([first, second, bob.next(entry("b", command="a"))])
        assert outcomes == [Appended(1), Repeated("a", 1), Appended(1)]

    @scenario("P4")
    async def test_commands_are_remembered_for_ever(self, store: Store) -> None:
        ann = await owner(store)
        for number in range(600):
            await ann.say(f"{number}", command=f"c{number}")
        for number in (0, 1, 299, 599):
            assert await ann.say("again", command=f"c{number}") == Repeated(
                f"c{number}", number + 1
            )
            assert await store.outcome(ann.session, f"c{number}") == number + 1

    @scenario("P4")
    async def test_a_posted_command_waits_once_and_in_order(self, store: Store) -> None:
        ann = await owner(store)
        assert await store.post(ann.session, "c2", b"two") == Posted(fresh=True)
        assert await store.post(ann.session, "c1", b"one") == Posted(fresh=True)
        assert await store.post(ann.session, "c2", b"other") == Posted(fresh=False)
        assert await store.inbox(ann.session) == [
            PostedCommand("c2", b"two"),
            PostedCommand("c1", b"one"),
        ]

    @scenario("P4")
    async def test_a_command_leaves_the_inbox_when_it_is_appended(self, store: Store) -> None:
        ann, bob = await owner(store, 1), await owner(store, 2)
        for command in ("a", "b", "c"):
            await store.post(ann.session, command, b"{}")
            await store.post(bob.session, command, b"{}")
        assert await ann.say("first", command="b") == Appended(1)
        assert [item.command for item in await store.inbox(ann.session)] == ["a", "c"]
        assert [item.command for item in await store.inbox(bob.session)] == ["a", "b", "c"]
        assert await store.post(ann.session, "b", b"{}") == Posted(fresh=False, seq=1)
        assert [item.command for item in await store.inbox(ann.session)] == ["a", "c"]

    @scenario("P4")
    async def test_a_refused_append_leaves_the_inbox_alone(self, store: Store) -> None:
        ann = await owner(store)
        await ann.say("a", command="a")
        await store.post(ann.session, "b", b"{}")
        append = ann.next(entry("b", command="b"), entry("a", command="a"))
        assert await ann.append(append) == Repeated("a", 1)
        await store.claim(ann.session)
        assert await ann.say("b", command="b") == Fenced()
        assert [item.command for item in await store.inbox(ann.session)] == ["b"]

    @scenario("P4")
    async def test_an_entry_without_records_only_empties_the_inbox(self, store: Store) -> None:
        ann = await owner(store)
        await store.post(ann.session, "refused", b"{}")
        assert await ann.append(ann.next(Entry("refused"))) == Appended(0)
        assert not await store.inbox(ann.session)
        assert await store.outcome(ann.session, "refused") is None
        assert await store.post(ann.session, "refused", b"{}") == Posted(fresh=True)
        assert await ann.say("now", command="refused") == Appended(1)
        assert await ann.append(ann.next(Entry("refused"))) == Repeated("refused", 1)

    @scenario("P2", "P4")
    async def test_32_posters_and_an_owner_lose_and_repeat_nothing(self, store: Store) -> None:
        ann = await owner(store)
        posters, each = 32, 8

        async def post(number: int) -> None:
            for turn in range(each):
                command = f"{number}.{turn}"
                answers = await asyncio.gather(
                    *(store.post(ann.session, command, command.encode()) for _ in range(3))
                )
                assert sum(answer is not None and answer.fresh for answer in answers) <= 1

        async def serve() -> None:
            taken = 0
            while taken < posters * each:
                waiting = await store.inbox(ann.session)
                if waiting:
                    entries = (entry(item.data.decode(), command=item.command) for item in waiting)
                    assert isinstance(await ann.append(ann.next(*entries)), Appended)
                    taken += len(waiting)
                await asyncio.sleep(0)

        await asyncio.gather(serve(), *(post(number) for number in range(posters)))
        assert not await store.inbox(ann.session)
        chunks = await log(store, ann.session)
        texts = [c.data.split(b'"')[3].decode() for c in chunks]
        assert sorted(texts) == sorted(f"{p}.{t}" for p in range(posters) for t in range(each))
        for number in range(posters):
            mine = [text for text in texts if text.startswith(f"{number}.")]
            assert mine == [f"{number}.{turn}" for turn in range(each)]
            assert await store.post(ann.session, mine[0], b"") == Posted(
                fresh=False, seq=texts.index(mine[0]) + 1
            )

    @scenario("P2", "P6")
    async def test_a_reader_sees_a_growing_log_without_a_gap(self, store: Store) -> None:
        ann = await owner(store)
        total = 300
        seen: list[Chunk] = []

        async def follow() -> None:
            while len(seen) < total:
                after = seen[-1].first if seen else 0
                for chunk in await store.read(ann.session, after, 50):
                    assert chunk.first == len(seen) + 1
                    seen.append(chunk)
                await asyncio.sleep(0)

        async def write() -> None:
            for number in range(total):
                await ann.say(str(number))

        await asyncio.gather(write(), follow())
        assert seen == await log(store, ann.session)

    @scenario("P5")
    async def test_a_cancelled_append_is_kept_wholly_or_not_at_all(self, store: Store) -> None:
        ann = await owner(store)
        task = asyncio.create_task(ann.say("a", "b", "c", command="c"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        claim = await store.claim(ann.session)
        assert claim is not None
        assert claim.head in {0, 3}
        again = await Owner(store, ann.session, claim).say("a", "b", "c", command="c")
        assert again == (Repeated("c", 1) if claim.head else Appended(3))
