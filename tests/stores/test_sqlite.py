from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from parlour.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from parlour.events import encode_chunk
from parlour.stores import sqlite
from parlour.stores.sqlite import SqliteStore
from parlour.stores.sqlite_file import VERSION, explain
from parlour.stores.sqlite_reader import SqliteReader
from parlour.stores.sqlite_writer import Writer
from parlour.stores.store import Appended, Fenced, Repeated, Store
from parlour.testing.contract_base import NOW, Owner, entry, log, owner, record, session_id
from parlour.testing.store_contract import StoreContract

BOUND = 60


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "parlour.db"

    async def make_store(self) -> Store:
        return SqliteStore(self.path)

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return SqliteStore(self.path)


class TestSqliteStoreThatSettlesAtOnce(TestSqliteStore):
    """Every append is indexed before the next one, as it is in a store that has time."""

    @pytest.fixture(autouse=True)
    def _eager(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "_SETTLE_AT_ONCE", 1)


class TestSqliteStoreAfterACrash(TestSqliteStore):
    """What is opened again is what kill -9 would have left: the files as they are then."""

    async def reopen(self, store: Store) -> Store:
        crashed = self.path.with_name("crashed.db")

        def copy(_writer: Writer) -> None:
            for suffix in ("", "-wal"):
                shutil.copy(f"{self.path}{suffix}", f"{crashed}{suffix}")

        # By the writer, who then writes nothing meanwhile.
        assert isinstance(store, SqliteStore)
        await store._write(copy)
        return SqliteStore(crashed)


class TestSqliteStoreReadByOthers(TestSqliteStore):
    """What another process may read meanwhile is what the owner reads."""

    async def make_store(self) -> Store:
        return _Watched(self.path)

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return _Watched(self.path)


class _Watched(SqliteStore):
    """A store whose answers come by a connection that knows nothing of the owner's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._look = SqliteReader(path)

    async def open(self) -> None:
        await super().open()
        await self._look.open()
        self.read = self._look.read  # type: ignore[method-assign]
        self.find = self._look.find  # type: ignore[method-assign]
        self.sessions = self._look.sessions  # type: ignore[method-assign]
        self.user_value = self._look.user_value  # type: ignore[method-assign]
        self.user_values = self._look.user_values  # type: ignore[method-assign]

    async def close(self) -> None:
        await self._look.close()
        await super().close()


def run(path, scenario, **options):
    """Run a scenario with an open store."""

    async def bounded():
        async with asyncio.timeout(BOUND):
            store = SqliteStore(path, **options)
            await store.open()
            try:
                await scenario(store)
            finally:
                await store.close()

    asyncio.run(bounded())


def opening(path):
    async def scenario(store):
        pass

    run(path, scenario)


def child(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


async def on_writer(store, sql):
    return await store._write(lambda writer: writer._db.execute(sql).fetchall())


# Durability.

APPENDING = """
    import asyncio, sys
    from parlour.stores.sqlite import SqliteStore
    from parlour.testing.contract_base import entry, owner

    async def main():
        store = SqliteStore(sys.argv[1])
        await store.open()
        owners = [await owner(store, number) for number in range(8)]

        async def write(number):
            for turn in range(1_000_000):
                outcome = await owners[number].say("a", "b", "c", command=f"{turn}")
                print(number, outcome.last, flush=True)

        await asyncio.gather(*(write(number) for number in range(8)))

    asyncio.run(main())
"""


@pytest.mark.promise("P5")
@pytest.mark.promise("P2")
def test_what_was_acknowledged_survives_kill_9(tmp_path):
    path = tmp_path / "parlour.db"
    acknowledged = dict.fromkeys(range(8), 0)
    with child(APPENDING, path) as process:
        for count, line in enumerate(process.stdout):
            number, last = map(int, line.split())
            acknowledged[number] = last
            if count == 3000:
                process.send_signal(signal.SIGKILL)
        process.wait(BOUND)
    assert all(acknowledged.values())

    async def scenario(store):
        for number, last in acknowledged.items():
            chunks = await log(store, session_id(number))
            head = chunks[-1].first + chunks[-1].count - 1
            assert head >= last
            assert head % 3 == 0
            claim = await store.claim(session_id(number))
            assert claim.head == head
            again = Owner(store, session_id(number), claim)
            turn = head // 3 - 1
            assert await again.say("x", command=f"{turn}") == Repeated(f"{turn}", head - 2)
            assert await again.say("x") == Appended(head + 1)

    run(path, scenario)


def test_an_event_loop_that_ends_without_closing_does_not_hold_the_process(tmp_path):
    script = """
        import asyncio, sys
        from parlour.stores.sqlite import SqliteStore
        from parlour.testing.contract_base import owner

        async def main():
            store = SqliteStore(sys.argv[1])
            await store.open()
            await (await owner(store)).say("a")
            asyncio.create_task(store.sessions())
            return store

        kept = asyncio.run(main())
    """
    with child(script, tmp_path / "parlour.db") as process:
        assert process.wait(BOUND) == 0
    opening(tmp_path / "parlour.db")


# One process owns the file.


@pytest.mark.promise("P3")
def test_a_second_opener_is_told_who_has_the_file(tmp_path):
    path = tmp_path / "parlour.db"

    async def scenario(store):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=rf"{os.getpid()}.*stop that one") as caught:
                await SqliteStore(path).open()
            assert "--store" in str(caught.value)
        link = tmp_path / "link.db"
        link.symlink_to(path)
        with pytest.raises(StoreUnavailable, match="in use"):
            await SqliteStore(link).open()
        assert await (await owner(store)).say("a") == Appended(1)

    run(path, scenario)
    opening(path)


def test_the_lock_goes_with_the_process_that_held_it(tmp_path):
    path = tmp_path / "parlour.db"
    with child(APPENDING, path) as process:
        assert process.stdout.readline()
        with pytest.raises(StoreUnavailable, match=str(process.pid)):
            opening(path)
        process.kill()
        process.wait(BOUND)
    opening(path)


def test_other_programs_may_read_the_file_meanwhile(tmp_path):
    path = tmp_path / "parlour.db"

    async def scenario(store):
        ann = await owner(store)
        await ann.say("a", "b")
        reader = sqlite3.connect(path)
        rows = reader.execute("SELECT session, first, count, data FROM log").fetchall()
        assert rows == [(ann.session, 1, 2, encode_chunk([record("a"), record("b")]).decode())]
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunk").fetchall()
        assert await ann.say("c") == Appended(3)
        assert await store.erase(ann.session)
        reader.close()

    run(path, scenario)


@pytest.mark.promise("P5")
def test_a_commit_waits_for_the_disk(tmp_path):
    async def scenario(store):
        assert await on_writer(store, "PRAGMA synchronous") == [(2,)]
        assert await on_writer(store, "PRAGMA journal_mode") == [("wal",)]

    run(tmp_path / "parlour.db", scenario)


# Files that cannot be used.


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreUnavailable, match=r"missing does not exist; make it"):
        opening(tmp_path / "missing" / "parlour.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(StoreUnavailable, match="is a folder"):
        opening(tmp_path)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder nobody can write to")
def test_a_read_only_folder_is_explained():
    with pytest.raises(StoreUnavailable, match=r"permissions.*--store"):
        opening(Path("/sys/parlour.db"))


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (sqlite3.SQLITE_READONLY, "mend the permissions"),
        (sqlite3.SQLITE_IOERR | 4 << 8, "check the disk"),
        (sqlite3.SQLITE_BUSY, "let it finish or stop it"),
    ],
)
def test_a_write_that_fails_is_explained_and_costs_nothing(tmp_path, monkeypatch, code, cure):
    def fail(*_):
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        raise error

    async def scenario(store):
        ann, bob = await owner(store, 1), await owner(store, 2)
        batch = [ann.next(entry("a", command="a"), due=9.0), bob.next(entry("b", command="b"))]
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_insert", fail)
            with pytest.raises(StoreUnavailable, match=cure):
                await store.append(batch)
            with pytest.raises(StoreUnavailable, match=cure):
                await bob.say("b", command="b")
        assert await store.due(10.0) == []
        assert await store.append(batch) == [Appended(1), Appended(1)]
        assert await store.due(10.0) == [(ann.session, 9.0)]

    run(tmp_path / "parlour.db", scenario)


@pytest.mark.parametrize(
    "content", [b"a letter to my aunt\n" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_something_else_is_no_store_and_is_left_alone(tmp_path, content):
    path = tmp_path / "letter.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="--store"):
        opening(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="some other program"):
        opening(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "parlour.db"
    path.touch()
    opening(path)
    opening(path)


@pytest.mark.promise("P16")
def test_a_newer_store_asks_for_an_upgrade(tmp_path):
    path = tmp_path / "parlour.db"
    opening(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    with pytest.raises(StoreTooNew, match="upgrade Parlour"):
        opening(path)


def test_damage_is_called_damage(tmp_path):
    path = tmp_path / "parlour.db"

    async def fill(store):
        ann = await owner(store)
        for _ in range(20):
            await ann.say("x" * 3000)

    run(path, fill)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(content)

    async def look(store):
        await log(store, session_id(1))

    with pytest.raises(StoreCorrupt, match="restore a backup"):
        run(path, look)


def test_a_failed_opening_may_be_tried_again(tmp_path):
    async def scenario():
        store = SqliteStore(tmp_path / "later" / "parlour.db")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.open()
            await store.close()
        (tmp_path / "later").mkdir()
        await store.open()
        assert await (await owner(store)).say("a") == Appended(1)
        await store.close()
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.find(session_id(1))
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.append([])

    asyncio.run(scenario())


def test_an_opening_that_is_cancelled_lets_go_of_the_file(tmp_path):
    path = tmp_path / "parlour.db"

    async def scenario():
        task = asyncio.create_task(SqliteStore(path).open())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(BOUND):
            while True:
                again = SqliteStore(path)
                try:
                    await again.open()
                except StoreUnavailable:
                    await asyncio.sleep(0.001)
                else:
                    break
        await again.close()

    asyncio.run(scenario())


def test_mistakes_of_ours_are_not_explained_away(tmp_path):
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(":memory:").execute("SELECT nonsense")
    assert explain(caught.value, tmp_path) is None


# A disk that is full.


@pytest.mark.promise("P5")
def test_a_full_disk_refuses_and_loses_nothing(tmp_path):
    async def scenario(store):
        owners = [await owner(store, number) for number in range(5)]
        ((pages,),) = await on_writer(store, "PRAGMA page_count")
        await on_writer(store, f"PRAGMA max_page_count = {pages + 30}")
        refused = 0
        while refused < 3:
            text = "x" * 500
            batch = [each.next(entry(text, command=f"c{each.head}")) for each in owners]
            try:
                outcomes = await store.append(batch)
            except StoreUnavailable:
                refused += 1
                continue
            assert outcomes == [Appended(each.head + 1) for each in owners]
            for each in owners:
                each.head += 1
        head = owners[0].head
        assert head > 0
        assert await store.outcome(owners[0].session, f"c{head}") is None
        await on_writer(store, "PRAGMA max_page_count = 1000000")
        for each in owners:
            assert await each.say("now", command=f"c{head}") == Appended(head + 1)
            assert await each.say("now", command=f"c{head - 1}") == Repeated(f"c{head - 1}", head)
            assert [c.first for c in await log(store, each.session)] == list(range(1, head + 2))

    run(tmp_path / "parlour.db", scenario)
    run(tmp_path / "parlour.db", lambda store: log(store, session_id(0)))


@pytest.mark.promise("P5")
def test_a_full_disk_refuses_everything_else_an_append_says(tmp_path):
    async def scenario(store):
        ann = await owner(store)
        await store.post(ann.session, "waiting", b"{}")
        ((pages,),) = await on_writer(store, "PRAGMA page_count")
        await on_writer(store, f"PRAGMA max_page_count = {pages}")
        append = ann.next(entry("x" * 100_000, command="waiting"), due=5.0, title="t", closed=True)
        with pytest.raises(StoreUnavailable, match="free space"):
            await store.append([append])
        with pytest.raises(StoreUnavailable, match="free space"):
            await store.post(ann.session, "more", b"x" * 100_000)
        info = await store.find(ann.session)
        assert (info.head, info.due, info.title, info.closed) == (0, None, "", False)
        await on_writer(store, "PRAGMA max_page_count = 1000000")
        assert [item.command for item in await store.inbox(ann.session)] == ["waiting"]
        assert (await store.post(ann.session, "more", b"{}")).fresh
        assert await ann.append(append) == Appended(1)
        info = await store.find(ann.session)
        assert (info.head, info.due, info.title, info.closed) == (1, 5.0, "t", True)
        assert [item.command for item in await store.inbox(ann.session)] == ["more"]

    run(tmp_path / "parlour.db", scenario)


# The writer.


@pytest.mark.promise("P1")
def test_work_that_cannot_be_done_does_not_harm_its_group(tmp_path):
    async def scenario(store):
        ann = await owner(store, 1)
        outcomes = await asyncio.gather(
            ann.say("a"),
            store.create(session_id(2), "\ud800", NOW),
            store.create(session_id(3), "bob", NOW),
            return_exceptions=True,
        )
        assert outcomes[0] == Appended(1)
        assert isinstance(outcomes[1], UnicodeEncodeError)
        assert outcomes[2].user == "bob"
        assert await store.find(session_id(2)) is None
        assert await ann.say("b", command="\ud800") == Appended(2)
        assert await ann.say("b", command="\ud800") == Repeated("\ud800", 2)
        assert await ann.append(ann.next(entry("c"), title="\ud800!")) == Appended(3)

    run(tmp_path / "parlour.db", scenario)


@pytest.mark.promise("P4")
def test_a_command_that_was_settled_is_found_among_many(tmp_path):
    async def scenario(store):
        owners = [await owner(store, number) for number in range(100)]
        for each in owners:
            await each.say("a", command="old")
        await store.sessions()
        assert store._writer.unsettled == 0
        batch = [
            each.next(entry("b", command="old" if number % 10 == 3 else "new"))
            for number, each in enumerate(owners)
        ]
        assert await store.append(batch) == [
            Repeated("old", 1) if number % 10 == 3 else Appended(2) for number in range(100)
        ]
        assert {len(await log(store, each.session)) for each in owners} == {1, 2}
        await store.sessions()
        assert not any(held.commands or held.fresh for held in store._writer.held.values())

    run(tmp_path / "parlour.db", scenario)


@pytest.mark.promise("P3")
def test_an_owner_the_store_let_go_of_is_fenced_and_claims_again(tmp_path):
    async def scenario(store):
        owners = [await owner(store, number) for number in range(8)]
        await owners[7].say("a", command="a")
        await store.sessions()
        for number in range(10, 14):
            await owner(store, number)
        assert len(store._writer.held) <= 4
        assert await owners[7].say("b") == Fenced()
        claim = await store.claim(owners[7].session)
        again = Owner(store, owners[7].session, claim)
        assert claim.epoch > owners[7].epoch
        assert claim.head == 1
        assert await again.say("b", command="a") == Repeated("a", 1)
        assert await again.say("b") == Appended(2)
        assert (await store.find(again.session)).head == 2

    run(tmp_path / "parlour.db", scenario, remember=4)


def test_sessions_that_are_not_settled_are_not_let_go_of(tmp_path):
    async def scenario(store):
        owners = [await owner(store, number) for number in range(8)]
        for each in owners:
            claim = await store.claim(each.session)
            each.epoch = claim.epoch
            assert await each.say("a") == Appended(1)
        for each in owners:
            assert len(await store.read(each.session, 0)) == 1
            assert (await store.find(each.session)).head == 1

    run(tmp_path / "parlour.db", scenario, remember=2)


@pytest.mark.promise("P11")
def test_erased_text_is_in_no_file_any_more(tmp_path):
    async def scenario(store):
        ann, bob = await owner(store, 1), await owner(store, 2)
        for number in range(50):
            await ann.say("the secret recipe", command=f"recipe {number}")
            await bob.say("nothing special")
            if number == 25:
                await store.sessions()
        await store.post(ann.session, "another", b"the secret recipe")
        await ann.append(ann.next(title="the secret recipe"))
        assert b"the secret recipe" in content()
        await store.erase(ann.session)
        async with asyncio.timeout(BOUND):
            while b"the secret recipe" in content():
                await asyncio.sleep(0.01)
        assert b"nothing special" in content()

    def content():
        return b"".join(file.read_bytes() for file in tmp_path.iterdir())

    run(tmp_path / "parlour.db", scenario)


@pytest.mark.promise("P12")
def test_the_write_ahead_log_is_bounded_under_constant_load(tmp_path):
    async def scenario(store):
        owners = [await owner(store, number) for number in range(20)]
        largest = 0
        for _ in range(60):
            batch = [each.next(entry("x" * 100_000)) for each in owners]
            await store.append(batch)
            for each in owners:
                each.head += 1
            largest = max(largest, (tmp_path / "parlour.db-wal").stat().st_size)
        assert (tmp_path / "parlour.db").stat().st_size > 60_000_000
        assert largest < 40_000_000

    run(tmp_path / "parlour.db", scenario)


def test_what_is_written_reaches_the_file_while_writing_goes_on(tmp_path):
    async def scenario(store):
        one = await owner(store, 1)
        written = 0
        async with asyncio.timeout(60):
            while (tmp_path / "parlour.db").stat().st_size < 4_000_000:
                await store.append([one.next(entry("x" * 20_000))])
                one.head += 1
                written += 20_000
                # Past this the writer does it itself, and holds up whoever writes.
                assert written < 20_000_000

    run(tmp_path / "parlour.db", scenario)


def test_a_round_costs_little_more_than_its_records(tmp_path):
    rounds = 4000
    size = 0

    async def scenario(store):
        nonlocal size
        owners = [await owner(store, number) for number in range(20)]
        for number in range(rounds // 20):
            batch = [
                each.next(entry("a" * 60, "b" * 60, "c" * 20, command=f"{number:032}"))
                for each in owners
            ]
            await store.append(batch)
            size += sum(len(append.entries[0].data) for append in batch)
            for each in owners:
                each.head += 3

    run(tmp_path / "parlour.db", scenario)
    assert (tmp_path / "parlour.db").stat().st_size - size < 75 * rounds + 100_000


def test_what_is_closed_is_one_file_and_its_lock(tmp_path):
    async def scenario(store):
        await (await owner(store)).say("a")

    run(tmp_path / "parlour.db", scenario)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["parlour.db", "parlour.db.lock"]


def test_a_store_in_peace_settles_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_QUIET_SECONDS", 0.01)

    async def scenario(store):
        await (await owner(store)).say("a")
        until = time.monotonic() + BOUND
        while store._writer.unsettled and time.monotonic() < until:
            await asyncio.sleep(0.001)
        assert store._writer.unsettled == 0
        assert (await store.find(session_id(1))).head == 1

    run(tmp_path / "parlour.db", scenario)
