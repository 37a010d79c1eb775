"""Files that released versions wrote are opened by this one, and go on."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from golden_stores import FOLDER, engine_on, opened_copy, told

from parlour.errors import StoreTooNew
from parlour.events import Answer, Say
from parlour.stores.address import open_reader
from parlour.stores.sqlite import SqliteStore
from parlour.stores.sqlite_file import VERSION

GOLDEN = sorted(FOLDER.glob("v*.db"))


def run(scenario):
    async def bounded():
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


def expected(path: Path):
    return json.loads(path.with_suffix(".json").read_text())


@pytest.mark.promise("P16")
def test_this_version_has_its_golden_store():
    assert FOLDER / f"v{VERSION}.db" in GOLDEN, "run `python tests/stores/golden_stores.py`"


@pytest.mark.promise("P16")
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_store_of_any_version_is_opened_and_says_what_it_said(path, tmp_path):
    async def scenario():
        async with opened_copy(path, tmp_path / "copy.db") as store:
            found = await told(store)
        assert json.loads(msgspec.json.encode(found)) == expected(path)

    run(scenario)


@pytest.mark.promise("P16")
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_store_of_any_version_is_looked_at_without_opening_it(path, tmp_path):
    shutil.copy(path, tmp_path / "copy.db")
    before = (tmp_path / "copy.db").read_bytes()

    async def scenario():
        reader = open_reader(f"sqlite:///{tmp_path / 'copy.db'}")
        await reader.open()
        found = {info.id: info for info in await reader.sessions()}
        sessions = expected(path)["sessions"]
        assert {id_: msgspec.to_builtins(info) for id_, info in found.items()} == {
            id_: session["info"] for id_, session in sessions.items()
        }
        for id_, session in sessions.items():
            chunks = await reader.read(id_, 0, 10_000)
            assert sum(chunk.count for chunk in chunks) == session["seq"]
        await reader.close()

    run(scenario)
    assert (tmp_path / "copy.db").read_bytes() == before


@pytest.mark.promise("P16")
@pytest.mark.promise("P7")
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_conversations_go_on_in_a_store_of_any_version(path, tmp_path):
    shutil.copy(path, tmp_path / "copy.db")
    sessions = expected(path)["sessions"]

    async def scenario():
        engine = engine_on(SqliteStore(tmp_path / "copy.db"), tmp_path)
        async with engine:
            for id_, session in sessions.items():
                user = session["info"]["user"]
                if session["phase"] == "closed":
                    continue
                if session["questions"]:
                    await engine.send(id_, user, Answer(id="late", text="Ada"))
                else:
                    await engine.send(id_, user, Say(id="more", text="more"))
                while (state := await engine.state_of(id_)).round is not None:
                    await asyncio.sleep(0.001)
                last = state.heard.messages[-1].text
                assert last == ("waited for Ada" if session["questions"] else "more costs 7")
                again = await engine.send(id_, user, Say(id="m0", text="thing 0"))
                assert again.repeated == (session["knows m0"] is not None)

    run(scenario)


@pytest.mark.promise("P16")
def test_a_newer_store_is_not_read_either(tmp_path):
    path = tmp_path / "copy.db"
    shutil.copy(GOLDEN[-1], path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    async def scenario():
        for store in (SqliteStore(path), open_reader(f"sqlite:///{path}")):
            with pytest.raises(StoreTooNew, match="upgrade Parlour"):
                await store.open()

    run(scenario)
