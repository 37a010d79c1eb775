"""Erasing, retention and forks, on every store of one machine."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from house import House, run, said, settled, types, until

import parlour
from parlour.errors import Refused
from parlour.events import Close, Record, Say, SessionClosed, SessionForked
from parlour.state import Phase, State, fold
from parlour.stores.files import one_chunk
from parlour.testing import VirtualClock


def echo_app() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        session.set("last", message.text)
        session.reply(f"echo {message.text}")

    return app


def everything(folder: Path) -> bytes:
    """All bytes below a folder, and all names."""
    found = b""
    for path in sorted(folder.rglob("*")):
        found += str(path.relative_to(folder)).encode()
        found += path.read_bytes() if path.is_file() else b""
    return found


# -- erasing -------------------------------------------------------------------------------


@pytest.mark.promise("P11")
def test_erasing_ends_what_runs_and_leaves_nothing(house: House, tmp_path: Path) -> None:
    async def main() -> None:
        app = parlour.App()
        unwound: list[str] = []

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            tag = message.text.partition("-")[0]
            (session.workspace / f"{tag}-scratch.txt").write_text(f"{tag}-scratch")
            session.set("kept", f"{tag}-value")
            session.reply(f"{tag}-reply")
            if message.text == "secret-wait":
                try:
                    await session.ask("secret-question")
                finally:
                    unwound.append(session.id)

        async with house.running(app) as running:
            engine = running.engine
            mine = await running.get_session(user="secret-ada")
            other = await running.get_session(user="eve")
            file = {"content": b"secret-file", "name": "secret.txt"}
            await mine.send_message("secret-hello", files=[file])
            assert (await mine.send_message("secret-wait")).status == "waiting"
            await other.send_message("b")
            assert await engine.erase(mine.id) is True
            assert unwound == [mine.id]
            assert engine.find_live(mine.id) is None
            assert await engine.store.find(mine.id) is None
            assert b"secret-" not in everything(tmp_path)
            assert mine.id not in engine.files.sessions()
            assert await engine.erase(mine.id) is False
            for command in (Say(id="x", text="a"), Close(id="y")):
                with pytest.raises(Refused) as refused:
                    await engine.send(mine.id, "secret-ada", command)
                assert refused.value.code == "unknown_session"
            with pytest.raises(Refused) as refused:
                await mine.state()
            assert (await other.send_message("c")).reply == "c-reply"
            assert await said(other)

    run(main())


@pytest.mark.promise("P11")
def test_whoever_listens_to_an_erased_session_is_told_and_let_go(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            for sleeps in (False, True):
                session = await running.get_session()
                await session.send_message("a")
                activation = running.engine.find_live(session.id)
                assert activation is not None
                if sleeps:
                    assert activation.release()
                records = await session.records()
                heard: list[Record] = []

                async def listen(id_: str, heard: list[Record] = heard) -> None:
                    async for item in running.engine.events(id_):
                        assert isinstance(item, Record)
                        heard.append(item)

                listening = asyncio.create_task(listen(session.id))
                await until(lambda heard=heard, records=records: len(heard) == len(records))
                await running.engine.erase(session.id)
                await listening
                assert heard[:-1] == records
                assert heard[-1].seq == len(records) + 1
                assert heard[-1].event == SessionClosed(reason="erased")

    run(main())


@pytest.mark.promise("P11")
def test_what_comes_while_a_session_is_erased_finds_none(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            sessions = [await running.get_session() for _ in range(8)]

            async def bother(id_: str) -> str:
                code = ""
                while not code:
                    try:
                        await running.engine.send(id_, None, Say(id=uuid4().hex, text="secret"))
                    except Refused as refused:
                        code = refused.code if refused.code != "unavailable" else ""
                return code

            bothering = [asyncio.create_task(bother(session.id)) for session in sessions]
            await asyncio.sleep(0)
            erased = await asyncio.gather(*(running.engine.erase(each.id) for each in sessions))
            assert all(erased)
            assert await asyncio.gather(*bothering) == ["unknown_session"] * 8
            assert list(await running.engine.store.sessions()) == []
            assert running.engine.live == 0

    run(main())


@pytest.mark.promise("P11")
def test_erasing_a_user_takes_all_sessions_and_variables_of_that_user_only(
    house: House, tmp_path: Path
) -> None:
    async def main() -> None:
        app = echo_app()

        @app.on_open
        async def begin(session: parlour.Session) -> None:
            await session.user.set("name", f"secret-{session.user.id}")

        async with house.running(app) as running:
            engine = running.engine
            for user in ("ada", "eve") * 3:
                session = await running.get_session(user=user)
                await session.send_message(f"secret-{user}")
            assert await engine.erase_user("ada") == 3
            assert await engine.erase_user("ada") == 0
            assert list(await engine.store.sessions("ada")) == []
            assert list(await engine.store.user_values("ada")) == []
            assert len(await engine.store.sessions("eve")) == 3
            assert len(await engine.store.user_values("eve")) == 1
            assert b"secret-ada" not in everything(tmp_path)

    run(main())


@pytest.mark.promise("P11")
def test_an_erasure_that_a_crash_cut_off_is_finished_at_the_next_start(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a", files=[{"content": b"x", "name": "x"}])
            running.engine.files.condemn(session.id)
            await house.crash(running)
        async with house.running(echo_app()) as running:
            assert await running.engine.store.find(session.id) is None
            assert not list(running.engine.files.root.iterdir())

    run(main())


@pytest.mark.promise("P11")
@pytest.mark.promise("P13")
def test_a_handler_that_does_not_end_does_not_keep_its_session(house: House) -> None:
    async def main() -> None:
        app = parlour.App()
        stop = asyncio.Event()

        @app.on_message
        async def answer(session: parlour.Session, message: parlour.Message) -> None:
            while not stop.is_set():
                try:
                    await stop.wait()
                except BaseException:  # noqa: BLE001 - as users do
                    continue

        limits = parlour.Limits(stop_seconds=0.05)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(app) as running:
            session = await running.get_session()
            await running.engine.send(session.id, None, Say(id="a", text="a"))
            assert await running.engine.erase(session.id) is True
            assert await running.engine.store.find(session.id) is None
            stop.set()

    run(main())


# -- retention -----------------------------------------------------------------------------


@pytest.mark.promise("P11")
def test_closed_sessions_are_erased_when_they_have_been_kept_long_enough(house: House) -> None:
    async def main() -> None:
        clock = house.clock = VirtualClock()
        house.settings = parlour.Settings(retain_days=30, expire_after=86_400.0)
        async with house.running(echo_app()) as running:
            store = running.engine.store
            closed = await running.get_session()
            await closed.send_message("a", files=[{"content": b"x", "name": "x"}])
            await closed.close()
            left = await running.get_session()
            await left.send_message("a")
            for _ in range(31):
                assert await store.find(closed.id) is not None
                young = await running.get_session()
                await young.send_message("a")
                clock.advance(86_400.0)
                await running.engine.keeper.tick()
                await until(lambda: not running.engine.tasks)
            for gone in (closed, left):
                clock.advance(4000.0)
                await running.engine.keeper.tick()
                while await store.find(gone.id) is not None:
                    clock.advance(40_000.0)
                    await running.engine.keeper.tick()
                    await asyncio.sleep(0.001)
            assert running.engine.files.sessions() == []
            info = await store.find(young.id)
            assert info is not None, "it has not been kept long enough"

    run(main())


def test_without_the_setting_nothing_is_ever_erased(house: House) -> None:
    async def main() -> None:
        clock = house.clock = VirtualClock()
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.close()
            clock.advance(1e9)
            await running.engine.keeper.tick()
            await until(lambda: not running.engine.tasks)
            assert await running.engine.store.find(session.id) is not None

    run(main())


# -- time travel ---------------------------------------------------------------------------


@pytest.mark.promise("P15")
def test_a_session_is_read_as_it_was_after_any_record(house: House) -> None:
    async def main() -> None:
        house.settings = parlour.Settings(development=True, snapshot_every=4)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            for text in "abc":
                await session.send_message(text)
            records = await session.records()
            state = State(window=(await session.state()).window)
            for record in records:
                state = fold([(record.event, record.at)], state)
                assert await running.engine.state_of(session.id, at=record.seq) == state
            assert state == await session.state()
            for at in (0, -1, len(records) + 1):
                with pytest.raises(Refused, match=f"records 1 to {len(records)}"):
                    await running.engine.state_of(session.id, at=at)
            with pytest.raises(Refused, match="no such session"):
                await running.engine.state_of("0" * 32, at=1)

    run(main())


@pytest.mark.promise("P15")
def test_a_fork_goes_its_own_way_from_where_it_began(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a", id="first")
            at = len(await session.records())
            await session.send_message("b", id="second")
            forked = await running.engine.fork(session.id, at=at, user="local")
            assert forked.session != session.id
            fork = await running.get_session(forked.session)
            assert await said(fork) == ["user: a", "bot: echo a"]
            assert await fork.get("last") == "a"
            records = await fork.records()
            assert records[:at] == (await session.records())[:at]
            assert records[at].event == SessionForked(origin=session.id, seq=at)
            assert forked.seq == at + 1
            assert (await fork.send_message("c")).reply == "echo c"
            assert await session.get("last") == "b"
            again = await running.engine.send(fork.id, "local", Say(id="first", text="a"))
            assert (again.repeated, again.seq) == (True, 2)
            other = await running.engine.send(fork.id, "local", Say(id="second", text="other"))
            assert not other.repeated
            assert await running.engine.erase(session.id)
            assert (await fork.send_message("d")).reply == "echo d"
        async with house.running(echo_app()) as running:
            again_here = await running.get_session(fork.id)
            assert (await said(again_here))[-1] == "bot: echo d"

    run(main())


@pytest.mark.promise("P15")
def test_a_fork_has_files_of_its_own(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            engine = running.engine
            session = await running.get_session()
            await session.send_message("a", files=[{"content": b"first", "name": "a.txt"}])
            at = len(await session.records())
            await session.send_message("b", files=[{"content": b"later", "name": "b.txt"}])
            await engine.files.add(
                session.id, one_chunk(b"never said"), name="c", type_="", limit=99
            )
            fork = (await engine.fork(session.id, at=at)).session
            [(ref, path)] = engine.files.stored(fork)
            assert (ref.name, path.read_bytes()) == ("a.txt", b"first")
            engine.files.path(session.id, ref.id).write_bytes(b"changed")
            assert path.read_bytes() == b"first"
            await engine.erase(session.id)
            assert path.read_bytes() == b"first"
            assert (await engine.state_of(fork)).files == (ref,)

    run(main())


def asking_app() -> parlour.App:
    app = parlour.App()

    @app.on_message
    async def answer(session: parlour.Session, message: parlour.Message) -> None:
        name = await session.ask(f"{message.text}?")
        session.reply(f"{message.text} {name}")

    return app


@pytest.mark.promise("P15")
@pytest.mark.parametrize("again", [False, True])
def test_a_round_that_ran_is_stopped_in_the_fork_or_runs_anew(house: House, again: bool) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            assert (await session.send_message("name")).status == "waiting"
            fork = (await running.engine.fork(session.id, again=again)).session
            copy = await running.get_session(fork)
            if again:
                while (question := await copy.question()) is None:
                    await asyncio.sleep(0.001)
                assert question.text == "name?"
                assert (await copy.answer("Bob")).reply == "name Bob"
            else:
                assert (await copy.state()).phase is Phase.IDLE
                assert await copy.question() is None
                assert (await copy.send_message("age")).status == "waiting"
            assert (await session.answer("Ada")).reply == "name Ada"
            names = await types(copy)
            assert names.index("RoundFinished") == names.index("SessionForked") + 1

    run(main())


@pytest.mark.promise("P15")
def test_what_waited_where_a_session_is_forked_is_answered_in_the_fork(house: House) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            await session.send_message("name")
            engine = running.engine
            activation = engine.find_live(session.id)
            assert activation is not None
            # A signal of the page waits behind the question; a message would answer it.
            await engine.send(session.id, None, Close(id="c"))
            await settled(session)
            at = next(
                record.seq
                for record in await session.records()
                if type(record.event).__name__ == "MessageAdded"
            )
            fork = await running.get_session((await engine.fork(session.id, at=at)).session)
            while await fork.question() is None:
                await asyncio.sleep(0.001)
            assert (await fork.answer("Ada")).reply == "name Ada"

    run(main())


@pytest.mark.promise("P15")
def test_the_opening_round_may_run_anew_in_a_fork(house: House) -> None:
    async def main() -> None:
        app = parlour.App()

        @app.on_open
        async def begin(session: parlour.Session) -> None:
            session.reply(f"Hello {await session.ask('Name?')}")

        async with house.running(app) as running:
            session = await running.get_session()
            await session.answer("Ada")
            asked = next(
                record.seq
                for record in await session.records()
                if type(record.event).__name__ == "QuestionAsked"
            )
            forked = await running.engine.fork(session.id, at=asked, again=True)
            fork = await running.get_session(forked.session)
            while await fork.question() is None:
                await asyncio.sleep(0.001)
            assert (await fork.answer("Bob")).reply == "Hello Bob"

    run(main())


@pytest.mark.promise("P15")
def test_a_fork_that_has_work_begins_it_after_a_crash(house: House) -> None:
    async def main() -> None:
        async with house.running(asking_app()) as running:
            session = await running.get_session()
            await session.send_message("name")
            fork = (await running.engine.fork(session.id, again=True)).session
            await house.crash(running)
        async with house.running(asking_app()) as running:
            copy = await running.get_session(fork)
            while await copy.question() is None:
                await asyncio.sleep(0.001)
            assert (await copy.answer("Bob")).reply == "name Bob"

    run(main())


@pytest.mark.promise("P15")
@pytest.mark.promise("P17")
def test_a_fork_that_cannot_be_is_refused_and_leaves_nothing(house: House) -> None:
    async def main() -> None:
        async with house.running(echo_app()) as running:
            engine = running.engine
            session = await running.get_session(user="ada")
            await session.send_message("a", files=[{"content": b"x", "name": "x"}])
            for id_, user in ((session.id, "eve"), ("0" * 32, "ada"), ("0" * 32, None)):
                with pytest.raises(Refused) as refused:
                    await engine.fork(id_, user=user)
                assert refused.value.code == "unknown_session"
            with pytest.raises(Refused, match="records 1 to"):
                await engine.fork(session.id, at=99)
            await session.close()
            await settled(session)
            with pytest.raises(Refused, match="earlier record"):
                await engine.fork(session.id)
            assert len(await engine.store.sessions()) == 1
            assert engine.files.sessions() == [session.id]
            head = len(await session.records())
            assert await engine.fork(session.id, at=head - 1, user="ada")

    run(main())


@pytest.mark.promise("P12")
def test_a_user_has_no_more_sessions_by_forking(house: House) -> None:
    async def main() -> None:
        limits = parlour.Limits(sessions_per_user=3)
        house.settings = parlour.Settings(development=True, limits=limits)
        async with house.running(echo_app()) as running:
            session = await running.get_session()
            await session.send_message("a")
            for _ in range(2):
                await running.engine.fork(session.id)
            with pytest.raises(Refused) as refused:
                await running.engine.fork(session.id)
            assert refused.value.code == "too_many"

    run(main())


def test_a_store_with_forks_and_erasures_is_whole(house: House, tmp_path: Path) -> None:
    if house.kind == "memory":
        pytest.skip("there is no file to check")

    async def main() -> None:
        async with house.running(echo_app()) as running:
            for turn in range(12):
                session = await running.get_session()
                await session.send_message(f"{turn}")
                for at in range(1, len(await session.records()), 2):
                    await running.engine.fork(session.id, at=at)
                if turn % 3 == 0:
                    await running.engine.erase(session.id)

    run(main())
    with closing(sqlite3.connect(tmp_path / "house.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        gaps = db.execute(
            "SELECT id FROM session WHERE head <>"
            " (SELECT sum(count) FROM chunk JOIN place ON chunk.id = place.chunk"
            " WHERE place.session = key)"
        ).fetchall()
        assert gaps == []
