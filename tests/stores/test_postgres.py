from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import pytest

from parlour.errors import StoreError, StoreTooNew, StoreUnavailable
from parlour.stores.postgres import PostgresStore, schema
from parlour.stores.shared import Elsewhere, Verdict
from parlour.stores.store import (
    Appended,
    Claim,
    Fenced,
    Posted,
    PostedCommand,
    Store,
    UserValue,
)
from parlour.testing.contract_base import NOW, Owner, entry, log, owner, session_id
from parlour.testing.store_contract import StoreContract
from postgres import Wire, address_of, database, needs_postgres, run_sql


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with database() as made:
        yield made


EMPTY = """
DO $$ BEGIN
  IF to_regclass('parlour.session') IS NOT NULL THEN
    DELETE FROM parlour.session; DELETE FROM parlour.chunk; DELETE FROM parlour.snapshot;
    DELETE FROM parlour.inbox; DELETE FROM parlour.user_value; DELETE FROM parlour.worker;
  END IF;
END $$
"""


class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _database(self, address: str) -> None:
        self.make = lambda: PostgresStore(address)
        run_sql(EMPTY, address)

    async def make_store(self) -> Store:
        return self.make()

    async def reopen(self, store: Store) -> Store:
        await store.close()
        return self.make()


# What many workers meet.


def run(address: str, scenario: Callable[..., Awaitable[None]], stores: int = 1) -> None:
    """Run a scenario with open stores in one database, which is emptied before."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            made = [PostgresStore(address) for _ in range(stores)]
            for store in made:
                await store.open()
            try:
                await scenario(*made)
            finally:
                for store in made:
                    await store.close()

    run_sql(EMPTY, address)
    asyncio.run(bounded())


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.promise("P4")
def test_many_stores_that_want_the_same_sessions_neither_deadlock_nor_lose_anything(address):
    count, turns = 12, 6

    async def scenario(*stores: PostgresStore) -> None:
        ids = [session_id(number) for number in range(count)]
        for id_ in ids:
            await stores[0].create(id_, "ann", NOW)
        kept: list[tuple[str, str]] = []

        async def contend(name: int, store: PostgresStore) -> None:
            for turn in range(turns):
                order = ids[turn % count :] + ids[: turn % count]
                if name % 2:
                    order.reverse()
                claims = {id_: await store.claim(id_) for id_ in order}
                batch = [
                    Owner(store, id_, claims[id_]).next(entry(f"{name}.{turn}", command=f"{turn}"))
                    for id_ in order
                ]
                outcomes, _ = await asyncio.gather(
                    store.append(batch),
                    asyncio.gather(*(store.post(id_, f"p{turn}", b"{}") for id_ in order)),
                )
                kept.extend(
                    (append.session, f"{name}.{turn}")
                    for append, outcome in zip(batch, outcomes, strict=True)
                    if isinstance(outcome, Appended)
                )

        await asyncio.gather(*(contend(name, store) for name, store in enumerate(stores)))
        found = [
            (id_, chunk.data.split(b'"')[3].decode())
            for id_ in ids
            for chunk in await log(stores[0], id_)
        ]
        assert sorted(found) == sorted(kept)
        for id_ in ids:
            assert len(await stores[0].inbox(id_)) == turns

    run(address, scenario, stores=4)


@pytest.mark.promise("P1")
def test_strange_text_is_kept_and_found_again(address):
    async def scenario(store: PostgresStore) -> None:
        strange = "a\x00b\\c\\u0000 \ud800 \udfff ö\U0001f99c"
        claim = await store.create(strange, strange, NOW)
        ann = Owner(store, strange, claim)
        value = UserValue(strange, b"1", strange)
        append = ann.next(entry("a", command=strange), user_values=(value,), title=strange)
        assert await ann.append(append) == Appended(1)
        info = await store.find(strange)
        assert (info.id, info.user, info.title) == (strange, strange, strange)
        assert await store.user_values(strange) == [value]
        assert await store.outcome(strange, strange) == 1
        assert await store.post(strange, strange + "2", b"x") == Posted(fresh=True)
        assert await store.inbox(strange) == [PostedCommand(strange + "2", b"x")]
        assert [info.id for info in await store.sessions(strange)] == [strange]
        assert await store.find(strange.replace("\x00", "")) is None

    run(address, scenario)


@pytest.mark.promise("P4")
@pytest.mark.promise("P5")
@pytest.mark.parametrize("together", [1, 5])
def test_a_connection_lost_after_the_commit_leaves_no_doubt(address, together):
    async def scenario(store: PostgresStore) -> None:
        owners = [await owner(store, number) for number in range(together)]
        async with Wire(address) as wire:
            lossy = PostgresStore(wire.address)
            await lossy.open()
            await (await owner(lossy, 90)).say("so that its connection knows the statement")
            wire.swallow_answers = True
            batch = [each.next(entry("a", "b", command="c")) for each in owners]
            writing = asyncio.create_task(lossy.append(batch))
            while not await store.read(owners[-1].session, 0):
                assert not writing.done()
                await asyncio.sleep(0.01)
            wire.swallow_answers = False
            assert await writing == [Appended(2)] * together
            for each in owners:
                each.store, each.head = lossy, 2
                assert await each.say("c") == Appended(3), "it is still the owner"
            await lossy.close()

    run(address, scenario)


@pytest.mark.promise("P3")
@pytest.mark.promise("P5")
def test_what_a_lost_connection_did_not_write_is_never_written(address):
    async def scenario(store: PostgresStore) -> None:
        ann = await owner(store)
        async with Wire(address) as wire:
            lossy = PostgresStore(wire.address)
            await lossy.open()
            wire.swallow_questions = True
            append = ann.next(entry("a", command="c"))
            writing = asyncio.create_task(lossy.append([append]))
            await asyncio.sleep(0)
            wire.cut()
            wire.swallow_questions = False
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await writing
            await lossy.close()
        assert await store.append([append]) == [Fenced()], "nor by whoever is late"
        claim = await store.claim(ann.session)
        assert claim.head == 0
        assert await Owner(store, ann.session, claim).say("a", command="c") == Appended(1)

    run(address, scenario)


@pytest.mark.promise("P5")
def test_a_store_recovers_when_its_server_is_back(address):
    async def scenario(store: PostgresStore) -> None:
        async with Wire(address) as wire:
            lossy = PostgresStore(wire.address)
            await lossy.open()
            ann = await owner(lossy)
            wire.refuse = True
            wire.cut()
            for call in (lossy.find(ann.session), lossy.claim(ann.session), lossy.due(NOW)):
                with pytest.raises(StoreUnavailable, match="start it, or mend the address"):
                    await call
            wire.refuse = False
            assert (await lossy.find(ann.session)).user == "ann"
            assert await ann.say("a") == Appended(1)
            await lossy.close()

    run(address, scenario)


@pytest.mark.promise("P12")
def test_a_server_that_does_not_answer_counts_as_lost(address):
    async def scenario(store: PostgresStore) -> None:
        async with Wire(address) as wire:
            slow = PostgresStore(wire.address, seconds=0.3)
            await slow.open()
            wire.stall = True
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await slow.find("x")
            wire.stall = False
            assert await slow.find("x") is None
            await slow.close()

    run(address, scenario)


# Leases.


async def beat(*stores: PostgresStore, lease: float = 60.0) -> None:
    for number, store in enumerate(stores, 1):
        await store.beat(f"w{number}", lease, {"pid": number})


@pytest.mark.promise("P3")
def test_a_session_is_claimed_by_others_only_when_its_worker_is_dead(address):
    async def scenario(one: PostgresStore, two: PostgresStore) -> None:
        assert (await one.beat("w1", 0.3, {})).silent is None
        await two.beat("w2", 60.0, {})
        ann = await owner(one)
        assert await two.take(ann.session) == Elsewhere("w1")
        assert await two.take(session_id(99)) is None
        assert isinstance(await one.take(ann.session), Claim), "it may claim its own again"
        while isinstance(await two.take(ann.session), Elsewhere):
            await asyncio.sleep(0.02)
        assert await ann.say("late") == Fenced()
        beat = await one.beat("w1", 60.0, {})
        assert beat.silent is not None
        assert beat.silent > 0.3
        assert await one.take(ann.session) == Elsewhere("w2")
        claim = await two.claim(ann.session)
        assert await two.owned() == {ann.session: claim.epoch}
        await two.leave()
        assert isinstance(await one.take(ann.session), Claim), "who leaves hands over at once"

    run(address, scenario, stores=2)


@pytest.mark.promise("P3")
def test_a_released_session_is_free_for_all(address):
    async def scenario(one: PostgresStore, two: PostgresStore) -> None:
        await beat(one, two)
        ann = await owner(one)
        await one.release(ann.session, ann.epoch - 1)
        assert await two.take(ann.session) == Elsewhere("w1"), "an old epoch releases nothing"
        await one.release(ann.session, ann.epoch)
        assert isinstance(await two.take(ann.session), Claim)
        assert await one.take(ann.session) == Elsewhere("w2")

    run(address, scenario, stores=2)


@pytest.mark.promise("P3")
@pytest.mark.promise("P7")
def test_orphans_with_something_to_do_are_adopted_once(address):
    async def scenario(dead: PostgresStore, *living: PostgresStore) -> None:
        await dead.beat("dead", 60.0, {})
        for number, store in enumerate(living):
            await store.beat(f"w{number}", 60.0, {})
        wanted: set[str] = set()
        for number in range(40):
            each = await owner(dead, number)
            match number % 4:
                case 0:
                    await each.append(each.next(entry("works"), due=0.0))
                    wanted.add(each.session)
                case 1:
                    await dead.post(each.session, "c", b"{}")
                    wanted.add(each.session)
                case 2:
                    await each.append(each.next(entry("later"), due=4e9))
                case _:
                    await each.append(each.next(entry("over"), due=0.0, closed=True))
        mine = await owner(living[0], 90)
        await mine.append(mine.next(entry("works"), due=0.0))
        assert await living[0].adopt(100) == []
        await dead.leave()
        adopted: list[str] = []

        async def adopt(store: PostgresStore) -> None:
            while found := await store.adopt(3):
                assert len(found) <= 3
                adopted.extend(session for session, _ in found)

        await asyncio.gather(*map(adopt, living))
        assert sorted(adopted) == sorted(wanted)
        assert [session for session, _ in await living[0].due_free(5e9)] != []
        assert {place.worker for place in (await dead.places(adopted)).values()} <= {"w0", "w1"}

    run(address, scenario, stores=3)


@pytest.mark.promise("P4")
def test_who_posts_learns_who_is_to_hear_of_it_and_what_became_of_it(address):
    async def scenario(one: PostgresStore, two: PostgresStore) -> None:
        await beat(one, two)
        ann = await owner(one)
        assert await two.post_for(ann.session, "a", b"A") == (Posted(fresh=True), "w1")
        assert await two.post_for(session_id(9), "a", b"A") is None
        commands = [(ann.session, "a"), (ann.session, "b"), (session_id(9), "a")]
        assert await two.verdicts(commands) == [Verdict(waits=True), Verdict(), Verdict()]
        assert await one.posted() == [ann.session]
        await one.refuse(ann.session, "a", b"no")
        assert await one.inbox(ann.session) == []
        assert await one.posted() == []
        assert (await two.verdicts(commands))[0] == Verdict(refusal=b"no")
        assert await two.post(ann.session, "a", b"A2") == Posted(fresh=True), "refused is not done"
        assert await one.inbox(ann.session) == [PostedCommand("a", b"A2")]
        await ann.say("done", command="a")
        assert (await two.verdicts(commands))[0] == Verdict(seq=1)
        assert (await one.claim(ann.session)).posted is False
        await two.post(ann.session, "b", b"B")
        assert (await one.take(ann.session)).posted is True

    run(address, scenario, stores=2)


def test_workers_tell_of_themselves(address):
    async def scenario(one: PostgresStore, two: PostgresStore) -> None:
        await one.beat("w1", 60.0, {"host": "a", "pid": 7})
        await two.beat("w2", 0.0, {})
        await owner(one)
        found = await one.workers()
        assert [(w.id, w.alive, w.sessions, w.about) for w in found] == [
            ("w1", True, 1, {"host": "a", "pid": 7}),
            ("w2", False, 0, {}),
        ]
        assert await one.living() == ["w1"]
        await one.tidy()

    run(address, scenario, stores=2)


# Schema and errors.


def test_workers_that_start_together_make_the_tables_once():
    async def scenario(address: str) -> None:
        stores = [PostgresStore(address) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        assert await PostgresStore(address).migrate() == []
        await owner(stores[1])
        await asyncio.gather(*(store.close() for store in stores))

    with database() as fresh:
        asyncio.run(scenario(fresh))
        assert run_sql("SELECT version FROM parlour.migration", fresh) == [(schema.VERSION,)]


def opening(address: str, **options: bool) -> None:
    async def go() -> None:
        store = PostgresStore(address, **options)
        await store.open()
        await store.close()

    asyncio.run(go())


def test_tables_of_another_version_are_told_apart():
    with database() as fresh:
        with pytest.raises(StoreUnavailable, match="holds no conversations yet"):
            opening(fresh, makes=False)
        opening(fresh)
        newer = "INSERT INTO parlour.migration (version, name, oldest) VALUES (99, 'x', {})"
        run_sql(newer.format(schema.VERSION), fresh)
        opening(fresh)
        run_sql("UPDATE parlour.migration SET oldest = 99 WHERE version = 99", fresh)
        with pytest.raises(StoreTooNew, match="upgrade Parlour"):
            opening(fresh)
        run_sql("DELETE FROM parlour.migration WHERE version = 99", fresh)
        run_sql("UPDATE parlour.migration SET version = 0", fresh)
        run_sql("INSERT INTO parlour.migration VALUES (-1, 'y', 0)", fresh)


def test_tables_of_an_older_version_ask_for_a_migration(monkeypatch):
    with database() as fresh:
        opening(fresh)
        monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
        with pytest.raises(StoreUnavailable, match="run `parlour migrate`"):
            opening(fresh)


def test_a_read_only_server_is_named_as_one(address):
    name = urlsplit(address).path[1:]
    opening(address)
    run_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        with pytest.raises(StoreUnavailable, match="address of the primary"):
            opening(address)
    finally:
        run_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("53100", "full disk; free space"),
        ("53300", "raise its max_connections"),
        ("53200", "mend the server"),
        ("25006", "primary"),
        ("42501", "connect as the database's owner"),
        ("57014", "look at what else it does"),
        ("XX001", "restore a backup"),
    ],
)
def test_an_error_of_the_server_says_its_cure(address, code, cure):
    async def scenario(store: PostgresStore) -> None:
        raising = f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"
        with pytest.raises(StoreError, match=cure):
            await store._server.fetch(raising)

    run(address, scenario)


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("postgresql://ann:sesame@127.0.0.1:1/x", "start it, or mend the address"),
        ("postgresql://ann:sesame@127.0.0.1:port/x", "no address of a database"),
        ("postgresql://ann:sesame@nowhere.invalid/x", "cannot be reached"),
    ],
)
def test_a_wrong_address_is_refused_and_its_password_never_shown(address, cure):
    with pytest.raises(StoreUnavailable, match=cure) as caught:
        opening(address)
    assert "sesame" not in str(caught.value)


def test_a_database_that_is_not_there_is_named():
    needs_postgres()
    with pytest.raises(StoreUnavailable, match="make the database with `createdb`"):
        opening(address_of("parlour_never_made"))
