"""A user's conversations: titles, lists, search, branches, deletion, links."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from house import House, run

import parlour
from parlour.engine.catalogue import ThreadInfo
from parlour.engine.local import AsyncRunning
from parlour.engine.standing import Standing
from parlour.engine.wording import fold_text, words_of
from parlour.errors import Refused
from parlour.events import Close, Say, SessionForked, TitleSet
from parlour.testing import VirtualClock


def echo_app() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        if message.text.startswith("ask"):
            session.reply(f"told {await session.ask('Which?')}")
        elif message.text.startswith("call it"):
            session.title = message.text.removeprefix("call it")
            session.reply(f"This is {session.title}")
        elif message.text == "wait":
            await session.sleep(3600)
        else:
            names = "".join(f" {file.name}" for file in message.files)
            session.reply(f"echo {message.text}{names}")

    return app


async def titles(running: AsyncRunning, query: str = "", user: str = "local") -> list[str]:
    return [found.title for found in await running.threads(query, user=user)]


async def texts(session: parlour.engine.local.AsyncLocalSession) -> list[str]:
    return [said.text for said in await session.history()]


# -- titles ---------------------------------------------------------------------------------


def test_a_session_is_titled_by_its_first_words_by_the_app_and_by_the_user(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            assert await session.title() == ""
            assert await titles(running) == []
            await session.send_message("  Hello\nthere ")
            assert await session.title() == "Hello there"
            assert await titles(running) == ["Hello there"]
            result = await session.send_message("call it a trip \n to Rome")
            assert result.reply == "This is a trip to Rome"
            assert await titles(running) == ["a trip to Rome"]
            await session.rename("Mine")
            assert await titles(running) == ["Mine"]
            await session.send_message("more")
        async with house.running(echo_app()) as running:
            session = await running.get_session(session.id)
            assert await session.title() == "Mine"
            await session.rename("")
            assert await session.title() == "Hello there"
            assert await titles(running) == ["Hello there"]
            titled = [r.event.title for r in await session.records() if type(r.event) is TitleSet]
            assert titled == ["a trip to Rome", "Mine", ""]

    run(main())


@pytest.mark.promise("P8")
def test_a_handler_reads_in_a_replay_the_title_it_read_before(house: House) -> None:
    read: list[str] = []
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        read.append(session.title)
        session.title = "by the app"
        name = await session.ask("Name?")
        read.append(session.title)
        session.title = f"of {name}"
        read.append(session.title)
        session.reply(session.title)

    async def main() -> None:
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("first words")
            await session.rename("by the user")
        read.clear()
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("Ada")).reply == "of Ada"
        assert read == ["first words", "by the user", "of Ada"]

    run(main())


def test_plain_handlers_name_their_session_too(house: House) -> None:
    app = parlour.App()

    @app.on_message
    def answer(session: parlour.BlockingSession, message: parlour.Message) -> None:
        before = session.title
        session.title = "Plain"
        session.reply(f"{before}, {session.title}")
        with pytest.raises(ValueError, match="200 characters"):
            session.title = "x" * 201
        with pytest.raises(TypeError, match="a title is text"):
            session.title = 5  # type: ignore[assignment]

    async def main() -> None:
        async with house.running(app) as running:
            session = await running.get_session()
            assert (await session.send_message("hi")).reply == "hi, Plain"
            assert await titles(running) == ["Plain"]

    run(main())


def test_a_closed_conversation_may_be_renamed(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("hi")
            await session.close()
            await session.rename("Over")
            (found,) = await running.threads()
            assert (found.title, found.closed) == ("Over", True)
            with pytest.raises(Refused, match="closed"):
                await session.send_message("more")

    run(main())


# -- lists ----------------------------------------------------------------------------------


@pytest.mark.promise("P17")
def test_a_list_is_paged_and_holds_only_the_users_own(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            for number in range(5):
                await (await running.get_session(user="ann")).send_message(f"thread {number}")
            await running.get_session(user="ann")  # in which nobody says anything
            await (await running.get_session(user="bob")).send_message("bob's")
            assert await titles(running, user="bob") == ["bob's"]
            catalogue = running.engine.catalogue
            found: list[str] = []
            page = await catalogue.page("ann", limit=2)
            while True:
                found += [thread.title for thread in page.threads]
                if not page.next:
                    break
                assert len(page.threads) == 2
                page = await catalogue.page("ann", limit=2, after=page.next)
            assert sorted(found) == [f"thread {number}" for number in range(5)]
            for nonsense in ("x", "1.000-" + "0" * 31, "-1", "9" * 400):
                with pytest.raises(Refused, match="no place in a list"):
                    await catalogue.page("ann", after=nonsense)

    run(main())


def test_a_list_says_what_works_and_what_waits_for_its_user(house: House) -> None:
    async def standing(running: AsyncRunning) -> Standing:
        (found,) = await running.threads()
        return found.standing

    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("hi")
            assert await standing(running) == Standing("rests", 4)
            asked = await session.send_message("ask")
            assert asked.question is not None
            assert await standing(running) == Standing("asks", asked.question.id)
        async with house.running(echo_app()) as running:
            assert await standing(running) == Standing("asks", asked.question.id)
            session = await running.get_session(session.id)
            await session.answer("that one")
            head = len(await session.records())
            assert await standing(running) == Standing("rests", head - 1)
            await running.engine.send(session.id, "local", Say(id="w", text="wait"))
            assert await standing(running) == Standing("works", head - 1)
            await session.stop()
            assert await standing(running) == Standing("rests", head + 4)

    run(main())


def test_how_a_session_stands_is_found_however_much_it_recorded_since(house: House) -> None:
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        session.reply("told")
        for number in range(300):
            session.set("n", number)
        await session.ask("?")

    async def main() -> None:
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("hi")
            (found,) = await running.threads()
            assert found.standing == Standing("asks", 305)
            await session.stop()
            (found,) = await running.threads()
            assert found.standing == Standing("rests", 306)

    run(main())


# -- search ---------------------------------------------------------------------------------


def test_words_are_compared_without_case_and_accents() -> None:
    for text, folded in {
        "Ärger ÉTÉ Šok": "arger ete sok",
        "ＡＢＣ １２": "abc 12",
        "Ελλάδα Ёлка": "ελλαδα елка",
        "東京タワー 한국 がぎ": "東京タワー 한국 がぎ",
        "a\x00b\u202ec": "a b c",
        "ﬁ ß İ": "ﬁ ß i",
    }.items():
        assert fold_text(text) == folded
        assert len(fold_text(text)) == len(text)
    assert words_of("  The  the ÉTÉ ") == ("the", "ete")
    assert words_of("e\u0301") == ("e",)
    assert len(words_of("a b c d e f g h i j")) == 8
    assert words_of("x" * 500) == ("x" * 64,)


@pytest.mark.promise("P17")
def test_conversations_are_found_by_what_was_said_and_by_their_titles(house: House) -> None:
    clock = house.clock = VirtualClock()

    async def main() -> None:
        async with house.running(echo_app()) as running:
            ann = [await running.get_session(user="ann") for _ in range(3)]
            await ann[0].send_message("Where is the Café?")
            clock.advance(1)
            await ann[1].send_message("ask me something")
            await ann[1].answer("about trains")
            await ann[2].send_message("hello")
            await (await running.get_session(user="bob")).send_message("trains, trains")
            assert await titles(running, "cafe", "ann") == ["Where is the Café?"]
            assert await titles(running, "TRAIN", "ann") == ["ask me something"]
            assert await titles(running, "echo", "ann") == []
            assert await titles(running, "where trains", "ann") == []
            await ann[2].send_message("the café again")
            await ann[2].rename("Second one")
            assert await titles(running, "cafe", "ann") == ["Second one", "Where is the Café?"]
            assert await titles(running, "second again", "ann") == ["Second one"]
            (found,) = await running.threads("trains", user="ann")
            assert "about trains" in found.excerpt
        async with house.running(echo_app()) as running:
            assert await titles(running, "train", "ann") == ["ask me something"]

    run(main())


def test_what_cannot_be_searched_in_the_time_is_said_and_found_later(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            for number in range(3):
                await (await running.get_session()).send_message(f"needle {number}")
            engine, late = running.engine, 0.0

            def hurried() -> float:
                nonlocal late
                late += 1.0
                return late

            monotonic, engine.monotonic = engine.monotonic, hurried
            pages = [await engine.catalogue.page("local", "needle") for _ in range(4)]
            engine.monotonic = monotonic
            assert not pages[0].complete
            assert [len(page.threads) for page in pages] == [1, 2, 3, 3]
            assert pages[-1].complete

    run(main())


# -- branches -------------------------------------------------------------------------------


@pytest.mark.promise("P15")
def test_what_was_said_may_be_said_otherwise_in_a_branch(house: House) -> None:
    clock = house.clock = VirtualClock()

    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a", id="first")
            at = len(await session.records()) + 1
            await session.send_message("b")
            clock.advance(1)
            branch, result = await session.branch("c", before=at)
            assert result.reply == "echo c"
            assert await texts(branch) == ["a", "echo a", "c", "echo c"]
            assert await texts(session) == ["a", "echo a", "b", "echo b"]
            clock.advance(1)
            again, result = await branch.branch(before=at + 1)
            assert result.reply == "echo c"
            assert await texts(again) == ["a", "echo a", "c", "echo c"]
            assert await branch.branches() == (session.id, branch.id, again.id)
            (thread,) = await running.threads()
            assert (thread.session, thread.title) == (again.id, "a")
            clock.advance(1)
            await session.send_message("d")
            (thread,) = await running.threads()
            assert thread.session == session.id
            found = await running.engine.catalogue.branches(session.id, "local")
            assert [(each.origin, each.upto) for each in found] == [
                ("", 0),
                (session.id, at - 1),
                (branch.id, at),
            ]
            (forked,) = [r for r in await again.records() if type(r.event) is SessionForked][-1:]
            assert forked.seq == at + 1

    run(main())


@pytest.mark.promise("P4")
def test_a_branch_that_is_asked_for_again_is_the_same_one(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            calls = [
                running.engine.catalogue.branch(
                    session.id, "local", before=2, command="once", text="b"
                )
                for _ in range(5)
            ]
            accepted = await asyncio.gather(*calls)
            assert len({each.session for each in accepted}) == 1
            assert sum(not each.repeated for each in accepted) == 1
            assert len(await session.branches()) == 2
        async with house.running(echo_app()) as running:
            later = await running.engine.catalogue.branch(
                session.id, "local", before=2, command="once", text="b"
            )
            assert (later.session, later.repeated) == (accepted[0].session, True)

    run(main())


def test_a_branch_has_the_files_and_the_title_of_what_it_came_from(
    house: House, tmp_path: Path
) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            first = [{"content": b"1", "name": "one.txt"}]
            await session.send_message("a", files=first)
            at = len(await session.records()) + 1
            second = [{"content": b"2", "name": "two.txt"}]
            await session.send_message("b", files=second)
            await session.rename("Named later")
            branch, result = await session.branch("c", before=at)
            assert result.reply == "echo c two.txt"
            assert await branch.title() == "Named later"
            files = (await branch.state()).files
            assert [file.name for file in files] == ["one.txt", "two.txt"]
            path = running.engine.files.path(branch.id, files[1].id)
            assert path.read_bytes() == b"2"
            bare = await running.engine.catalogue.branch(
                session.id, "local", before=at, command="bare", text="d", files=[]
            )
            assert [f.name for f in (await running.engine.state_of(bare.session)).files] == [
                "one.txt"
            ]
            await branch.rename("All of them")
            assert await session.title() == "All of them"
            first_words, _ = await session.branch("Otherwise", before=2)
            assert await first_words.title() == "All of them"

    run(main())


@pytest.mark.promise("P17")
def test_a_branch_that_cannot_be_is_refused_and_leaves_nothing(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            branch = running.engine.catalogue.branch
            for before in (-1, 0, 1, 3, 4, 99, 2**63):
                with pytest.raises(Refused, match="no message of yours"):
                    await branch(session.id, "local", before=before, command="c", text="b")
            for user, id_ in (("eve", session.id), ("local", "0" * 32)):
                with pytest.raises(Refused) as refused:
                    await branch(id_, user, before=2, command="c", text="b")
                assert refused.value.code == "unknown_session"
            with pytest.raises(Refused, match="no such file"):
                await branch(session.id, "local", before=2, command="c", text="b", files=["0" * 32])
            for text, code in (("", "invalid"), ("x" * 70_000, "too_large")):
                with pytest.raises(Refused) as refused:
                    await branch(session.id, "local", before=2, command="c", text=text)
                assert refused.value.code == code
            with pytest.raises(Refused, match="id of 1 to 128"):
                await branch(session.id, "local", before=2, command="", text="b")
            assert await session.branches() == (session.id,)
            assert running.engine.files.sessions() in ([], [session.id])

    run(main())


def test_branches_are_an_apps_choice(house: House) -> None:
    house.settings = parlour.Settings(branching=False)

    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            with pytest.raises(Refused, match="cannot be changed"):
                await session.branch("b", before=2)

    run(main())


# -- the end --------------------------------------------------------------------------------


@pytest.mark.promise("P11")
def test_a_conversation_is_deleted_with_all_its_branches_while_it_runs(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            other = await running.get_session()
            await other.send_message("other")
            session = await running.get_session()
            await session.send_message("a")
            branch, _ = await session.branch("b", before=2)
            await running.engine.send(session.id, "local", Say(id="w", text="wait"))
            watched = asyncio.ensure_future(_to_the_end(running, branch.id))
            with pytest.raises(Refused, match="no such session"):
                await running.engine.catalogue.erase(session.id, "eve")
            await session.erase()
            assert await asyncio.wait_for(watched, 20) == "closed"
            assert await titles(running) == ["other"]
            assert await titles(running, "a b") == []
            for id_ in (session.id, branch.id):
                with pytest.raises(Refused, match="no such session"):
                    await running.get_session(id_)
            with pytest.raises(Refused, match="no such session"):
                await session.erase()

    run(main())


async def _to_the_end(running: AsyncRunning, session: str) -> str:
    try:
        async for _ in running.engine.events(session, 0):
            pass
    except Refused as refused:
        return refused.code
    return "closed"


# -- links ----------------------------------------------------------------------------------


@pytest.mark.promise("P17")
def test_a_link_leads_to_what_was_said_until_it_was_made_and_can_be_revoked(house: House) -> None:
    house.settings = parlour.Settings(sharing=True)

    async def main() -> None:
        async with house.running(echo_app()) as running:
            catalogue = running.engine.catalogue
            session = await running.get_session(user="ann")
            await session.send_message("a")
            share = await catalogue.share(session.id, "ann")
            assert (share.session, share.upto) == (session.id, 5)
            assert len(share.token) == 32
            await session.send_message("b")
            assert await catalogue.shared(share.token) == share
            later = await catalogue.share(session.id, "ann")
            shares = await catalogue.shares("ann")
            assert {each.token for each, _ in shares} == {later.token, share.token}
            assert await catalogue.shares("bob") == ()
            for call in (
                catalogue.share(session.id, "bob"),
                catalogue.unshare(share.token, "bob"),
                catalogue.unshare("x", "ann"),
                catalogue.shared("x"),
            ):
                with pytest.raises(Refused, match="There is no such"):
                    await call
            await catalogue.unshare(share.token, "ann")
            with pytest.raises(Refused, match="no such link"):
                await catalogue.shared(share.token)
        async with house.running(echo_app()) as running:
            catalogue = running.engine.catalogue
            assert await catalogue.shared(later.token) == later
            await catalogue.erase(session.id, "ann")
            with pytest.raises(Refused, match="no such link"):
                await catalogue.shared(later.token)

    run(main())


def test_links_are_off_unless_the_app_wants_them_and_they_are_bounded(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            with pytest.raises(Refused, match="cannot be shared"):
                await running.engine.catalogue.share(session.id, "local")
            with pytest.raises(Refused, match="cannot be shared"):
                await running.engine.catalogue.shared("x")
        limits = parlour.Limits(links_per_user=1)
        house.settings = parlour.Settings(sharing=True, limits=limits)
        async with house.running(echo_app()) as running:
            await running.engine.send(session.id, "local", Close(id="bye"))
            await running.engine.catalogue.share(session.id, "local")
            with pytest.raises(Refused, match="1 links already"):
                await running.engine.catalogue.share(session.id, "local")

    run(main())


def test_a_script_that_blocks_has_the_same_words(tmp_path: Path) -> None:
    with parlour.local(echo_app(), store=f"sqlite:///{tmp_path}/x.db") as running:
        session = running.get_session()
        session.send_message("hello")
        assert session.title == "hello"
        session.rename("Greeting")
        branch, result = session.branch("good day", before=2)
        assert result.reply == "echo good day"
        assert session.branches() == (session.id, branch.id)
        (found,) = running.threads("day")
        assert isinstance(found, ThreadInfo)
        assert (found.title, found.session) == ("Greeting", branch.id)
        branch.erase()
        assert running.threads() == []
