"""What a round costs on the disk, measured on the file that an engine has written."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from house import House, run

import parlour
from parlour.events import Say

ROUNDS = 40
SESSIONS = 50


def fill(house: House, text: str) -> None:
    """Echo rounds in many sessions, with ids as clients make them; then an end in order."""

    async def main() -> None:
        app = parlour.App()

        @app.on_message
        async def echo(session: parlour.Session, message: parlour.Message) -> None:
            session.reply(message.text)

        async with house.running(app) as running:
            engine = running.engine

            async def talk(number: int) -> None:
                session = (await engine.open(f"user {number}", uuid4().hex)).session
                for _ in range(ROUNDS):
                    await engine.send(session, None, Say(id=uuid4().hex, text=text))
                    while (await engine.state_of(session)).round is not None:
                        await asyncio.sleep(0)

            await asyncio.gather(*(talk(number) for number in range(SESSIONS)))

    run(main())


def bound(text: str) -> int:
    return 3 * 2 * len(text) + 300


@pytest.fixture
def sqlite_house(tmp_path: Path) -> House:
    return House("sqlite", tmp_path)


@pytest.mark.parametrize("text", ["hi", "x" * 200])
def test_the_log_of_an_echo_round_is_small(sqlite_house: House, tmp_path: Path, text: str) -> None:
    fill(sqlite_house, text)
    with closing(sqlite3.connect(tmp_path / "house.db")) as db:
        [(data,)] = db.execute("SELECT sum(length(data)) FROM chunk").fetchall()
    assert data / (ROUNDS * SESSIONS) <= bound(text)


@pytest.mark.parametrize("text", ["Is there a table for two?", "x" * 200])
def test_all_that_an_echo_round_adds_to_the_file_is_small(
    sqlite_house: House, tmp_path: Path, text: str
) -> None:
    async def open_only() -> None:
        async with sqlite_house.running(parlour.App()):
            pass

    run(open_only())
    empty = (tmp_path / "house.db").stat().st_size
    fill(sqlite_house, text)
    size = (tmp_path / "house.db").stat().st_size - empty
    assert size / (ROUNDS * SESSIONS) <= bound(text), "with its indexes and its session's rows"


def test_snapshots_do_not_pile_up(sqlite_house: House, tmp_path: Path) -> None:
    sqlite_house.settings = parlour.Settings(development=True, snapshot_every=8)
    fill(sqlite_house, "hi")
    with closing(sqlite3.connect(tmp_path / "house.db")) as db:
        [(count, size)] = db.execute("SELECT count(*), max(length(data)) FROM snapshot").fetchall()
    assert count <= SESSIONS
    assert size < 40_000, "it holds a window of the conversation, not all of it"
