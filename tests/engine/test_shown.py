"""Attachments, parts of the work, progress: durable, nested, and in a replay not done again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from house import House, run, types, until

import parlour
from parlour.events import (
    Delta,
    MessageAdded,
    PartBegun,
    PartEnded,
    PartStreamed,
    ProgressShown,
    Record,
    Say,
)
from parlour.session.attachments import Packed
from parlour.stores.files import Files

promise = pytest.mark.promise


class Counted(parlour.Attachment):
    """Tells how often it is made."""

    def __init__(self, name: str = "a.txt", content: bytes = b"hello") -> None:
        self.made = 0

        def pack() -> Packed:
            self.made += 1
            self.thread = threading.current_thread()
            return Packed(content=content, type="text/plain", size=len(content))

        super().__init__(name, pack)


def app_of(talk: Any) -> parlour.App:
    app = parlour.App()
    app.on_message(talk)
    return app


def contents(house: House, session: str, files: tuple[Any, ...]) -> list[bytes]:
    assert house.engine is not None
    return [house.engine.files.path(session, file.id).read_bytes() for file in files]


@promise("P5")
def test_the_files_of_a_message_are_there_before_it_is_told(house: House, monkeypatch) -> None:
    gate, keep = threading.Event(), Files.keep

    def slow(*arguments: Any) -> None:
        assert gate.wait(20)
        keep(*arguments)

    monkeypatch.setattr(Files, "keep", slow)

    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("before")
            session.reply("look", attachments=[parlour.File(name="a.txt", content=message.text)])
            session.reply("after")

        async with house.running(app_of(talk)) as running:
            session, other = await running.get_session(), await running.get_session()
            sending = asyncio.ensure_future(session.send_message("hello"))
            engine = running.engine
            await until(lambda: (live := engine.find_live(session.id)) and live.state.seq >= 5)
            gate_closed = [record.event for record in await session.records()]
            assert not any(isinstance(event, MessageAdded) for event in gate_closed)
            await other.set("others", "go on")
            gate.set()
            result = await sending
            assert result.replies == ("before", "look", "after")
            (message,) = [e for e in result.events if isinstance(e, MessageAdded) and e.files]
            assert contents(house, session.id, message.files) == [b"hello"]

    run(main())


@promise("P8")
def test_in_a_replay_nothing_is_made_or_written_again(house: House) -> None:
    attachment = Counted()

    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("look", attachments=[attachment, parlour.Action("Go", "go", [1])])
            file = await session.attach(attachment)
            async with session.stream() as out:
                out.write("and again")
                out.attach(file)
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("fine")
            assert result.status == "done"
            state = await session.state()
            assert contents(house, session.id, state.files) == [b"hello", b"hello"]
            assert len(running.engine.files.stored(session.id)) == 2
        assert attachment.made == 1

    run(main())


@promise("P9")
def test_other_files_than_those_recorded_are_divergence(house: House) -> None:
    async def main() -> None:
        name = "a.txt"

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("look", attachments=[Counted(name)])
            await session.ask("Well?")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        name = "b.txt"
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("fine")).status == "diverged"

    run(main())


@promise("P12")
@pytest.mark.parametrize(
    ("limits", "brought"),
    [
        ({"upload_bytes": 4}, lambda: [Counted()]),
        ({"files_per_message": 1}, lambda: [Counted(), Counted()]),
        ({"files_per_session": 1}, lambda: [Counted(), Counted()]),
        ({"reply_bytes": 100}, lambda: [parlour.Action("Go", "go", "x" * 200)]),
    ],
)
def test_what_a_message_may_bring_is_bounded_and_too_much_leaves_nothing(
    house: House, limits, brought
) -> None:
    house.settings = parlour.Settings(development=True, limits=parlour.Limits(**limits))

    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            try:
                session.reply("look", attachments=brought())
            except parlour.ParlourError as error:
                session.reply(type(error).__name__)

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            assert (await session.send_message("go")).reply == "LimitExceeded"
            assert running.engine.files.stored(session.id) == []

    run(main())


@promise("P5")
def test_a_disk_that_refuses_a_file_drops_the_message_and_tells_nobody(house: House) -> None:
    broken = True
    keep = Files.keep

    async def main() -> None:
        def refuse(*arguments: Any) -> None:
            if broken:
                raise parlour.errors.StoreUnavailable("no room")
            keep(*arguments)

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply("look", attachments=[Counted()])

        async with house.running(app_of(talk)) as running:
            Files.keep = refuse  # type: ignore[method-assign]
            session = await running.get_session()
            with pytest.raises(parlour.Refused):
                await session.send_message("go")
            assert "MessageAdded" not in await types(session)
            nonlocal broken
            broken = False
            result = await session.send_message("once more")
            assert result.replies == ("look",)

    try:
        run(main())
    finally:
        Files.keep = keep  # type: ignore[method-assign]


def test_a_plain_handler_makes_its_attachments_in_its_own_thread(house: House) -> None:
    attachment = Counted()

    async def main() -> None:
        def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
            with session.part("Drawing", input={"n": 1}) as part:
                part.write("half")
                session.progress(1, 2, "lines")
                part.output = "done"
            session.reply("look", attachments=[attachment])
            session.reply("again", attachments=[session.attach(Counted("b.txt", b"b"))])

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            result = await session.send_message("go")
            assert result.replies == ("look", "again")
            files = (await session.state()).files
            assert contents(house, session.id, files) == [b"hello", b"b"]
        assert attachment.thread is not threading.main_thread()

    run(main())


def test_a_file_by_its_path_is_copied_and_may_go_afterwards(house: House, tmp_path: Path) -> None:
    report = tmp_path / "report.bin"
    report.write_bytes(b"x" * 1_000_000)

    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            await session.reply("look", attachments=[report])
            report.unlink()

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            result = await session.send_message("go")
            (message,) = [e for e in result.events if isinstance(e, MessageAdded) and e.files]
            assert contents(house, session.id, message.files) == [b"x" * 1_000_000]

    run(main())


async def searching(session: parlour.Session, message: parlour.Message) -> None:
    async with session.part("Plan", input={"for": message.text}, cost=True) as plan:
        session.add_cost(0.25, input_tokens=10, output_tokens=5)
        results = await session.gather(look(session, "north"), look(session, "south"))
        plan.output = results
    if await session.confirm("Go on?"):
        try:
            async with session.part("Book") as book:
                book.write("calling ")
                raise ValueError("no room")
        except ValueError:
            session.reply("sorry")


async def look(session: parlour.Session, where: str) -> int:
    async with session.part(f"Look {where}", kind="tool") as part:
        part.write(where)
        session.add_cost(0.5)
        return await session.step(len, where, show="all")


def test_parts_are_nested_by_their_paths_and_say_how_they_ended(house: House) -> None:
    async def main() -> None:
        async with house.running(app_of(searching)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await session.answer(True)
            events = [record.event for record in await session.records()]
            begun = {e.path: e for e in events if isinstance(e, PartBegun)}
            ended = {e.path.removesuffix("/end#1"): e for e in events if isinstance(e, PartEnded)}
            assert (
                set(begun)
                == set(ended)
                == {
                    "part:Plan#1",
                    "part:Plan#1/gather#1/0/part:Look north#1",
                    "part:Plan#1/gather#1/0/part:Look north#1/part:len#1",
                    "part:Plan#1/gather#1/1/part:Look south#1",
                    "part:Plan#1/gather#1/1/part:Look south#1/part:len#1",
                    "part:Book#1",
                }
            )
            plan = ended["part:Plan#1"]
            assert begun["part:Plan#1"].input == '```json\n{\n  "for": "go"\n}\n```'
            assert plan.output == "```json\n[\n  5,\n  5\n]\n```"
            assert plan.cost is not None
            assert (plan.cost.input_tokens, plan.cost.amount) == (10, 1.25)
            book = ended["part:Book#1"]
            assert (book.status, book.output, book.cost) == ("failed", "calling ", None)

    run(main())


@promise("P8")
def test_parts_are_not_shown_again_in_a_replay(house: House) -> None:
    async def main() -> None:
        async with house.running(app_of(searching)) as running:
            session = await running.get_session()
            await session.send_message("go")
            before = await types(session)
            await house.crash(running)
        async with house.running(app_of(searching)) as running:
            session = await running.get_session(session.id)
            result = await session.answer(True)
            assert (result.status, result.reply) == ("done", "sorry")
            after = await types(session, len(before))
            assert after.count("PartBegun") == after.count("PartEnded") == 1

    run(main())


@promise("P8")
def test_a_round_killed_within_parts_goes_on_within_them(house: House) -> None:
    async def main() -> None:
        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async with session.part("Outer"):
                async with session.part("Inner") as inner:
                    inner.write("asking")
                    name = await session.ask("Name?")
                    inner.output = name
                session.reply("thanks")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app_of(talk)) as running:
            session = await running.get_session(session.id)
            result = await session.answer("Ada")
            assert (result.status, result.reply) == ("done", "thanks")
            ended = [e for r in await session.records() if isinstance(e := r.event, PartEnded)]
            assert [(e.path, e.output) for e in ended] == [
                ("part:Outer#1/part:Inner#1/end#1", "Ada"),
                ("part:Outer#1/end#1", ""),
            ]

    run(main())


@promise("P6")
def test_who_returns_in_mid_round_is_told_what_came_out_so_far_and_how_far_it_is(
    house: House,
) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            async with session.part("Count") as part:
                for number in range(5):
                    part.write(f"{number} ")
                    session.progress(number, 5, "numbers")
                    await asyncio.sleep(0)
                await go.wait()
            session.progress(1, text="closing")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            await running.engine.send(session.id, "local", Say(id="s", text="go"))
            live = running.engine.find_live(session.id)
            assert live is not None
            await until(lambda: any(getattr(d, "done", 0) == 4 for d in live.runner.so_far()))
            await until(lambda: any(d.text.endswith("4 ") for d in live.runner.so_far()))
            seen: list[Delta] = []
            reading = running.engine.events(session.id, 0)
            async for item in reading:
                if not isinstance(item, Record):
                    seen.append(item)
                if len(seen) == 2:
                    break
            await reading.aclose()
            path = "part:Count#1"
            assert seen == [
                PartStreamed(round=1, path=path, offset=0, text="0 1 2 3 4 "),
                ProgressShown(round=1, path=path, done=4.0, total=5.0, text="numbers"),
            ]
            go.set()
            await until(lambda: live.state.round is None)
            assert live.runner.so_far() == []
            assert not {"ProgressShown", "PartStreamed"} & set(await types(session))

    run(main())


@promise("P14")
def test_a_stopped_round_leaves_its_parts_open_and_a_lost_race_ends_its_own(house: House) -> None:
    async def main() -> None:
        async def slow(session: parlour.Session) -> None:
            async with session.part("Slow"):
                await session.sleep(600)

        async def quick(session: parlour.Session) -> str:
            return await session.step(str, 7)

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            session.reply(str(await session.race(slow(session), quick(session))))
            await session.ask("Well?")
            async with session.part("Last"):
                await session.ask("And?")

        app = app_of(talk)
        async with house.running(app) as running:
            session = await running.get_session()
            await session.send_message("go")
            await house.crash(running)
        async with house.running(app) as running:
            session = await running.get_session(session.id)
            assert (await session.answer("fine")).status == "waiting"
            assert await session.stop()
            events = [record.event for record in await session.records()]
            ended = [e for e in events if isinstance(e, PartEnded)]
            assert [(e.path, e.status) for e in ended] == [
                ("race#1/0/part:Slow#1/end#1", "stopped")
            ]
            assert [e.name for e in events if isinstance(e, PartBegun)] == ["Slow", "Last"]

    run(main())


@promise("P12")
def test_parts_stand_in_each_other_only_so_deep(house: House) -> None:
    async def main() -> None:
        async def dig(session: parlour.Session, depth: int) -> None:
            async with session.part("Deeper"):
                await dig(session, depth + 1)

        async def talk(session: parlour.Session, message: parlour.Message) -> None:
            with pytest.raises(parlour.ParlourError, match="32 deep"):
                await dig(session, 0)
            session.reply("enough")

        async with house.running(app_of(talk)) as running:
            session = await running.get_session()
            result = await session.send_message("go")
            assert result.reply == "enough"
            assert sum(isinstance(event, PartBegun) for event in result.events) == 32

    run(main())
