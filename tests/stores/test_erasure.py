"""What was erased is looked for where it would lie: in the bytes of the store's files."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from parlour.errors import StoreUnavailable
from parlour.stores import sqlite, sqlite_scrub
from parlour.stores.sqlite import SqliteStore
from parlour.stores.store import Append, Snapshot, UserValue
from parlour.testing.contract_base import NOW, Owner, entry, log, owner, record, session_id

BOUND = 100


def run(scenario):
    async def bounded():
        async with asyncio.timeout(BOUND):
            await scenario()

    asyncio.run(bounded())


def found(path: Path, needle: str) -> list[str]:
    """The files of a store in which a text stands."""
    places = [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
    return [place.name for place in places if place.exists() and needle.encode() in _bytes(place)]


def _bytes(place: Path) -> bytes:
    return place.read_bytes()


async def _live(each: Owner, secret: str, turns: int) -> None:
    """A life that leaves traces in every table."""
    rng = random.Random(secret)
    for turn in range(turns):
        text = f"{secret} {turn} " + "x" * rng.choice((1, 50, 700, 9000))
        snapshot = Snapshot(each.head, secret.encode() * 9) if turn % 7 == 3 else None
        values = (UserValue(f"{secret}-{turn % 3}", f'"{secret}"'.encode()),)
        await each.append(
            each.next(
                entry(text, command=f"{secret}-{turn}"),
                snapshot=snapshot,
                user_values=values,
                title=f"{secret} {turn}",
                at=NOW + rng.random() * 1000,
            )
        )
        await each.store.post(each.session, f"{secret}-p{turn}", secret.encode())


@pytest.mark.promise("P11")
@pytest.mark.parametrize("seed", range(4))
def test_after_erasing_under_load_no_byte_of_it_is_left(tmp_path, seed):
    path = tmp_path / "parlour.db"
    rng = random.Random(seed)

    async def scenario():
        store = SqliteStore(path)
        await store.open()
        users = [f"secret{number:03d}user" for number in range(30)]
        owners = [
            await owner(store, number, user=users[number % 30], at=NOW + number)
            for number in range(90)
        ]
        for _ in range(3):
            await asyncio.gather(
                *(_live(each, users[number % 30], 6) for number, each in enumerate(owners))
            )
            gone = rng.sample(range(30), 9)
            for number in gone:
                for place in range(number, 90, 30):
                    await store.erase(owners[place].session)
                    if rng.random() < 0.5:
                        await _live(owners[(place + 1) % 90], users[(place + 1) % 30], 1)
                await store.erase_user(users[number])
            await store.scrub()
            again = {users[(number + 1) % 30] for number in gone}
            kept = [users[number] for number in gone if users[number] not in again]
            assert {user: found(path, user) for user in kept} == {user: [] for user in kept}
            for number in gone:
                for place in range(number, 90, 30):
                    if await store.find(owners[place].session) is None:
                        owners[place] = await owner(store, place, user=users[number])
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    run(scenario)


async def _leak(path: Path, erased: list[str]) -> SqliteStore:
    """A store in which pages were split and joined, and the words of `erased` left in gaps."""
    store = SqliteStore(path)
    await store.open()
    users = [f"secret{number:03d}user" for number in range(60)]
    owners = [await owner(store, number, user=user) for number, user in enumerate(users)]
    for turn in range(6):
        await asyncio.gather(*(_live(each, users[number], 1) for number, each in enumerate(owners)))
        gone = owners[turn::12]
        for each in gone:
            await store.erase(each.session)
            user = users[owners.index(each)]
            await store.erase_user(user)
            erased.append(user)
    return store


def _plant(path: Path, text: bytes) -> None:
    """Leave a text where SQLite leaves those of cells it has moved, and say that it is to go."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("INSERT OR IGNORE INTO meta VALUES ('unscrubbed', 1)")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = bytearray(path.read_bytes())
    for start in range(4096, len(data), 4096):
        cells = int.from_bytes(data[start + 3 : start + 5], "big")
        content = int.from_bytes(data[start + 5 : start + 7], "big")
        gap = start + 8 + 2 * cells
        if data[start] in {0x0A, 0x0D} and content - (gap - start) > 2 * len(text):
            data[gap + 4 : gap + 4 + len(text)] = text
    path.write_bytes(data)


@pytest.mark.promise("P11")
def test_what_a_crash_left_unscrubbed_is_scrubbed_by_the_next_opener(tmp_path, monkeypatch):
    path = tmp_path / "parlour.db"

    async def fill():
        await (await _leak(path, [])).close()

    async def scenario():
        store = SqliteStore(path)
        await store.open()
        while found(path, "secret-remains"):
            await asyncio.sleep(0.01)
        await store.close()

    run(fill)
    _plant(path, b"secret-remains")
    assert path.read_bytes().count(b"secret-remains") > 3
    monkeypatch.setattr(sqlite, "_QUIET_SECONDS", 0.01)
    run(scenario)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM meta WHERE name = 'unscrubbed'").fetchone() == (0,)


@pytest.mark.promise("P11")
@pytest.mark.promise("P2")
def test_scrubbing_a_store_that_is_written_harms_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_scrub, "_BYTES", 3 * 4096)
    path = tmp_path / "parlour.db"
    erased: list[str] = []

    async def scenario():
        store = await _leak(path, erased)
        writers = [await owner(store, 1000 + number) for number in range(6)]
        heads = dict.fromkeys(range(6), 0)
        done = asyncio.Event()

        async def write(number):
            while not done.is_set():
                text = "y" * (1 + 997 * heads[number] % 5000)
                await writers[number].say(text, command=f"{heads[number]}")
                heads[number] += 1

        writing = [asyncio.create_task(write(number)) for number in range(6)]
        for _ in range(3):
            await store.scrub()
        done.set()
        await asyncio.gather(*writing)
        assert {user: found(path, user) for user in erased} == {user: [] for user in erased}
        for number, each in enumerate(writers):
            chunks = await log(store, each.session)
            assert [len(chunk.data) for chunk in chunks] == [
                len(record("y" * (1 + 997 * turn % 5000))) + 2 for turn in range(heads[number])
            ]
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    run(scenario)


@pytest.mark.promise("P11")
@pytest.mark.promise("P15")
def test_a_fork_that_is_erased_leaves_nothing(tmp_path):
    path = tmp_path / "parlour.db"

    async def scenario():
        store = SqliteStore(path)
        await store.open()
        ann = await owner(store, user="secret-ann")
        await ann.append(ann.next(entry("secret-words", "b"), title="secret-title"))
        await store.fork(ann.session, 1, Append(session=session_id(9), epoch=0, after=1, at=NOW))
        await store.erase(ann.session)
        await store.scrub()
        assert found(path, "secret-words") == ["parlour.db"]
        await store.erase(session_id(9))
        await store.scrub()
        for needle in ("secret-words", "secret-title", "secret-ann"):
            assert found(path, needle) == []
        await store.close()

    run(scenario)


@pytest.mark.promise("P11")
def test_whoever_reads_an_older_state_keeps_it_from_scrubbing_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_PATIENT_SECONDS", 0.05)
    path = tmp_path / "parlour.db"

    async def scenario():
        store = SqliteStore(path)
        await store.open()
        ann = await owner(store)
        await ann.say("secret-words")
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunk").fetchall()
        await store.erase(ann.session)
        with pytest.raises(StoreUnavailable, match=r"backup perhaps.*again"):
            await store.scrub()
        reader.close()
        await store.scrub()
        assert found(path, "secret-words") == []
        await store.close()

    run(scenario)


@pytest.mark.promise("P11")
def test_compacting_gives_the_space_of_erased_sessions_back(tmp_path):
    path = tmp_path / "parlour.db"

    async def scenario():
        store = SqliteStore(path)
        await store.open()
        ann, bob = await owner(store, 1), await owner(store, 2)
        for _ in range(50):
            await ann.say("x" * 50_000)
        await bob.say("b")
        await store.erase(ann.session)
        told = await store.reclaim()
        assert told.free > 2_000_000
        assert path.stat().st_size > 2_000_000
        told = await store.reclaim(compact=True)
        assert told.freed > 2_000_000
        assert told.free == 0
        assert path.stat().st_size < 200_000
        assert await bob.say("c")
        await store.close()

    run(scenario)
