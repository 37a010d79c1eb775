"""Exports that come back, and zips that only look like exports."""

from __future__ import annotations

import asyncio
import json
import stat
import zipfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import parlour
from parlour.engine import Engine
from parlour.engine.importing import Imported, import_sessions
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.engine.reading import read_records
from parlour.errors import Refused
from parlour.events import RoundFinished, Say, SessionForked
from parlour.stores.export import export_sessions
from parlour.stores.files import Files
from parlour.stores.memory import MemoryStore
from parlour.stores.store import SessionInfo, Store
from parlour.stores.sweep import sessions_of

promise = pytest.mark.promise
NOW = 1_800_000_000.0
ID = "0123456789abcdef" * 2


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


def app() -> parlour.App:
    made = parlour.App()

    @made.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        session.set("count", session.get("count", 0) + 1)
        await session.user.set("tea", b"green")
        (session.workspace / "notes").mkdir(exist_ok=True)
        (session.workspace / "notes" / "a.txt").write_text("a note")
        if message.text == "ask":
            await session.ask("Well?")
        session.reply(f"{message.text} {session.get('count')}")

    return made


class Place:
    """A store with its files, and an engine on it."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.files = Files(folder)

    def engine(self) -> Engine:
        return Engine(app(), self.store, files=self.files, secret=b"k" * 32)

    async def exported(self, target: Path, *texts: str, user: str = "ann") -> str:
        """Talk, and export it all; the session's id."""
        async with self.engine() as engine:
            session = await AsyncRunning(engine).get_session(user=user)
            for text in texts:
                files = [{"name": "cat.txt", "content": "a cat"}] if text == "file" else None
                await session.send_message(text, files=files, id=f"id-{text[:9]}")
        await self.store.open()
        await export_sessions(self.store, self.files, _all(self.store), target, user=user)
        return session.id

    async def imported(self, source: Path, user: str | None = None) -> list[Imported]:
        await self.store.open()
        return await import_sessions(self.store, self.files, source, now=NOW, user=user)


async def _all(store: Store) -> AsyncGenerator[SessionInfo]:
    async for info in sessions_of(store, None):
        yield info


@promise("P11")
@promise("P16")
def test_an_export_comes_back_elsewhere_and_the_conversation_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
        target = tmp_path / "ann.zip"
        old = await here.exported(target, "one", "file")
        [made] = await there.imported(target)
        assert (made.origin, made.session != old) == (old, True)
        before = [record async for record in read_records(here.store, old, 0)]
        after = [record async for record in read_records(there.store, made.session, 0)]
        assert after[:-1] == before
        assert after[-1].event == SessionForked(origin=old, seq=len(before))
        async with there.engine() as engine:
            session = await AsyncRunning(engine).get_session(made.session, user="ann")
            assert (await session.send_message("more")).reply == "more 3"
            # A message that was said there is known here.
            again = await engine.send(made.session, "ann", Say(id="id-one", text="one"))
            assert again.repeated
            [ref] = (await session.state()).files
            assert engine.files.path(made.session, ref.id).read_text() == "a cat"
            note = engine.files.workspace(made.session) / "notes" / "a.txt"
            assert note.read_text() == "a note"
            with pytest.raises(Refused):
                await engine.authorise(made.session, "bob")

    run(main())


@promise("P17")
def test_an_export_is_given_to_whom_the_operator_says(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
        target = tmp_path / "ann.zip"
        await here.exported(target, "one")
        [made] = await there.imported(target, user="bob")
        async with there.engine() as engine:
            await engine.authorise(made.session, "bob")
            with pytest.raises(Refused):
                await engine.authorise(made.session, "ann")
            session = AsyncLocalSession(engine, made.session, "bob")
            assert (await session.send_message("more")).reply == "more 2"
        # Variables are those of who was exported.
        await there.store.open()
        assert [v.name for v in await there.store.user_values("ann")] == []

    run(main())


def test_variables_of_the_user_come_back_with_their_kinds_and_replace_none(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
        target = tmp_path / "ann.zip"
        await here.exported(target, "one")
        await there.imported(target)
        [tea] = await there.store.user_values("ann")
        assert (tea.name, tea.kind) == ("tea", "bytes")
        edited = rewritten(target, lambda entries: entries.update({"user.json": _values()}))
        await there.imported(edited)
        assert {v.name: v.value for v in await there.store.user_values("ann")} == {
            "tea": tea.value,
            "new": b"1",
        }

    def _values() -> bytes:
        return json.dumps({"id": "ann", "variables": {"tea": 5, "new": 1}}).encode()

    run(main())


def test_what_ran_there_is_stopped_and_what_has_ended_stays_so(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = Place(tmp_path / "here"), Place(tmp_path / "there")
        target = tmp_path / "ann.zip"
        await here.exported(target, "ask")
        [made] = await there.imported(target)
        events = [record.event async for record in read_records(there.store, made.session, 0)]
        assert isinstance(events[-1], RoundFinished)
        assert events[-1].status == "stopped"
        assert await there.store.due(NOW * 2) == []
        async with there.engine() as engine:
            session = AsyncLocalSession(engine, made.session, "ann")
            assert await session.question() is None
            await session.close()
        target.unlink()
        await there.store.open()
        await export_sessions(there.store, there.files, _all(there.store), target)
        third = Place(tmp_path / "third")
        [closed] = await third.imported(target)
        info = await third.store.find(closed.session)
        assert info is not None
        assert info.closed

    run(main())


# -- hostile zips -------------------------------------------------------------------------------


def rewritten(source: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    target = source.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target


def _name(entries: dict[str, bytes], end: str) -> str:
    return next(name for name in entries if name.endswith(end))


def _lines(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[dict[str, bytes]], None]:
    def rewrite(entries: dict[str, bytes]) -> None:
        name = _name(entries, "records.jsonl")
        lines = [json.loads(line) for line in entries[name].splitlines()]
        change(lines)
        entries[name] = "\n".join(json.dumps(line) for line in lines).encode()

    return rewrite


def _place(path: str) -> Callable[[dict[str, bytes]], None]:
    def add(entries: dict[str, bytes]) -> None:
        session = _name(entries, "session.json").split("/")[1]
        entries[path.format(session=session)] = b"x"

    return add


def _numbered(lines: list[dict[str, Any]], extra: dict[str, Any], at: int) -> None:
    lines.insert(at, {"seq": 0, "at": 1.0, "event": extra})
    for seq, line in enumerate(lines, 1):
        line["seq"] = seq


def _file(change: dict[str, Any]) -> Callable[[dict[str, bytes]], None]:
    def edit(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            for file in line["event"].get("files", ()):
                file.update(change)

    return _lines(edit)


HOSTILE: list[tuple[str, Callable[[dict[str, bytes]], object], str]] = [
    ("up", _place("sessions/{session}/workspace/../../../evil"), "no name of a file"),
    ("absolute", _place("/etc/evil"), "no name of a file"),
    ("of Windows", _place("sessions/{session}/workspace/C:\\evil"), "no name of a file"),
    ("with a line", _place("sessions/{session}/workspace/a\nb"), "no name of a file"),
    ("as a said file", _place("sessions/{session}/workspace/" + ID), "take the place"),
    ("beside one", _place("sessions/{session}/workspace/" + ID + ".json"), "take the place"),
    ("of no session", _place("sessions/x/records.jsonl"), "belongs to no session"),
    ("no records", lambda e: e.pop(_name(e, "records.jsonl")), "has no"),
    ("empty records", lambda e: e.update({_name(e, "records.jsonl"): b""}), "no records"),
    ("no JSON", lambda e: e.update({_name(e, "records.jsonl"): b"{"}), "line 1"),
    ("not UTF-8", lambda e: e.update({_name(e, "session.json"): b'{"id":"\xff"}'}), "be read"),
    ("deep", lambda e: e.update({_name(e, "records.jsonl"): b"[" * 10**6}), "line 1"),
    ("another's", lambda e: e.update({_name(e, "session.json"): _about("0" * 32)}), "another"),
    ("no user", lambda e: e.update({_name(e, "session.json"): _about("", user="")}), "another"),
    ("a gap", _lines(lambda lines: lines.pop(2)), "has record 4 where 3 should be"),
    ("no time", _lines(lambda lines: lines[0].update(at=-1)), "is no time"),
    (
        "opened twice",
        _lines(lambda lines: _numbered(lines, {"type": "SessionOpened", "user": "bob"}, 2)),
        "opened once",
    ),
    (
        "never opened",
        _lines(lambda lines: _numbered(lines, {"type": "RoundStarted", "round": 1}, 0)),
        "Record 1",
    ),
    (
        "an end of no round",
        _lines(
            lambda lines: _numbered(
                lines, {"type": "RoundFinished", "round": 9, "status": "done"}, len(lines)
            )
        ),
        "cannot stand there",
    ),
    (
        "a kind of its own",
        _lines(lambda lines: lines[1].update(event={"type": "MessageAdded", "role": 5})),
        "Record 2",
    ),
    ("a file elsewhere", _file({"id": "../../../../etc/passwd"}), "odd way"),
    ("a file of HTML", _file({"type": "text/html\r\nX: y"}), "odd way"),
    ("a file that is not there", _file({"id": "f" * 32}), "not in the zip"),
    ("a file that is smaller", _file({"size": 2}), "larger than the records say"),
    ("a file that is larger", _file({"size": 2000}), "shorter than it was"),
]


def _about(session: str, user: str = "ann") -> bytes:
    return json.dumps({"id": session, "user": user, "created": "", "records": 1}).encode()


async def _refused(place: Place, source: Path, why: str) -> None:
    with pytest.raises(Refused, match=why):
        await place.imported(source)
    assert await place.store.sessions() == [], "nothing is made"
    assert place.files.sessions() == []


@promise("P17")
@pytest.mark.parametrize(
    ("change", "why"), [(c, w) for _, c, w in HOSTILE], ids=[name for name, _, _ in HOSTILE]
)
def test_a_zip_that_lies_makes_nothing(
    tmp_path: Path, change: Callable[[dict[str, bytes]], object], why: str
) -> None:
    async def main() -> None:
        target = tmp_path / "ann.zip"
        await Place(tmp_path / "here").exported(target, "one", "file")
        await _refused(Place(tmp_path / "there"), rewritten(target, change), why)
        assert not (tmp_path / "evil").exists()

    run(main())


@promise("P12")
def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlour.stores.unpack._FREE", 1024 * 1024)

    async def main() -> None:
        target = tmp_path / "ann.zip"
        await Place(tmp_path / "here").exported(target, "one")

        def swell(entries: dict[str, bytes]) -> None:
            session = _name(entries, "session.json").split("/")[1]
            entries[f"sessions/{session}/workspace/bomb"] = bytes(64 * 1024 * 1024)

        await _refused(Place(tmp_path / "there"), rewritten(target, swell), "bomb")

    run(main())


def test_a_line_without_an_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlour.stores.unpack._LINE", 1000)

    async def main() -> None:
        target = tmp_path / "ann.zip"
        await Place(tmp_path / "here").exported(target, "x" * 2000)
        await _refused(Place(tmp_path / "there"), target, "more than 1,000 bytes")

    run(main())


def test_a_zip_with_an_entry_twice_or_a_link_makes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        source = tmp_path / "ann.zip"
        await Place(tmp_path / "here").exported(source, "one")
        with zipfile.ZipFile(source) as archive:
            name = next(name for name in archive.namelist() if name.endswith("records.jsonl"))
            data = archive.read(name)
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(source, "a") as archive:
            archive.writestr(name, data)
        await _refused(Place(tmp_path / "there"), source, "two entries")

        link = tmp_path / "link.zip"
        with zipfile.ZipFile(link, "w") as archive:
            info = zipfile.ZipInfo(f"sessions/{ID}/workspace/link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        await _refused(Place(tmp_path / "there"), link, "is a link")

    run(main())


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "x.zip"
    source.write_bytes(data)
    run(_refused(Place(tmp_path / "there"), source, "no zip that can be read"))


def test_a_zip_that_is_not_there_or_has_nothing_is_refused(tmp_path: Path) -> None:
    run(_refused(Place(tmp_path / "there"), tmp_path / "none.zip", "no zip that can be read"))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("README.txt", "hello")
    run(_refused(Place(tmp_path / "there"), tmp_path / "empty.zip", "no session in"))


@promise("P17")
def test_the_ids_of_others_in_a_zip_touch_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        here = Place(tmp_path / "here")
        target = tmp_path / "ann.zip"
        old = await here.exported(target, "one", "file")
        before = [record async for record in read_records(here.store, old, 0)]

        def lie(entries: dict[str, bytes]) -> None:
            _lines(lambda lines: lines[2]["event"].update(command="id-of-another"))(entries)

        [made] = await here.imported(rewritten(target, lie), user="mallory")
        assert made.session != old
        assert [record async for record in read_records(here.store, old, 0)] == before
        [mine] = await here.store.sessions("mallory")
        assert mine.id == made.session
        assert [info.id for info in await here.store.sessions("ann")] == [old]

    run(main())


def test_a_command_that_stands_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        target = tmp_path / "ann.zip"
        await Place(tmp_path / "here").exported(target, "one", "two")

        def same(lines: list[dict[str, Any]]) -> None:
            for line in lines:
                if line["event"].get("command", "").startswith("id-"):
                    line["event"]["command"] = "id-same"

        await _refused(Place(tmp_path / "there"), rewritten(target, _lines(same)), "twice")

    run(main())
