"""The part of the store contract about threads: branches, lists, search, links."""

# ruff: noqa: PLR2004, S106 - literal expectations are the point of a test

from __future__ import annotations

import asyncio

from parlour.stores.store import (
    EXCERPT,
    EXCERPT_BEFORE,
    SEARCHED,
    Append,
    Cursor,
    Passage,
    Share,
    Store,
    Unindexed,
)
from parlour.testing.contract_base import (
    NOW,
    ContractBase,
    Owner,
    entry,
    owner,
    scenario,
    session_id,
)


async def _owner(store: Store, number: int = 1, *, user: str = "ann", at: float = NOW) -> Owner:
    """A new session with a title."""
    found = await owner(store, number, user=user, at=at)
    await found.append(found.next(title=f"Title {number}", at=at))
    return found


async def _branch(
    store: Store, origin: str, upto: int, number: int, *, at: float, title: str | None = None
) -> Owner:
    append = Append(
        session=session_id(number),
        epoch=0,
        after=upto,
        at=at,
        entries=(entry("branched"),),
        title=title,
    )
    claim = await store.fork(origin, upto, append, branch=True)
    assert claim is not None
    return Owner(store, append.session, claim)


async def _index(store: Store, session: str, title: str, text: str, *, after: int = 0) -> None:
    info = await store.find(session)
    assert info is not None
    await store.index(
        [
            Passage(
                session=session,
                after=after,
                upto=info.head,
                title=title.lower(),
                text=text,
                folded=text.lower(),
            )
        ]
    )


async def _listed(store: Store, user: str = "ann", *words: str) -> list[tuple[str, str]]:
    return [(found.id, found.info.id) for found in await store.threads(user, words=words)]


class ThreadContract(ContractBase):
    """Sessions as their user sees them."""

    @scenario("P17")
    async def test_threads_are_listed_like_sessions_and_only_their_users(
        self, store: Store
    ) -> None:
        anns = [await _owner(store, number, at=NOW + number) for number in range(7)]
        await _owner(store, 50, user="bob", at=NOW + 50)
        await anns[3].append(anns[3].next(entry("a"), at=NOW + 60, title="Third"))
        await anns[4].append(anns[4].next(entry("end"), at=NOW + 61, closed=True))
        listed = await store.threads("ann")
        ids = [anns[number].session for number in (4, 3, 6, 5, 2, 1, 0)]
        assert [found.id for found in listed] == ids
        assert [found.info.id for found in listed] == ids
        assert listed[1].info == await store.find(ids[1])
        assert listed[1].info.title == "Third"
        assert await store.threads("nobody") == []
        silent = await owner(store, 60, at=NOW + 60)
        await silent.say("hello", at=NOW + 62)
        paged: list[str] = []
        before: Cursor | None = None
        while page := await store.threads("ann", before=before, limit=2):
            assert len(page) <= 2
            paged += [found.id for found in page]
            before = page[-1].info.cursor
        assert paged == ids

    @scenario("P15")
    async def test_the_branches_of_a_thread_are_listed_as_one(self, store: Store) -> None:
        ann, other = await _owner(store, 1), await _owner(store, 2, at=NOW + 1)
        await ann.say("a", "b", "c", at=NOW + 2)
        first = await _branch(store, ann.session, 2, 3, at=NOW + 3, title="Branch")
        again = await _branch(store, first.session, 1, 4, at=NOW + 4)
        apart = Append(
            session=session_id(5), epoch=0, after=1, at=NOW + 5, entries=(entry("apart"),)
        )
        assert await store.fork(ann.session, 1, apart) is not None
        root = ann.session
        alone = [(apart.session, apart.session), (other.session, other.session)]
        assert await _listed(store) == [alone[0], (root, again.session), alone[1]]
        await first.say("d", at=NOW + 6)
        assert await _listed(store) == [(root, first.session), *alone]
        await ann.say("d", at=NOW + 7)
        assert await _listed(store) == [(root, root), *alone]
        paged = [(found.id, found.info.id) for found in await store.threads("ann", limit=1)]
        assert paged == [(root, root)]
        for session in (root, first.session, again.session):
            branches = await store.branches(session)
            assert [(each.info.id, each.origin, each.upto) for each in branches] == [
                (root, "", 0),
                (first.session, root, 2),
                (again.session, first.session, 1),
            ]
            assert [each.info for each in branches] == [
                await store.find(each.info.id) for each in branches
            ]
        assert [each.info.id for each in await store.branches(apart.session)] == [apart.session]
        assert await store.branches(session_id(99)) == []

    @scenario("P11")
    async def test_a_thread_outlives_the_session_it_began_with(self, store: Store) -> None:
        ann = await _owner(store, 1)
        await ann.say("a", "b")
        one = await _branch(store, ann.session, 1, 2, at=NOW + 2)
        two = await _branch(store, ann.session, 1, 3, at=NOW + 3)
        await store.erase(ann.session)
        assert await _listed(store) == [(ann.session, two.session)]
        assert [each.info.id for each in await store.branches(one.session)] == [
            one.session,
            two.session,
        ]
        await store.erase(two.session)
        assert await _listed(store) == [(ann.session, one.session)]
        await store.erase(one.session)
        assert await _listed(store) == []

    @scenario()
    async def test_what_cannot_be_searched_yet_is_told(self, store: Store) -> None:
        one, two = await _owner(store, 1), await _owner(store, 2)
        empty = await _owner(store, 3)
        bob = await _owner(store, 4, user="bob")
        await one.say("a", "b", at=NOW + 1)
        await two.say("a", at=NOW + 2)
        await bob.say("a")
        behind = [
            Unindexed(session=two.session, after=0, head=1, title="Title 2"),
            Unindexed(session=one.session, after=0, head=2, title="Title 1"),
        ]
        assert await store.unindexed("ann") == behind
        assert await store.unindexed("ann", 1) == behind[:1]
        await _index(store, two.session, "", "x")
        assert await store.unindexed("ann") == behind[1:]
        await two.say("b", "c", at=NOW + 3)
        assert await store.unindexed("ann") == [
            Unindexed(session=two.session, after=1, head=3, title="Title 2"),
            behind[1],
        ]
        await _index(store, two.session, "", "x", after=1)
        await _index(store, one.session, "", "x")
        await _index(store, empty.session, "", "")
        assert await store.unindexed("ann") == []

    @scenario("P17")
    async def test_threads_are_found_by_all_words_in_title_or_text(self, store: Store) -> None:
        owners = [await _owner(store, number, at=NOW + number) for number in range(4)]
        bob = await _owner(store, 9, user="bob")
        for each in (*owners, bob):
            await each.say("a", at=NOW + 10 + each.head)
        ids = [each.session for each in owners]
        await _index(store, ids[0], "Trip to Rome", "When does the train leave?")
        await _index(store, ids[1], "Rome", "A hotel, please")
        await _index(store, ids[2], "", "100% of the train_s; it's 'quoted' \\ and 東京タワー")
        await _index(store, bob.session, "Rome", "train")
        assert await _listed(store, "ann", "rome") == [(ids[1], ids[1]), (ids[0], ids[0])]
        assert await _listed(store, "ann", "rome", "train") == [(ids[0], ids[0])]
        assert await _listed(store, "ann", "rai", "ome") == [(ids[0], ids[0])]
        for word in ("0%", "n_s", "'quoted'", "\\", "京タ"):
            assert await _listed(store, "ann", word) == [(ids[2], ids[2])], word
        for word in ("%", "_", "n_l", "rome train", '"', "missing"):
            found = await _listed(store, "ann", word)
            assert found in ([], [(ids[2], ids[2])]), word
            assert bool(found) is (word in "100% of the train_s"), word
        assert len(await store.threads("ann", words=("rome",), limit=1)) == 1
        page = await store.threads("ann", words=("rome",), limit=1)
        rest = await store.threads("ann", words=("rome",), before=page[0].info.cursor)
        assert [found.id for found in rest] == [ids[0]]

    @scenario()
    async def test_an_excerpt_shows_where_the_first_word_was_found(self, store: Store) -> None:
        ann = await _owner(store)
        await ann.say("a")
        text = "É" * 300 + "Needle" + "x" * 300
        await _index(store, ann.session, "the title", text)
        (found,) = await store.threads("ann", words=("needle", "title"))
        assert found.excerpt == text[300 - EXCERPT_BEFORE :][:EXCERPT]
        (found,) = await store.threads("ann", words=("é",))
        assert found.excerpt == text[:EXCERPT]
        (found,) = await store.threads("ann", words=("title",))
        assert found.excerpt == ""
        (found,) = await store.threads("ann")
        assert found.excerpt == ""

    @scenario()
    async def test_a_thread_is_found_by_any_of_its_branches(self, store: Store) -> None:
        ann = await _owner(store)
        await ann.say("a", at=NOW + 1)
        branch = await _branch(store, ann.session, 1, 2, at=NOW + 2)
        await _index(store, ann.session, "old title", "what was said first")
        await _index(store, branch.session, "new title", "what was said instead")
        for words in (("old",), ("new",), ("said", "first"), ("instead",)):
            assert await _listed(store, "ann", *words) == [(ann.session, branch.session)]
        assert await _listed(store, "ann", "first", "instead") == []
        (found,) = await store.threads("ann", words=("said",))
        assert found.excerpt == "what was said instead"

    @scenario()
    async def test_passages_follow_each_other_and_no_more_than_is_searched_is_kept(
        self, store: Store
    ) -> None:
        ann = await _owner(store)
        await ann.say("a", "b", "c")

        async def index(after: int, upto: int, title: str, text: str) -> None:
            passage = Passage(
                session=ann.session, after=after, upto=upto, title=title, text=text, folded=text
            )
            await store.index([passage])

        await index(1, 2, "gap", "gap ")
        assert await _listed(store, "ann", "gap") == []
        await asyncio.gather(*(index(0, 2, "first", "once ") for _ in range(3)))
        await index(1, 3, "wrong", "wrong ")
        await index(2, 3, "second", "twice ")
        assert await store.unindexed("ann") == []
        for words, there in {
            ("once", "twice", "second"): True,
            ("first",): False,
            ("wrong",): False,
            ("once once",): False,
        }.items():
            assert bool(await _listed(store, "ann", *words)) is there, words
        await ann.say("d")
        await index(3, 4, "", "x" * SEARCHED + "beyond")
        assert await _listed(store, "ann", "xxx") != []
        assert await _listed(store, "ann", "beyond") == []
        gone = Passage(session=session_id(77), after=0, upto=1, text="x", folded="x")
        await store.index([gone])

    @scenario("P17", "P11")
    async def test_links_are_kept_listed_and_revoked(self, store: Store) -> None:
        ann, bob = await _owner(store, 1), await _owner(store, 2, user="bob")
        await ann.say("a", "b")
        await bob.say("a")
        links = [
            Share(token=f"t{number}", session=ann.session, upto=2, at=NOW + number)
            for number in range(3)
        ]
        for link in links:
            assert await store.share(link)
        assert not await store.share(links[0])
        assert not await store.share(Share(token="t9", session=session_id(9), upto=1, at=NOW))
        assert await store.share(Share(token="b", session=bob.session, upto=1, at=NOW))
        assert await store.shared("t1") == links[1]
        assert await store.shared("t9") is None
        assert await store.shares("ann") == links[::-1]
        assert await store.shares("ann", 1) == links[2:]
        assert await store.unshare("t1")
        assert not await store.unshare("t1")
        assert await store.shared("t1") is None
        assert await store.shares("ann") == [links[2], links[0]]

    @scenario("P11")
    async def test_erasing_takes_branches_passages_and_links_along(self, store: Store) -> None:
        ann = await _owner(store, 1)
        await ann.say("a")
        branch = await _branch(store, ann.session, 1, 2, at=NOW + 2)
        for session in (ann.session, branch.session):
            await _index(store, session, "secret", "secret")
            await store.share(Share(token=session[-1] * 3, session=session, upto=1, at=NOW))
        await store.erase(branch.session)
        assert await _listed(store, "ann", "secret") == [(ann.session, ann.session)]
        assert [link.session for link in await store.shares("ann")] == [ann.session]
        assert await store.shared("222") is None
        again = await _owner(store, 2, at=NOW + 3)
        await again.say("a", at=NOW + 3)
        assert [each.info.id for each in await store.branches(again.session)] == [again.session]
        assert await _listed(store, "ann", "secret") == [(ann.session, ann.session)]
        await store.erase(ann.session)
        assert await _listed(store, "ann", "secret") == []
        assert await store.shares("ann") == []
