"""Backups of a store that is being written, exports of what it holds, and sweeping up."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import tracemalloc
import zipfile

import pytest

from parlour.errors import BadSettings, StoreCorrupt, StoreTooNew, StoreUnavailable
from parlour.events import MessageAdded, SessionOpened, encode_event
from parlour.stores.address import files_for, open_reader, open_store, secret_for
from parlour.stores.backup import back_up, restore
from parlour.stores.export import export_sessions
from parlour.stores.files import Files, one_chunk
from parlour.stores.memory import MemoryStore
from parlour.stores.sqlite_file import VERSION
from parlour.stores.store import Append, Appended, Entry, Snapshot, UserValue
from parlour.stores.sweep import Swept, sweep
from parlour.testing.contract_base import NOW, Owner, entry, log, owner, session_id

BOUND = 60
HOUR = 3600.0


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'parlour.db'}"


def run(scenario):
    async def bounded():
        async with asyncio.timeout(BOUND):
            await scenario()

    asyncio.run(bounded())


async def infos(store, user=None):
    for info in await store.sessions(user):
        yield info


# Backups.


@pytest.mark.promise("P5")
def test_a_backup_in_the_middle_of_a_load_has_all_that_was_acknowledged(tmp_path, address):
    target = tmp_path / "backup"
    restored = f"sqlite:///{tmp_path / 'again.db'}"
    acknowledged = {}

    async def load():
        store = open_store(address)
        await store.open()
        owners = [await owner(store, number) for number in range(20)]
        heads = dict.fromkeys(range(20), 0)

        async def write(number):
            for turn in range(1_000_000):
                outcome = await owners[number].say("a", "x" * 300, command=f"{turn}")
                assert isinstance(outcome, Appended)
                heads[number] = outcome.last

        writing = [asyncio.create_task(write(number)) for number in range(20)]
        while min(heads.values()) < 40:
            await asyncio.sleep(0)
        acknowledged.update(heads)
        told = await asyncio.to_thread(back_up, address, target)
        assert told.sessions == 20
        assert told.records >= sum(acknowledged.values())
        later = dict(heads)
        while any(heads[number] == later[number] for number in heads):
            await asyncio.sleep(0)
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        await store.close()

    async def check():
        store = open_store(restored)
        await store.open()
        for number, last in acknowledged.items():
            chunks = await log(store, session_id(number))
            head = chunks[-1].first + chunks[-1].count - 1
            assert head >= last
            claim = await store.claim(session_id(number))
            assert claim.head == head
            again = Owner(store, session_id(number), claim)
            assert await again.say("x", command="new") == Appended(head + 1)
        await store.close()

    run(load)
    restore(target, restored)
    run(check)


def test_a_backup_has_the_files_and_the_key_and_can_be_read_by_nobody_else(tmp_path, address):
    target, restored = tmp_path / "new" / "backup", f"sqlite:///{tmp_path / 'again.db'}"
    secret = secret_for(address)
    files = files_for(address)
    ref = asyncio.run(files.add(session_id(1), one_chunk(b"cat"), name="c", type_="", limit=9))
    (files.workspace(session_id(1)) / "notes").mkdir()
    (files.workspace(session_id(1)) / "notes" / "n.txt").write_text("note")
    (files.workspace(session_id(1)) / "0.part").write_text("half")
    (files.workspace(session_id(1)) / "away").symlink_to("/etc/passwd")

    async def scenario():
        store = open_store(address)
        await store.open()
        await (await owner(store)).say("a")
        told = back_up(address, target)
        assert (told.sessions, told.records, told.files) == (1, 1, 3)
        await store.close()

    run(scenario)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "store.db").stat().st_mode) == 0o600
    assert restore(target, restored).files == 3
    assert secret_for(restored) == secret
    again = files_for(restored)
    assert again.find(session_id(1), ref.id) == ref
    assert again.path(session_id(1), ref.id).read_bytes() == b"cat"
    assert (again.workspace(session_id(1)) / "notes" / "n.txt").read_text() == "note"
    assert len(list(again.workspace(session_id(1)).iterdir())) == 3


def test_a_backup_that_fails_leaves_nothing(tmp_path, address):
    with pytest.raises(StoreUnavailable, match="there is no store"):
        back_up(address, tmp_path / "backup")
    with pytest.raises(BadSettings, match="in memory"):
        back_up("memory:", tmp_path / "backup")
    (tmp_path / "parlour.db").write_bytes(b"a letter to my aunt" * 100)
    with pytest.raises(StoreCorrupt, match="no Parlour store"):
        back_up(address, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["parlour.db"]
    (tmp_path / "backup").mkdir()
    with pytest.raises(StoreUnavailable, match="there already"):
        back_up(address, tmp_path / "backup")


def test_a_damaged_store_is_not_backed_up_as_if_it_were_whole(tmp_path, address):
    path = tmp_path / "parlour.db"

    async def scenario():
        store = open_store(address)
        await store.open()
        for number in range(200):
            await (await owner(store, number)).say("x" * 500)
        await store.close()

    run(scenario)
    data = bytearray(path.read_bytes())
    for page in range(9, len(data) // 4096 - 1, 3):
        data[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged"):
        back_up(address, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_restoring_never_overwrites(tmp_path, address):
    async def scenario():
        store = open_store(address)
        await store.open()
        await (await owner(store)).say("a")
        back_up(address, tmp_path / "backup")
        with pytest.raises(StoreUnavailable, match="in use"):
            restore(tmp_path / "backup", address)
        await store.close()

    run(scenario)
    before = (tmp_path / "parlour.db").read_bytes()
    with pytest.raises(StoreUnavailable, match=r"parlour\.db is there already"):
        restore(tmp_path / "backup", address)
    assert (tmp_path / "parlour.db").read_bytes() == before
    for name in ("again.db-wal", "again.db.secret"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(StoreUnavailable, match=f"{name} is there already"):
            restore(tmp_path / "backup", f"sqlite:///{tmp_path / 'again.db'}")
        (tmp_path / name).unlink()
    assert not (tmp_path / "again.db").exists()


@pytest.mark.promise("P16")
def test_a_backup_of_a_newer_parlour_asks_for_an_upgrade(tmp_path, address):
    async def scenario():
        store = open_store(address)
        await store.open()
        back_up(address, tmp_path / "backup")
        await store.close()

    run(scenario)
    again = f"sqlite:///{tmp_path / 'again.db'}"
    manifest = tmp_path / "backup" / "backup.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "format": 99}))
    with pytest.raises(StoreTooNew, match="upgrade"):
        restore(tmp_path / "backup", again)
    manifest.write_text(json.dumps(told))
    db = sqlite3.connect(tmp_path / "backup" / "store.db")
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StoreTooNew, match="upgrade"):
        restore(tmp_path / "backup", again)
    with pytest.raises(StoreCorrupt, match="no backup"):
        restore(tmp_path, again)
    assert not (tmp_path / "again.db").exists()


# Exports.


def opened(user):
    return encode_event(SessionOpened(user=user))


@pytest.mark.promise("P11")
def test_an_export_has_every_record_file_and_variable_of_a_user(tmp_path, address):
    files = files_for(address)
    ref = asyncio.run(
        files.add(session_id(1), one_chunk(b"cat"), name="Käse.png", type_="image/png", limit=9)
    )
    (files.workspace(session_id(1)) / "plot").mkdir()
    (files.workspace(session_id(1)) / "plot" / "1.txt").write_text("plotted")
    (files.workspace(session_id(1)) / "away").symlink_to("/etc/passwd")
    said = encode_event(MessageAdded(role="user", text="Grüße 👋", files=(ref,)))

    async def scenario():
        store = open_store(address)
        await store.open()
        ann, again, bob = [
            await owner(store, number, user=user)
            for number, user in ((1, "ann"), (2, "ann"), (3, "bob"))
        ]
        await ann.append(
            ann.next(
                Entry("c", b"[%s,%s]" % (opened("ann"), said), 2),
                at=NOW + 1.5,
                title="Cats",
                user_values=(UserValue("n", b"[1]"),),
            )
        )
        await again.append(again.next(Entry("", b"[%s]" % opened("ann"), 1)))
        await bob.say("b")
        reader = open_reader(address)
        await reader.open()
        target = tmp_path / "ann.zip"
        count = await export_sessions(reader, files, infos(reader, "ann"), target, user="ann")
        assert count == 2
        with pytest.raises(StoreUnavailable, match="there already"):
            await export_sessions(reader, files, infos(reader, "ann"), target)
        await reader.close()
        await store.close()

    run(scenario)
    assert stat.S_IMODE((tmp_path / "ann.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "ann.zip") as archive:
        assert archive.testzip() is None
        first, second = f"sessions/{session_id(1)}", f"sessions/{session_id(2)}"
        assert sorted(archive.namelist()) == sorted(
            [
                "README.txt",
                "user.json",
                f"{first}/session.json",
                f"{first}/records.jsonl",
                f"{first}/files/{ref.id}/Käse.png",
                f"{first}/workspace/plot/1.txt",
                f"{second}/session.json",
                f"{second}/records.jsonl",
            ]
        )
        assert json.loads(archive.read("user.json")) == {"id": "ann", "variables": {"n": [1]}}
        lines = archive.read(f"{first}/records.jsonl").decode().splitlines()
        assert [json.loads(line)["seq"] for line in lines] == [1, 2]
        assert json.loads(lines[1]) == {
            "seq": 2,
            "at": NOW + 1.5,
            "time": "2023-11-14T22:13:21.500+00:00",
            "event": json.loads(said),
        }
        assert json.loads(archive.read(f"{first}/session.json"))["title"] == "Cats"
        assert archive.read(f"{first}/files/{ref.id}/Käse.png") == b"cat"


@pytest.mark.promise("P12")
def test_a_long_conversation_is_exported_in_little_memory(tmp_path):
    async def scenario():
        store = MemoryStore()
        await store.open()
        ann = await owner(store)
        text = "x" * 4000
        for _ in range(50):
            await ann.append(ann.next(*(entry(text) for _ in range(100))))
        tracemalloc.start()
        target = tmp_path / "long.zip"
        await export_sessions(store, Files(tmp_path / "files"), infos(store), target)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4_000_000, "the whole has 20 MB"
        with zipfile.ZipFile(target) as archive:
            name = f"sessions/{ann.session}/records.jsonl"
            assert archive.read(name).count(b"\n") == 5000

    run(scenario)


def test_an_export_that_fails_leaves_nothing(tmp_path):
    async def broken():
        yield None

    with pytest.raises(AttributeError):
        asyncio.run(
            export_sessions(MemoryStore(), Files(tmp_path / "f"), broken(), tmp_path / "x.zip")
        )
    assert list(tmp_path.iterdir()) == []


# Sweeping.


async def upload(files, session, *, age=0.0, data=b"data"):
    ref = await files.add(session, one_chunk(data), name="n", type_="", limit=100)
    for path in files.workspace(session).glob(f"{ref.id}*"):
        os.utime(path, (NOW - age, NOW - age))
    return ref


@pytest.mark.promise("P11")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_sweeping_removes_what_nobody_names_and_says_how_much(tmp_path, address, kind):
    files = Files(tmp_path / "files")

    async def scenario():
        store = open_store("memory:" if kind == "memory" else address)
        await store.open()
        ann = await owner(store)
        named, posted, loose, young = [
            await upload(files, ann.session, age=age) for age in (9e6, 9e6, 9e6, HOUR)
        ]
        await ann.say(f"see {named.id}")
        await store.post(ann.session, "p", posted.id.encode())
        workspace = files.workspace(ann.session)
        cut = workspace / f"{'e' * 32}.part"
        cut.write_bytes(b"half")
        os.utime(cut, (NOW - 9e6, NOW - 9e6))
        mine = workspace / "mine.txt"
        mine.write_text("of a handler")
        os.utime(mine, (NOW - 9e6, NOW - 9e6))
        await upload(files, session_id(77), age=9e6)
        os.utime(files.workspace(session_id(77)), (NOW - 9e6, NOW - 9e6))
        bob = await owner(store, 2)
        await bob.append(bob.next(entry("end"), snapshot=Snapshot(1, b"s"), closed=True))

        swept = await sweep(store, files, NOW)
        assert (swept.uploads, swept.folders, swept.snapshots) == (2, 1, 1)
        assert swept.file_bytes > 12
        assert files.sessions() == [ann.session]
        assert {ref.id for ref, _ in files.stored(ann.session)} == {named.id, posted.id, young.id}
        assert files.others(ann.session) == [mine]
        assert not cut.exists()
        assert await sweep(store, files, NOW) == Swept(free=swept.free)

        swept = await sweep(store, files, NOW, grace=0.0)
        assert swept.uploads == 1
        assert {ref.id for ref, _ in files.stored(ann.session)} == {named.id, posted.id}
        assert loose.id not in {ref.id for ref, _ in files.stored(ann.session)}
        await store.close()

    run(scenario)


def test_a_young_folder_may_become_a_session_and_is_left_alone(tmp_path):
    files = Files(tmp_path / "files")

    async def scenario():
        store = MemoryStore()
        await store.open()
        ann = await owner(store)
        ref = await files.add(ann.session, one_chunk(b"x"), name="n", type_="", limit=9)
        await ann.say(ref.id)
        files.copy(ann.session, [ref], session_id(5))
        now = (files.root / session_id(5)).stat().st_mtime + HOUR
        assert (await sweep(store, files, now)).folders == 0
        await store.fork(ann.session, 1, Append(session=session_id(5), epoch=0, after=1, at=NOW))
        assert await sweep(store, files, now + 1e9) == Swept()
        assert files.find(session_id(5), ref.id) == ref
        assert files.path(session_id(5), ref.id).read_bytes() == b"x"

    run(scenario)


def test_sweeping_compacts_if_it_is_asked_to(tmp_path, address):
    async def scenario():
        store = open_store(address)
        await store.open()
        ann = await owner(store)
        await ann.say("x" * 3_000_000)
        await store.erase(ann.session)
        assert (await sweep(store, Files(tmp_path / "f"), NOW)).free > 2_000_000
        assert (await sweep(store, Files(tmp_path / "f"), NOW, compact=True)).freed > 2_000_000
        await store.close()

    run(scenario)
